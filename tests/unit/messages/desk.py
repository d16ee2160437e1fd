"""A heartbeat sender on a broker in memory, for the tests of this folder."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from devops_reconciler.api.heartbeat import heartbeat
from devops_reconciler.messages.sender import HeartbeatSender
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics

from .broker import turns
from .fake_broker import FakeBroker
from .samples import NOW
from .samples import settings as make_settings

INTERVAL = timedelta(seconds=10)


def beat(sequence: int, uid: str = "u-1", *, terminal: bool = False, step: str = "build") -> dict[str, Any]:
    return heartbeat(
        uid,
        "shop",
        f"shop-{uid}",
        "production",
        "e-1",
        sequence,
        at=NOW + timedelta(seconds=sequence),
        step=step,
        state="Succeeded" if terminal else "Running",
        percent=min(sequence, 100),
        eta_seconds=None,
        message="It goes on.",
        url=None,
        reason=None,
        terminal=terminal,
        result="Succeeded" if terminal else None,
    )


class Desk:
    """A sender on a broker in memory, with a clock that stands still."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.clock = FakeClock(NOW)
        self.metrics = Metrics()
        self.told: list[tuple[str, int]] = []
        self.may_send = True
        self.sender = HeartbeatSender(
            make_settings(),
            self.broker.connect,
            self.clock,
            self.metrics,
            lambda uid, sequence: self.told.append((uid, sequence)),
            may_send=lambda: self.may_send,
        )
        self.task = asyncio.create_task(self.sender.run())

    @property
    def ids(self) -> list[str]:
        return [one.message_id for one in self.broker.published]

    def unconfirmed(self, uid: str, outbox: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is left in a record's status."""
        return outbox[sum(of == uid for of, _ in self.told) :]

    async def pass_time(self, seconds: float) -> None:
        """In small steps, as ticks and attempts to connect follow one another."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(timedelta(seconds=0.5))
            await turns(20)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
