"""Forced deletion: what cannot be removed is let go, after a last try. Pure: nothing here asks or writes anything."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from ..api.deployment_record import StepState
from ..api.errors import Waiting
from .ledger import Entry, EntryState
from .outcome import Outcome, StepResult

LAST_TRY = timedelta(seconds=30)
"""How long what is on its way out may still take when its turn has come only now."""


def let_go(
    outcome: Outcome,
    failed_before: Collection[int],
    now: datetime,
    *,
    overdue: bool,
    may: Callable[[Entry], bool] = lambda entry: True,
) -> list[Entry]:
    """Mark as `left` what this pass of removal has found hopeless, and give it.

    Hopeless is what failed in this pass and in an earlier one (`failed_before`, by `id`): at once where somebody must
    act, else when the removal is `overdue`; and what does not come to its end, when overdue. What has not had its turn
    is kept: it comes when those before it are gone or let go.
    """
    left = [result for result in outcome.results if _hopeless(result, failed_before, now, overdue=overdue)]
    found = []
    for result in left:
        entry = result.entry
        if entry is not None and may(entry):
            entry.state, entry.note, entry.finished_at = EntryState.LEFT, result.message, now
            found.append(entry)
    return found


def _hopeless(result: StepResult, failed_before: Collection[int], now: datetime, *, overdue: bool) -> bool:
    entry = result.entry
    if entry is None:
        return False
    if result.error is not None and not isinstance(result.error, Waiting):
        return id(entry) in failed_before and (overdue or result.state is StepState.FAILED)
    if result.state is not StepState.RUNNING or not overdue:
        return False
    if entry.intent is not None and entry.intent.op == "delete":
        return now - entry.intent.at >= LAST_TRY
    entry.started_at = entry.started_at or now
    return now - entry.started_at >= LAST_TRY
