"""What a pass came to: a result per step, the only source of conditions, and the facts of what is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ..api.conditions import Reason
from ..api.deployment_record import StepState
from ..api.errors import ExternalServiceError, ReconcilerError, Waiting
from .ledger import Entry
from .resource import Observation


class NotYet(Exception):
    """A step needs the facts of an earlier one that has none yet."""


class Facts:
    """Facts of the steps that are done, by step."""

    def __init__(self) -> None:
        self._facts: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, step: str) -> Mapping[str, Any]:
        if step not in self._facts:
            raise NotYet(step)
        return self._facts[step]

    def get(self, step: str) -> Mapping[str, Any] | None:
        return self._facts.get(step)

    def put(self, step: str, facts: Mapping[str, Any]) -> None:
        self._facts[step] = facts


@dataclass
class StepResult:
    """What one pass found for one step."""

    step: str
    state: StepState
    reason: Reason = Reason.PROGRESSING
    message: str = ""
    after: timedelta | None = None
    error: Exception | None = None
    seen: Observation | None = None
    drifted: tuple[str, ...] = ()
    written: bool = False
    """This pass has made it or brought it in line."""
    entry: Entry | None = None
    """Of a removal: what it is about."""

    @property
    def done(self) -> bool:
        """Nothing is left to do for it."""
        return self.state in (StepState.SUCCEEDED, StepState.SKIPPED)

    def fail(self, error: Exception) -> None:
        """Become what an error means for the step."""
        self.error, self.after = error, None
        if isinstance(error, (Waiting, ExternalServiceError)):
            self.state = StepState.RUNNING if isinstance(error, Waiting) else StepState.WAITING
            self.reason, self.message, self.after = error.reason, error.message, error.after
        elif isinstance(error, ReconcilerError):
            self.state, self.reason, self.message = StepState.FAILED, error.reason, error.message
        else:
            self.state, self.reason = StepState.WAITING, Reason.INTERNAL_ERROR
            self.message = f"unexpected {type(error).__name__}; the log has the traceback"


@dataclass
class Outcome:
    """The result of a pass, the only source of conditions. `after` None: nothing is left to do."""

    results: list[StepResult] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    acted: bool = False
    learned: bool = False
    """An act has put something into the ledger that no later look can tell (the value of a blind update)."""
    replaced: list[StepResult] = field(default_factory=list)
    """Of what was wanted before and is not gone yet. It says nothing of what is wanted now, so it is no part of it."""
    gone: bool = False
    """The last of that has gone with this pass: what has stood by for it may go too."""

    @property
    def all_results(self) -> list[StepResult]:
        """Those of the steps, and those of what they have replaced."""
        return [*self.results, *self.replaced]

    @property
    def ready(self) -> bool:
        return all(r.done for r in self.results)

    @property
    def failure(self) -> StepResult | None:
        return next((r for r in self.results if r.state is StepState.FAILED), None)

    @property
    def blocking(self) -> StepResult | None:
        """The first step that is neither done nor skipped."""
        return next((r for r in self.results if not r.done), None)

    @property
    def only_acted(self) -> bool:
        """All that this pass has come to is what it did: saved as intents before, and seen by a look right after."""
        return self.acted and not self.learned and all(r.error is None for r in self.results)


def failed_step(step: str, error: Exception) -> StepResult:
    """The result that an error means for its step."""
    result = StepResult(step, StepState.PENDING)
    result.fail(error)
    return result


def maybe_applied(error: Exception) -> bool:
    """Whether a write that ended with this error may have had its effect."""
    if isinstance(error, ExternalServiceError):
        return error.maybe_applied
    return not isinstance(error, ReconcilerError)
