"""What a zone's wildcard answers for names that do not exist themselves: RFC 4592, section 3.3.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .godaddy_types import APEX, Record, full_name


def synthesized(records: Iterable[Record], zone: str, host: str) -> tuple[Record, ...]:
    """The records of the wildcard that answers for `host`, of whatever type; none where the host exists.

    A name exists that has records, of any type, or names below it. Of the ancestors of `host` the nearest one that
    exists has the wildcard that counts: one further up answers no more, even where the nearer one has none.
    """
    root, name = full_name(APEX, zone), full_name(host.rstrip("."), "").rstrip(".")
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(full_name(record.name, zone), []).append(record)
    existing = {root}.union(*(_upwards(each, root) for each in by_name))
    if name in existing:
        return ()
    encloser = next(each for each in _upwards(name, root) if each in existing)
    return tuple(by_name.get(f"*.{encloser}", ()))


def _upwards(name: str, root: str) -> Iterator[str]:
    """The name itself and its ancestors, up to the zone."""
    while name.endswith(f".{root}"):
        yield name
        name = name.partition(".")[2]
    yield root
