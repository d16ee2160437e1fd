"""What GoDaddy's Domains API v1 speaks of: records and their names relative to a zone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..api.errors import ValidationError

APEX = "@"
"""How GoDaddy names the zone itself: never by an empty name."""

_TEXTS = ("service", "protocol")
_NUMBERS = ("priority", "weight", "port")


@dataclass(frozen=True)
class Record:
    """One DNS record as GoDaddy holds it. `name` is relative to the zone (`@` is the zone itself), `ttl` in seconds.

    Fields that we do not know are kept in `extra`, so that a record of somebody else is written back as it was read.
    """

    type: str
    name: str
    data: str
    ttl: int
    priority: int | None = None
    weight: int | None = None
    port: int | None = None
    service: str | None = None
    protocol: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def body(self) -> dict[str, Any]:
        """The record in a PUT on its type and name: type and name are in the path, null fields are left out."""
        known = {name: getattr(self, name) for name in (*_NUMBERS, *_TEXTS) if getattr(self, name) is not None}
        return {"data": self.data, "ttl": self.ttl, **known, **self.extra}


def record_of(value: object, *, type: str = "", name: str = "") -> Record:
    """The record in one element of an answer; `type` and `name` stand in where the element has none.

    Raises ValueError, naming the field that is missing or of another kind than promised.
    """
    if not isinstance(value, dict):
        raise ValueError("a record is not an object")
    fields: dict[str, Any] = {"type": type, "name": name, **value}
    for key in ("type", "name", "data"):
        if not isinstance(fields.get(key), str):
            raise ValueError(f"a record has no text in field {key!r}")
    if not _whole(fields.get("ttl")):
        raise ValueError("a record has no number in field 'ttl'")
    for key in _NUMBERS:
        if fields.get(key) is not None and not _whole(fields[key]):
            raise ValueError(f"a record has no number in field {key!r}")
    for key in _TEXTS:
        if fields.get(key) is not None and not isinstance(fields[key], str):
            raise ValueError(f"a record has no text in field {key!r}")
    known = {"type", "name", "data", "ttl", *_NUMBERS, *_TEXTS}
    extra = {key: content for key, content in fields.items() if key not in known}
    options: dict[str, Any] = {key: fields.get(key) for key in (*_NUMBERS, *_TEXTS)}
    return Record(fields["type"], fields["name"], fields["data"], fields["ttl"], **options, extra=extra)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def relative_name(host: str, zone: str) -> str:
    """`host` as GoDaddy names it within `zone`: `@` for the zone itself, `*` stays the first label of a wildcard.

    Raises ValidationError when the host is not in the zone.
    """
    full, root = plain_name(host), plain_name(zone)
    if full == root:
        return APEX
    if not root or not full.endswith(f".{root}") or full == f".{root}":
        raise ValidationError(f"host {host!r} is not in zone {zone!r}: take a host that ends in '.{root}'")
    return full[: -len(root) - 1]


def full_name(relative: str, zone: str) -> str:
    """The full name of a record, in lower case."""
    root = plain_name(zone)
    return root if relative == APEX else f"{relative}.{root}".lower()


def plain_name(full: str) -> str:
    """One spelling of a full name: without case and final dot."""
    return full.rstrip(".").lower()


class ZoneRecords(Collection[Record]):
    """The records of a zone, in its order. All who share a read of it find a name without going through the others."""

    def __init__(self, zone: str, records: Iterable[Record]) -> None:
        self._all = tuple(records)
        self._by_name: dict[str, list[Record]] = {}
        for record in self._all:
            self._by_name.setdefault(full_name(record.name, zone), []).append(record)

    def at(self, full: str) -> Sequence[Record]:
        """Those of any type with this full name, in the order of the zone."""
        return self._by_name.get(plain_name(full), ())

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, record: object) -> bool:
        return record in self._all
