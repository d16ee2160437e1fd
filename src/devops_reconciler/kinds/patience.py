"""A login that is refused once ends no deployment: it may be rotated right now, or its service may be starting. Nor
does a Secret that is absent for a moment: it may be deleted and made again."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..api.conditions import Condition, Reason
from ..api.deployment_record import StepState
from ..api.errors import CredentialsError, SecretNotFoundError
from ..deployment import SECRET_STEP
from ..engine.conditions import CREDENTIALS_READY, Conditions, say
from ..engine.outcome import Outcome, StepResult

PATIENCE = timedelta(seconds=60)
"""How long a login may be refused, or a Secret absent. Longer than a rotated Secret takes to arrive in the operator."""
READS_GIT = "revision"
"""Ends at once: set-up reads the same repository all the time, and says so by itself when it can be read again."""
INPUTS_STEP = "inputs"
"""What stands for all steps where a deployment's inputs could not be read."""
ASK_AGAIN = timedelta(seconds=10)


def bear(outcome: Outcome, conditions: Conditions, now: datetime, ask_again: timedelta = ASK_AGAIN) -> None:
    """Turn refused logins (401), and absent Secrets that are to be copied, into waits for as long as our patience.

    `CredentialsReady` is False from when a step first lacks one until that step has another answer. Other services may
    be ill meanwhile: VendorDegraded tells nothing of how long a login has been refused.
    A missing permission (403) is no matter of time, and a login that a project brings for Git is its own.
    """
    known = conditions.get(CREDENTIALS_READY)
    lacking = sorted(filter(_is_lacking, outcome.results), key=lambda result: not _is_of(known, result))
    if not (_is_of(known, lacking[0]) if lacking else _is_out_of_sight(known, outcome)):
        conditions.drop(CREDENTIALS_READY)
    if not lacking:
        return
    since = known.last_transition_time if known is not None and conditions.get(CREDENTIALS_READY) else now
    conditions.put(CREDENTIALS_READY, "False", lacking[0].reason, "; ".join(map(say, lacking)))
    for result in lacking if now - since < PATIENCE else lacking[1:]:
        result.state, result.after = StepState.WAITING, ask_again


def _is_of(known: Condition | None, result: StepResult) -> bool:
    """Whether the condition is first of all about this step: `say` begins with its name."""
    return known is not None and known.message.startswith(f"{result.step}: ")


def _is_out_of_sight(known: Condition | None, outcome: Outcome) -> bool:
    """Whether this pass has not come to the step that was refused. Of absent Secrets each pass tells."""
    if known is None or known.reason != Reason.CREDENTIALS_INVALID:
        return False
    told = [result for result in outcome.results if _is_of(known, result)]
    return all(r.state is StepState.PENDING for r in told) if told else outcome.results[0].step == INPUTS_STEP


def _is_lacking(result: StepResult) -> bool:
    return _is_absent(result) or (_is_refused(result) and result.step != READS_GIT)


def _is_absent(result: StepResult) -> bool:
    return isinstance(result.error, SecretNotFoundError) and result.step.startswith(SECRET_STEP)


def _is_refused(result: StepResult) -> bool:
    refused = isinstance(result.error, CredentialsError) and result.error.status == 401
    return refused and result.state is StepState.FAILED
