"""A login that is refused once ends no deployment: it may be rotated right now, or its service may be starting. Nor
does a Secret that is absent for a moment: it may be deleted and made again."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..api.deployment_record import StepState
from ..api.errors import CredentialsError, SecretNotFoundError
from ..deployment import SECRET_STEP
from ..engine.conditions import CREDENTIALS_READY, VENDOR_DEGRADED, Conditions, say
from ..engine.outcome import Outcome, StepResult

PATIENCE = timedelta(seconds=60)
"""How long a login may be refused, or a Secret absent. Longer than a rotated Secret takes to arrive in the operator."""
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


def bear_absent_secrets(
    outcome: Outcome, conditions: Conditions, now: datetime, ask_again: timedelta = ASK_AGAIN
) -> None:
    """Turn absent Secrets that are to be copied into waits, as long as CredentialsReady is not False for longer than
    our patience. It is dropped when all are there."""
    absent = [r for r in outcome.results if _is_absent(r)]
    if not absent:
        conditions.drop(CREDENTIALS_READY)
        return
    known = conditions.get(CREDENTIALS_READY)
    since = known.last_transition_time if known is not None else now
    conditions.put(CREDENTIALS_READY, "False", absent[0].reason, "; ".join(map(say, absent)))
    for result in absent if now - since < PATIENCE else ():
        result.state, result.after = StepState.WAITING, ask_again


def start_anew(conditions: Conditions) -> None:
    """Of logins and Secrets nothing is known any more: their time begins when they are next looked at."""
    for flag in (CREDENTIALS_READY, VENDOR_DEGRADED):
        conditions.drop(flag)


def _is_absent(result: StepResult) -> bool:
    return isinstance(result.error, SecretNotFoundError) and result.step.startswith(SECRET_STEP)


def _is_refused(result: StepResult) -> bool:
    refused = isinstance(result.error, CredentialsError) and result.error.status == 401
    return refused and result.state is StepState.FAILED
