"""The runbook and the enumeration of reasons are one list."""

from __future__ import annotations

import re
from pathlib import Path

from devops_reconciler.api.conditions import Reason

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level; raises ValueError for a heading that stands there twice."""
    found: dict[str, str] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        if heading in found:
            raise ValueError(f"the heading {heading} stands there twice")
        found[heading] = body.strip()
    return found


def test_each_reason_has_a_heading_and_no_heading_is_stale() -> None:
    assert list(sections(RUNBOOK.read_text())) == [*(reason.value for reason in Reason), "Alerts"]


def test_each_heading_says_more_than_its_own_name() -> None:
    bare = [heading for heading, body in sections(RUNBOOK.read_text()).items() if len(body.split()) < 10]
    assert bare == []


def test_a_missing_and_a_stale_heading_are_noticed() -> None:
    text = RUNBOOK.read_text()
    assert "Drifted" not in sections(text.replace("## Drifted\n", ""))
    assert "Nonsense" in sections(text + "\n## Nonsense\n\nText.\n")
