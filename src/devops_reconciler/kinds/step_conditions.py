"""A condition for one part of the work: of the steps that make it up."""

from __future__ import annotations

from collections.abc import Sequence

from ..api.conditions import Reason
from ..api.deployment_record import StepState
from ..engine.conditions import Conditions, say
from ..engine.outcome import Outcome


def step_condition(into: Conditions, kind: str, outcome: Outcome, steps: Sequence[str]) -> None:
    """True when all of `steps` are done, False when one failed, Unknown in between; absent while none has begun."""
    results = [r for r in outcome.results if r.step in steps]
    if not results or all(r.state is StepState.PENDING for r in results):
        return
    open_results = [r for r in results if not r.done]
    if not open_results:
        paused = any(r.reason is Reason.PAUSED for r in results)
        into.put(kind, "True", Reason.SUCCEEDED, "paused" if paused else "")
        return
    first = open_results[0]
    status = "False" if first.state is StepState.FAILED else "Unknown"
    into.put(kind, "False" if status == "False" else "Unknown", first.reason, say(first))
