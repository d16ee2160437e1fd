"""An inbox for the tests of this folder."""

from __future__ import annotations

from datetime import datetime

import pytest

from devops_reconciler.api.errors import ReconcilerError, Refused
from devops_reconciler.api.names import record_name
from devops_reconciler.messages.inbox import Inbox, Outcome, read
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.kubernetes import Object

from .cluster import NAMESPACE, FakeCluster
from .samples import NOW, settings


class Box:
    """An inbox on a cluster in memory."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.made: list[Object] = []
        self.inbox = Inbox(self.cluster, settings(), FakeClock(NOW), self.made.append)

    async def accept(self, body: bytes, replayed_at: datetime | None = None) -> Outcome:
        return await self.inbox.accept(read(body), replayed_at)

    async def word(self, body: bytes, replayed_at: datetime | None = None) -> str:
        return (await self.accept(body, replayed_at)).word

    async def refusal(self, body: bytes, replayed_at: datetime | None = None) -> ReconcilerError:
        with pytest.raises(Refused) as refused:
            await self.accept(body, replayed_at)
        return refused.value

    def the_project(self) -> Object:
        (found,) = self.cluster.projects()
        return found

    def the_record(self) -> Object:
        (found,) = self.cluster.records()
        return found

    def record_of(self, event_id: str) -> Object | None:
        return self.cluster.objects.get(("DeploymentRecord", NAMESPACE, record_name("shop", event_id)))
