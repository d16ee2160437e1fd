"""The health check `rabbitmq_connection`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .canary import Canary
from .listener import MessageListener
from .sender import HeartbeatSender


@dataclass(frozen=True)
class RabbitmqCheck:
    """Both ways: messages in, and heartbeats out where this replica sends them (`sends`)."""

    listener: MessageListener
    sender: HeartbeatSender
    sends: Callable[[], bool] = lambda: True
    canary: Canary | None = None

    async def check(self) -> str:
        """A sentence for people. Raises ExternalServiceError where one of the ways is closed."""
        said = [await self.listener.check()]
        if self.canary is not None:
            said.append(await self.canary.check())
        heartbeats = await self.sender.check() if self.sends() else "sent by another replica"
        return "; ".join([*said, f"heartbeats: {heartbeats}"])
