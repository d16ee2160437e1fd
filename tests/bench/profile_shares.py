"""Samples of a profiler, summed up: for whom the event loop worked, and whose code ran."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

Records = Iterable[tuple[Sequence[str], float]]
"""Stacks, the outermost frame first, with the seconds of each. A frame is `function NUL file NUL line…`."""
IDLE = "waiting"
OWN = "devops_reconciler"
_WAITS = re.compile(r"^select\0.*selectors\.py")
_PACKAGE = re.compile(r"/site-packages/([^/.]+)")
_OURS = re.compile(rf"/{OWN}/(?:(\w+)/)?(\w+)\.py")
_LIBRARY = re.compile(r"/python3\.\d+/([^/.]+)")
_UNASKED = {"asyncio", "runpy", "importlib", "pyinstrument", "selectors", "typer", "click"}
"""What is below everything, and works for others."""


def place(frame: str) -> str:
    """Whose code a frame is: a package, a module of Python's library, or a layer of ours. Empty: built in."""
    file = frame.split("\0")[1] if "\0" in frame else ""
    if found := _OURS.search(file):
        return f"{OWN}.{found[1] or found[2]}"
    found = _PACKAGE.search(file) or _LIBRARY.search(file)
    return found[1] if found else ""


def by_package(records: Records) -> dict[str, float]:
    """Seconds in the code of each, with what it calls that is built in; the most first."""
    return _summed(records, lambda stack: next(filter(None, map(place, reversed(stack))), "built in"))


def by_owner(records: Records) -> dict[str, float]:
    """Seconds for each: what the event loop called first is who wanted it. The most first."""
    return _summed(records, lambda stack: next((each for each in map(place, stack) if _wants(each)), "asyncio"))


def _wants(name: str) -> bool:
    return bool(name) and name not in _UNASKED and name != f"{OWN}.cli" and name != f"{OWN}.__main__"


def _summed(records: Records, name_of: Callable[[Sequence[str]], str]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for stack, seconds in records:
        waits = any(_WAITS.match(frame) for frame in stack[-2:])
        found[IDLE if waits else name_of(stack)] += seconds
    return dict(sorted(found.items(), key=lambda item: -item[1]))
