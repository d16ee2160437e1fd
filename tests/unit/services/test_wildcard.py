"""What a wildcard answers for a host that is not there itself."""

from __future__ import annotations

import pytest

from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.wildcard import synthesized

ZONE = "example.com"
APEX = Record("NS", "@", "ns1.example.net", 3600)
TOP = Record("A", "*", "203.0.113.1", 600)
NEAR = Record("A", "*.Preview", "203.0.113.2", 600)


def text(name: str) -> Record:
    return Record("TXT", name, "anything", 600)


@pytest.mark.parametrize(
    ("there", "host", "answers"),
    [
        ((), "shop.example.com", ()),
        ((TOP,), "shop.example.com", (TOP,)),
        ((TOP,), "Shop.Example.com.", (TOP,)),
        ((TOP,), "a.b.example.com", (TOP,)),
        ((TOP,), "example.com", ()),
        ((TOP, text("shop")), "shop.example.com", ()),
        ((TOP, text("below.shop")), "shop.example.com", ()),
        ((TOP, text("workshop")), "shop.example.com", (TOP,)),
        ((TOP, text("preview")), "pr-1.preview.example.com", ()),
        ((TOP, text("below.preview")), "pr-1.preview.example.com", ()),
        ((TOP, NEAR), "pr-1.preview.example.com", (NEAR,)),
        ((TOP, NEAR), "a.pr-1.preview.example.com", (NEAR,)),
        ((TOP, NEAR, text("pr-1.preview")), "a.pr-1.preview.example.com", ()),
        ((TOP, NEAR), "preview.example.com", ()),
        ((TOP, NEAR), "*.preview.example.com", ()),
        ((TOP,), "*.preview.example.com", (TOP,)),
        ((TOP, text("preview")), "*.preview.example.com", ()),
        ((), "*.example.com", ()),
    ],
)
def test_the_wildcard_of_the_nearest_ancestor_that_exists_answers(
    there: tuple[Record, ...], host: str, answers: tuple[Record, ...]
) -> None:
    assert synthesized((APEX, *there), ZONE, host) == answers


def test_a_wildcard_gives_all_its_records() -> None:
    both = (TOP, Record("AAAA", "*", "2001:db8::1", 600))
    assert synthesized((APEX, *both), ZONE, "shop.example.com") == both
