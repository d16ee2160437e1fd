"""The DNS record of a host at GoDaddy, beside whatever else is at its name, with an external-dns mark of ownership.

GoDaddy replaces and deletes whole sets (type and name), so a set is read, our value merged in or taken out, and the
rest written back as it was read. The record is written first and the mark after it: a mark claims only what is proven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

from ..api.conditions import Reason
from ..api.errors import ConflictError, Waiting
from ..engine.ledger import EntryState, Ledger
from ..engine.resource import Intent, Observation
from ..services.dns import normal
from ..services.godaddy_types import APEX, Record, ZoneRecords, full_name, relative_name
from ..services.txt_registry import ADDRESS_TYPES, Ownership, TxtNaming, ownership_of
from ..services.wildcard import synthesized
from .believing import AGAIN
from .polling import pause
from .world import ExternalResource, World


class DnsRecord(ExternalResource):
    """`<type> <host>` with `<data>`."""

    service: ClassVar[str] = "godaddy"
    place: ClassVar[tuple[str, ...]] = ("zone",)

    zone: str
    host: str
    type: str
    data: str
    ttl: int
    previous: tuple[str, ...] = ()
    """Values that we may have applied before in this zone, perhaps of another type: taken out when ours comes in."""

    @property
    def key(self) -> str:
        return f"{self.type} {self.host}"

    def digest(self) -> str:
        """Of what is wanted: the value of before is no part of that."""
        return super().digest() if not self.previous else self.model_copy(update={"previous": ()}).digest()

    @property
    def _name(self) -> str:
        return relative_name(self.host, self.zone)

    @property
    def _mine(self) -> tuple[str, ...]:
        return (self.data, *self.previous)

    def _mark_name(self, world: World) -> str:
        return relative_name(naming(world).checked_name(self.host, self.zone, self.type), self.zone)

    def _owner_id(self, world: World) -> str:
        return world.settings.dns_txt_owner_id or world.cluster_id

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        records = await self._zone(world)
        seen = self._seen(world, me, intent, records)
        # Where nobody has our type, the host may still be somebody's, under another one.
        other = next(self._others(world, me, records), None) if seen.owner is None else None
        if other is None:
            return seen
        world.hosts.done(self.host, other)
        return replace(seen, exists=True, owner=other)

    async def _zone(self, world: World) -> ZoneRecords:
        """The whole zone, as others may have read it just before; what we wrote at our host and its marks is in it."""
        return await world.godaddy.zone_records(self.zone, (self.host, *naming(world).claims(self.host)))

    def _seen(self, world: World, me: str, intent: Intent | None, records: ZoneRecords) -> Observation:
        """What the zone has for the host, and whose the record of our type is."""
        there = self._answering(records)
        self._mark_name(world)  # raises where ours could not be marked
        # What we have there under another type goes when this one comes; all else that answers for the host counts.
        displaced = {t for t in {r.type for r in there} - {self.type} if self._owner(world, records, t) == me}
        here = [r for r in there if r.type not in displaced]
        ours = [r for r in here if r.type == self.type and self._holds(r, self.data)]
        owner = self._owner(world, records, self.type)
        if owner is not None:
            world.hosts.done(self.host, owner)
        values = [r.data for r in here]
        before = intent.preimage if intent is not None else None
        written = [r for r in here if r.type == self.type and any(self._holds(r, data) for data in self._mine)]
        known = any(self._holds(r, data) for r in written for data in before or ())
        if owner is None and written and before is not None and not known:
            # Written by us, and the mark not yet: a value that was not there before our intent is ours.
            drift = ("mark",) if ours else ("data", "mark")
            return Observation(exists=True, owner=me, drift=drift, preimage=before)
        if owner is None and not here:
            return Observation(preimage=[])
        differs = [] if ours else ["data"]
        differs += ["ttl"] if ours and ours[0].ttl != self.ttl else []
        return Observation(
            exists=True,
            owner=owner,
            drift=tuple(differs),
            preimage=values,
            external_id=self.key,
            facts={"data": self.data},
        )

    def _holds(self, record: Record, data: str) -> bool:
        return same_data(record, data, self.zone)

    def _answering(self, records: ZoneRecords) -> list[Record]:
        return [r for r in records.at(full_name(self._name, self.zone)) if r.type in ADDRESS_TYPES]

    def _owner(self, world: World, records: ZoneRecords, type: str) -> str | None:
        return self._owner_at(world, records, naming(world).name(self.host, type))

    def _owner_at(self, world: World, records: ZoneRecords, name: str) -> str | None:
        """The resource of the mark at a name where it is of our owner id; another owner id is another's mark."""
        for record in records.at(name):
            if record.type == "TXT":
                found = ownership_of(record.data)
                if found is not None:
                    return found.resource if found.owner == self._owner_id(world) else f"owner {found.owner}"
        return None

    def _others(self, world: World, me: str, records: ZoneRecords) -> Iterator[str]:
        """Whoever else has a mark on the host, of whatever type.

        A mark whose record is gone counts: its owner is about to repair that. One of the old form, without the type,
        counts beside a record only, since external-dns leaves it behind.
        """
        named = naming(world)
        typed = [named.name(self.host, each) for each in ADDRESS_TYPES]
        for name in named.claims(self.host) if self._answering(records) else typed:
            owner = self._owner_at(world, records, name)
            if owner is not None and owner != me:
                yield owner

    async def check_takeover(self, world: World, me: str, owner: str | None) -> None:
        """Of everyone who has a mark on the host: who takes it over takes it from all of them."""
        others = self._others(world, me, await self._zone(world))
        for each in dict.fromkeys((owner, *others)):
            await super().check_takeover(world, me, each)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        shown = {record.type for record in self._answering(await self._zone(world))}
        for type in ADDRESS_TYPES:
            # Each read of a set counts: where neither the zone nor our past has that type, GoDaddy itself refuses both.
            if type != self.type and "CNAME" in (type, self.type) and (type in shown or self.previous):
                await self._displace(world, me, type)
        await self._write_value(world)
        await self._write_mark(world, me)

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await self.create(world, me, seen)

    async def _displace(self, world: World, me: str, type: str) -> None:
        """Take our value of another type out: a CNAME stands alone. Its mark goes with its own removal."""
        there = await self._set(world, type, self._name)
        if not there:
            return
        foreign = [r for r in there if not any(self._holds(r, data) for data in self.previous)]
        if foreign:
            raise ConflictError(
                f"{self.host} has {type} {foreign[0].data}, and a CNAME stands alone; remove it first",
                reason=Reason.OWNERSHIP_CONFLICT,
            )
        await self._take_out(world, type, self._name, lambda r: True)

    async def _write_value(self, world: World) -> None:
        there = await self._set(world, self.type, self._name)
        foreign = [r for r in there if not any(self._holds(r, data) for data in self._mine)]
        if foreign and self.type == "CNAME":
            raise ConflictError(
                f"{self.key} points to {foreign[0].data} already, and a name has one CNAME at most; remove it first",
                reason=Reason.OWNERSHIP_CONFLICT,
            )
        ours = Record(type=self.type, name=self._name, data=self.data, ttl=self.ttl)
        as_wanted = len(foreign) + 1 == len(there) and any(
            self._holds(r, self.data) and r.ttl == self.ttl for r in there
        )
        if not as_wanted:
            await world.godaddy.replace(self.zone, self.type, self._name, [*foreign, ours])

    async def _write_mark(self, world: World, me: str) -> None:
        name = self._mark_name(world)
        there = await self._set(world, "TXT", name)
        if any(_is_mark(r, self._owner_id(world), me) for r in there):
            return
        value = Ownership(owner=self._owner_id(world), resource=me).value()
        foreign = [r for r in there if not _is_of(r, self._owner_id(world))]
        mark = Record(type="TXT", name=name, data=value, ttl=self.ttl)
        await world.godaddy.replace(self.zone, "TXT", name, [*foreign, mark])

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await self._take_out(world, self.type, self._name, lambda r: any(self._holds(r, data) for data in self._mine))
        owner = self._owner_id(world)
        await self._take_out(world, "TXT", self._mark_name(world), lambda r: _is_mark(r, owner, me))

    async def _set(self, world: World, type: str, name: str) -> tuple[Record, ...]:
        """The set as it is now, to be written back with ours in it or without.

        What it lacks would be lost by that, so two reads must agree: Waiting is raised where it lacks a value that the
        zone as a whole has just shown. Not of marks: their names are ours, and a read of the zone after each write
        would use up the budget.
        """
        there = await world.godaddy.records(self.zone, type, name)
        if type == "TXT":
            return there
        shown = await self._zone(world)
        lost = [
            record
            for record in shown.at(full_name(name, self.zone))
            if record.type == type and not any(self._holds(record, each.data) for each in there)
        ]
        if lost:
            text = f"godaddy: the zone shows {type} {name} {lost[0].data}, and the set read by name does not"
            raise Waiting(f"{text}; both are read again", after=AGAIN)
        return there

    async def _take_out(self, world: World, type: str, name: str, ours: Callable[[Record], bool]) -> None:
        there = await self._set(world, type, name)
        rest = [r for r in there if not ours(r)]
        if len(rest) == len(there):
            return
        if rest:
            await world.godaddy.replace(self.zone, type, name, rest)
        else:
            await world.godaddy.delete(self.zone, type, name)


class DnsRecordRemoval(DnsRecord):
    """The same record, looked at for its removal: gone is what no nameserver gives any more, but for what a wildcard
    gives in its place: that answers as soon as the host is gone."""

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        records = await self._zone(world)
        seen = self._seen(world, me, intent, records)
        if seen.exists and seen.owner == me:
            return seen
        there = [in_full(self.type, data, self.zone) for data in seen.preimage or ()]
        given = self._of_wildcard(records)
        left = [data for data in self._mine if data not in there and normal(self.type, data) not in given]
        if intent is None or intent.op != "delete" or not left:
            return seen
        shown = await world.nameservers.gone(self.zone, self.host, self.type, left)
        if shown.ok:
            return seen
        after = pause(world.clock.now() - intent.at, world.settings.dns_poll_interval)
        return Observation(exists=True, owner=me, deleting=True, message=shown.detail, after=after)

    def _of_wildcard(self, records: ZoneRecords) -> set[str]:
        """What nameservers give for the host once it is gone, as they give it: no trace of ours."""
        found = [r for r in synthesized(records, self.zone, self.host) if r.type == self.type]
        return {normal(self.type, in_full(r.type, r.data, self.zone)) for r in found}


def applied_before(ledger: Ledger, step: str, zone: str, host: str, data: str) -> tuple[str, ...]:
    """The values that this step may have written at the host before: the last proven one, and those tried since.

    In this zone: in another one they are another record, and of the same values here we know nothing.
    """
    found: list[str | None] = []
    for entry in ledger.entries:
        here = (entry.value.get("zone"), entry.value.get("host")) == (zone, host)
        if entry.step == step and entry.kind == DnsRecord.__name__ and here:
            found.append(entry.facts.get("data"))
            if entry.intent is not None or entry.state is not EntryState.ACTIVE:
                found += [entry.value.get("data"), *entry.value.get("previous", ())]
    return tuple(sorted({value for value in found if value and value != data}))


def naming(world: World) -> TxtNaming:
    """Where marks are in DNS, by the settings."""
    settings = world.settings
    return TxtNaming(
        settings.dns_txt_prefix or "", settings.dns_txt_suffix or "", settings.dns_txt_wildcard_replacement or ""
    )


def same_data(record: Record, data: str, zone: str) -> bool:
    """Whether a record of the zone holds this value: names are compared in full, without case and final dot."""
    one, other = (in_full(record.type, each, zone).rstrip(".").lower() for each in (record.data, data))
    return one == other


def in_full(type: str, data: str, zone: str) -> str:
    """The name that a value means: GoDaddy may give a CNAME to the zone itself as `@`."""
    return zone if (type, data) == ("CNAME", APEX) else data


def _is_of(record: Record, owner: str) -> bool:
    found = ownership_of(record.data)
    return found is not None and found.owner == owner


def _is_mark(record: Record, owner: str, me: str) -> bool:
    found = ownership_of(record.data)
    return found is not None and found.owner == owner and found.resource == me
