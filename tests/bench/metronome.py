"""Messages at a steady pace, whatever becomes of them: `python -m tests.bench.metronome INTERVAL COUNT PROJECT…`.

A process of its own, since the bench's is busy with the stand-ins. It says `READY`, begins at a line on stdin, sends
`COUNT` messages at most, and ends at a second line: it waits for the heartbeats that are still to come, and prints the
latencies as JSON, in seconds. Each is from the time at which the message was to be sent, sent late or not, to the first
heartbeat of its deployment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from testbed.stage_heartbeats import Heartbeat, Heartbeats
from testbed.triggers import Message, reconcile
from testbed.waiting import eventually

READY = "READY"
PATIENCE = timedelta(seconds=60)
"""For heartbeats that are still to come."""


@dataclass(frozen=True)
class Broker:
    """The broker of the operator's environment."""

    host: str
    port: int
    username: str
    password: str
    vhost: str

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Broker:
        it = {name: variables[f"RABBITMQ_{name.upper()}"] for name in ("host", "username", "password", "vhost")}
        return cls(port=int(variables["RABBITMQ_PORT"]), **it)


def latencies(due: Mapping[str, float], heard: Mapping[str, float]) -> list[float | None]:
    """Seconds from when each message was due until it was heard of; None for one that never was."""
    return [heard[event] - at if event in heard else None for event, at in due.items()]


class Metronome:
    """One run of it."""

    def __init__(self, beats: Heartbeats, projects: list[str]) -> None:
        self._beats = beats
        self._projects = projects
        self.due: dict[str, float] = {}
        self.heard: dict[str, float] = {}
        self.ended = asyncio.Event()
        """Set from outside: no more messages."""
        beats.listeners.append(self._hear)

    def _hear(self, beat: Heartbeat) -> None:
        event = str(beat.payload["trigger_event_id"])
        if event in self.due:
            self.heard.setdefault(event, time.monotonic())

    async def run(self, interval: float, count: int) -> None:
        """Send them, each at its time, without waiting for the one before."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as sent:
            for number in range(count):
                at = start + number * interval
                if await self._ended_before(at):
                    break
                message = reconcile(self._projects[number % len(self._projects)])
                self.due[message["event_id"]] = at
                sent.create_task(self._send(message))

    async def _ended_before(self, at: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, at - time.monotonic())):
                return await self.ended.wait()
        except TimeoutError:
            return False

    async def _send(self, message: Message) -> None:
        await self._beats.publish(message)

    async def hear_all(self) -> None:
        """Until each has been heard of, or patience ends."""

        async def heard() -> bool:
            return not self.due.keys() - self.heard.keys()

        with suppress(TimeoutError):
            await eventually(heard, "all are heard of", PATIENCE)


async def main(interval: float, count: int, projects: list[str]) -> None:
    """See the head of this file."""
    async with Heartbeats(Broker.of(os.environ)) as beats:
        metronome = Metronome(beats, projects)
        _say(READY)
        await _line()
        running = asyncio.create_task(metronome.run(interval, count))
        await _line()
        metronome.ended.set()
        await running
        await metronome.hear_all()
    _say(json.dumps(latencies(metronome.due, metronome.heard)))


async def _line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
