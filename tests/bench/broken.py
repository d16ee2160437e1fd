"""Children that cannot become Ready, each for a reason that the operator alone finds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.mix import child

NOWHERE = "http://127.0.0.9:9"
"""An address where nobody listens, and no host of anybody else's."""


def _unanswered(name: str) -> dict[str, Any]:
    return {"git": {"url": f"{NOWHERE}/{name}.git"}}


def _without_login(name: str) -> dict[str, Any]:
    source = {"url": f"{NOWHERE}/{name}.git", "credentialsRef": {"name": f"{name}-missing"}}
    return {"git": source, "source": {"path": "deploy"}}


def _foreign(_name: str) -> dict[str, Any]:
    return {"namespace": "somebody-else"}


def _out_of_zone(name: str) -> dict[str, Any]:
    return {"host": f"{name}.elsewhere.example"}


_SPECS: dict[str, Callable[[str], dict[str, Any]]] = {
    "jenkinssettings": _unanswered,
    "argosettings": _without_login,
    "registrysettings": _foreign,
    "ingressresources": _out_of_zone,
}
MIX = tuple(_SPECS)


def broken(namespace: str, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """So many of them, of all kinds in turn: where each is created, and what."""
    for number in range(count):
        plural, name = MIX[number % len(MIX)], f"broken-{number:05}"
        yield child(namespace, plural, name, _SPECS[plural](name))
