"""Heartbeats of a record: put into its status together with what they tell (the outbox), and sent from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..api.deployment_record import (
    PRODUCTION,
    DeploymentRecordSpec,
    DeploymentRecordStatus,
    StepState,
    StepStatus,
)
from ..api.faults import Fault
from ..api.heartbeat import heartbeat
from ..engine.conditions import READY, shorten
from .reconcile import Reconciliation


class Telling(Reconciliation[DeploymentRecordSpec, DeploymentRecordStatus]):
    """What a record tells while it goes on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields: dict[str, Any] = {}
        self._sent = self.context.confirmed(str(self.obj["metadata"]["uid"]))
        self._outbox = list(self.status.heartbeat.outbox)
        self._sequence = self.status.heartbeat.sequence

    def tell(
        self,
        step: str,
        state: StepState,
        message: str,
        *,
        percent: int | None = None,
        eta: int | None = None,
        reason: str | None = None,
        fault: Fault | None = None,
        url: str | None = None,
        result: str | None = None,
    ) -> None:
        """Put one heartbeat into the outbox. `result` makes it the terminal one."""
        spec = self.obj["spec"]
        self._sequence += 1
        self._outbox.append(
            heartbeat(
                self.obj["metadata"]["uid"],
                spec["projectRef"]["name"],
                self.obj["metadata"]["name"],
                spec.get("environment", PRODUCTION),
                spec.get("triggerEventId"),
                self._sequence,
                namespace=self.obj["metadata"]["namespace"],
                at=self.now,
                step=step,
                state=state.value,
                percent=percent if percent is not None else self.status.percent or 0,
                eta_seconds=eta,
                message=shorten(message),
                url=url,
                reason=reason,
                fault=fault,
                terminal=result is not None,
                result=result,
            )
        )

    def waits_anew(self, step: str, message: str) -> bool:
        """Whether this wait has not been told yet: the same words again are no news."""
        said = next((c for c in self.status.conditions if c.type == READY), None)
        return said is None or said.message != shorten(message)

    async def save(self, fields: Mapping[str, Any] | None = None) -> None:
        outbox = {"sequence": self._sequence, "outbox": self._kept()}
        dated = {name: _json(value) for name, value in {**self.fields, **(fields or {})}.items()}
        await super().save({"heartbeat": outbox, **self.acknowledged(), **dated})

    def _kept(self) -> list[Any]:
        """What must stay in the outbox: what is not confirmed, and the last of a running deployment, for its ticks.

        Cleared together with news, or at the end: a confirmation alone is not worth a write.
        """
        ended = self.conditions.is_true("Finished")
        goes = self.conditions.is_true("Expired") and not self.conditions.is_true("CleanupVerified")
        if self._sequence == self.status.heartbeat.sequence and (goes or not ended):
            return self._outbox
        last = None if ended else self._sequence
        return [m for m in self._outbox if m["payload"]["sequence"] > self._sent or m["payload"]["sequence"] == last]

    @property
    def all_told(self) -> bool:
        """The broker has every heartbeat: what an earlier process had confirmed is not in the outbox any more."""
        return are_sent(self._outbox, self._sent)

    def note_durations(self, before: Sequence[StepStatus], after: Sequence[StepStatus]) -> None:
        """Steps that ended in this pass, for the metrics: (name, seconds)."""
        known = {s.name: s.finished_at for s in before}
        self.ended_steps = [
            (s.name, (s.finished_at - s.started_at).total_seconds())
            for s in after
            if s.finished_at and s.started_at and known.get(s.name) is None
        ]

    ended_steps: Sequence[tuple[str, float]] = ()


def are_sent(outbox: Sequence[Mapping[str, Any]], confirmed: int) -> bool:
    """Whether the broker, which has `confirmed` so many, has all heartbeats of an outbox."""
    return all(entry["payload"]["sequence"] <= confirmed for entry in outbox)


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value
