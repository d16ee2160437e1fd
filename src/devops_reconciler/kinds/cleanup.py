"""Removing all that belongs to applications, with a report per resource."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..api.base import EffectivePolicy
from ..engine.ledger import CLOSED, Entry, EntryState, Ledger
from ..engine.lifecycle import ResourceLifecycleManager, release
from ..engine.outcome import Outcome
from ..engine.window import Save
from ..resources.world import World
from ..runtime.clock import Clock

NOT_GONE = "not gone after"
"""What is noted of a resource whose removal has met no error, and takes too long."""


@dataclass(frozen=True)
class ArgoApplicationInfo:
    """One application and the ledger of what was made with it. `since`: when its clean-up began."""

    name: str
    ledger: Ledger
    lifecycle: ResourceLifecycleManager[World]
    save: Save
    since: datetime
    policies: Mapping[str, EffectivePolicy] = field(default_factory=dict)
    only: Callable[[Entry], bool] = lambda entry: True


@dataclass(frozen=True)
class ResourceReport:
    """What became of one resource: `active`, `cleaned`, `cleanup_failed`, or `left` by a forced deletion."""

    application: str
    resource_type: str
    name: str
    state: str
    detail: str


@dataclass(frozen=True)
class CleanupReport:
    """What became of all of them, and each application's outcome."""

    resources: tuple[ResourceReport, ...]
    outcomes: Mapping[str, Outcome]

    @property
    def clean(self) -> bool:
        """Nothing is left."""
        return all(outcome.ready for outcome in self.outcomes.values())


async def cleanup_application_resources(
    applications: Sequence[ArgoApplicationInfo],
    skip_resource_types: Collection[str] = (),
    cleanup_timeout: timedelta = timedelta(seconds=300),
    *,
    clock: Clock,
) -> CleanupReport:
    """One pass of removal over every application, side by side: one that fails delays no other.

    What is not gone is looked at again at the next pass. `skip_resource_types` (names of resources, like `Image`) are
    left and no longer ours. A resource that is not gone `cleanup_timeout` after `since` is reported as
    `cleanup_failed`, and still tried. Raises only what saving raises.
    """
    outcomes = await asyncio.gather(*(_clean(it, skip_resource_types) for it in applications))
    reports: list[ResourceReport] = []
    for it in applications:
        overdue = clock.now() - it.since >= cleanup_timeout
        reports += [
            _report(it, entry, cleanup_timeout, overdue=overdue) for entry in it.ledger.entries if it.only(entry)
        ]
    return CleanupReport(tuple(reports), {it.name: o for it, o in zip(applications, outcomes, strict=True)})


async def _clean(it: ArgoApplicationInfo, skip: Collection[str]) -> Outcome:
    if skip:
        release(it.ledger, lambda entry: it.only(entry) and entry.kind in skip, "skipped on request")
    return await it.lifecycle.clean(it.ledger, it.save, it.policies, only=it.only)


def has_failed(entry: Entry) -> bool:
    """Whether its removal has met an error when it was last tried."""
    return entry.state is EntryState.CLEANUP_FAILED and not entry.note.startswith(NOT_GONE)


def _report(it: ArgoApplicationInfo, entry: Entry, timeout: timedelta, *, overdue: bool) -> ResourceReport:
    if overdue and entry.state not in (*CLOSED, EntryState.CLEANUP_FAILED):
        entry.state = EntryState.CLEANUP_FAILED
        entry.note = entry.note or f"{NOT_GONE} {timeout.total_seconds():g} s"
    state = entry.state if entry.state in (*CLOSED, EntryState.CLEANUP_FAILED) else EntryState.ACTIVE
    return ResourceReport(it.name, entry.kind, entry.key, state.value, entry.note)
