"""Deliveries with fakes all around, for the tests of this folder."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from aio_pika.abc import AbstractIncomingMessage

from devops_reconciler.api.errors import (
    ExternalServiceError,
)
from devops_reconciler.messages.deliveries import Deliveries, Lane
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.manager import Backoff
from devops_reconciler.runtime.metrics import Metrics

from .broker import FakeDelivery, FakeGrave, FakeInbox
from .samples import NOW

SECOND = timedelta(seconds=1)
AWAY = ExternalServiceError("kubernetes: connection refused", service="kubernetes")


class Bench:
    """Deliveries with fakes all around."""

    def __init__(self) -> None:
        self.inbox = FakeInbox()
        self.grave = FakeGrave()
        self.clock = FakeClock(NOW)
        self.metrics = Metrics()
        backoff = Backoff(first=SECOND, longest=8 * SECOND, fraction=lambda: 0.0)
        self.lane = Lane(self.inbox, self.grave.bury, self.clock, self.metrics, 600 * SECOND, backoff)
        self.deliveries = Deliveries(self.lane)

    def take(self, body: bytes, **options: Any) -> FakeDelivery:
        delivery = FakeDelivery(body, **options)
        self.deliveries.take(cast(AbstractIncomingMessage, delivery))
        return delivery

    def counted(self, kind: str, outcome: str) -> float | None:
        labels = {"type": kind, "outcome": outcome}
        return self.metrics.registry.get_sample_value("devops_reconciler_messages_total", labels)
