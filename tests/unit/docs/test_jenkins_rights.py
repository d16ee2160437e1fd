"""The rights at Jenkins that the docs tell to give: the same on each page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
RIGHTS = {
    "Overall": {"Read"},
    "Job": {"Create", "Configure", "Read", "Build", "Cancel", "Delete"},
    "Credentials": {"View", "Create", "Update", "Delete"},
}
"""What Jenkins asks for what we do. Overall/Read is for each request but that for who we are."""
_PASSAGE = re.compile(r"(?:a user with|The user needs) (.*?)(?:; an API token|\.)")
_GROUP = re.compile(rf"\b({'|'.join(RIGHTS)}) ((?:[A-Z][a-z]+, )*[A-Z][a-z]+)\b")


@pytest.mark.parametrize("page", ["quickstart.md", "vendors.md"])
def test_a_page_names_each_right_and_no_other(page: str) -> None:
    (said,) = _PASSAGE.findall(" ".join((DOCS / page).read_text().split()))
    assert {group: set(names.split(", ")) for group, names in _GROUP.findall(said)} == RIGHTS
