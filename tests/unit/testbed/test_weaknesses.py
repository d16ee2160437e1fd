"""What is said of the weaknesses of packages, and when it fails."""

from __future__ import annotations

from typing import Any

from testbed.weaknesses import Report

SOUND: dict[str, Any] = {"name": "kopf", "version": "1.45", "vulns": []}
SKIPPED: dict[str, Any] = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def weak(*fixes: str) -> dict[str, Any]:
    weakness = {"id": "PYSEC-2026-7", "fix_versions": list(fixes), "aliases": [], "description": "bad"}
    return {"name": "aiohttp", "version": "3.0", "vulns": [weakness]}


def report(*packages: dict[str, Any]) -> Report:
    return Report.read({"dependencies": list(packages), "fixes": []})


def test_packages_without_a_known_weakness() -> None:
    assert report(SOUND).weak == report(SOUND).unknown == ()
    assert report(SOUND).text() == "weaknesses: none is known of 1 packages"


def test_a_weakness_is_named_with_what_to_do() -> None:
    assert report(SOUND, weak("3.1")).weak == ("aiohttp 3.0 has PYSEC-2026-7; mended in 3.1: make lock",)
    assert report(weak()).weak == ("aiohttp 3.0 has PYSEC-2026-7; not mended yet",)


def test_what_could_not_be_looked_up_is_never_called_sound() -> None:
    found = report(SOUND, SKIPPED)
    assert found.unknown == ("yarl",)
    assert found.text().startswith("weaknesses: nothing is known of 1 of 2 packages")
    assert "none is known" not in found.text()
