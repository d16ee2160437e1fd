"""A login that is refused once ends no deployment: it may be rotated right now, or its service may be starting."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..api.deployment_record import StepState
from ..api.errors import CredentialsError
from ..engine.conditions import VENDOR_DEGRADED, Conditions
from ..engine.outcome import Outcome, StepResult

PATIENCE = timedelta(seconds=60)
"""How long a login may be refused. Longer than a rotated Secret takes to arrive in the operator."""
READS_GIT = "revision"
"""Ends at once: set-up reads the same repository all the time, and says so by itself when it can be read again."""
ASK_AGAIN = timedelta(seconds=10)


def bear(outcome: Outcome, conditions: Conditions, now: datetime, ask_again: timedelta = ASK_AGAIN) -> None:
    """Turn refused logins (401) into waits, as long as VendorDegraded is not older than our patience.

    A missing permission (403) is no matter of time, and a login that a project brings for Git is its own.
    """
    degraded = conditions.get(VENDOR_DEGRADED)
    since = degraded.last_transition_time if degraded is not None and degraded.status == "True" else now
    if now - since >= PATIENCE:
        return
    for result in outcome.results:
        if _is_refused(result) and result.step != READS_GIT:
            result.state, result.after = StepState.WAITING, ask_again


def _is_refused(result: StepResult) -> bool:
    refused = isinstance(result.error, CredentialsError) and result.error.status == 401
    return refused and result.state is StepState.FAILED
