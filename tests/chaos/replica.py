"""One process of the operator that comes back whenever it was killed."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from testbed.processes import ProcessError
from testbed.stage_operator import Operator


class Replica:
    """The process and its reviver. Started by :meth:`revive`, ended by :meth:`end`."""

    def __init__(self, operator: Operator, log: Path) -> None:
        self.operator = operator
        self.kills = 0
        self.failed_starts: list[str] = []
        """Why it did not come back after a kill; it is tried again."""
        self._log = log
        self._killed, self._running, self._may_rise = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._may_rise.set()
        self._reviver: asyncio.Task[None] | None = None

    def revive(self) -> None:
        """From now on; it runs already."""
        self._running.set()
        self._reviver = asyncio.create_task(self._revive(), name="reviver")

    async def end(self) -> None:
        """For good, as a crash."""
        if self._reviver is not None:
            self._reviver.cancel()
            with suppress(asyncio.CancelledError):
                await self._reviver
        await self.operator.kill()

    def kill(self) -> None:
        """``kill -9`` at this very moment; it is started again at once."""
        if not self._running.is_set():
            return
        os.kill(self.operator.pid, signal.SIGKILL)
        self.kills += 1
        self._running.clear()
        self._killed.set()

    def stay_down(self) -> None:
        """Once killed, it is not started before :meth:`rise`."""
        self._may_rise.clear()

    def rise(self) -> None:
        """It may be started again."""
        self._may_rise.set()

    async def pause(self, time: timedelta) -> None:
        """SIGSTOP, and SIGCONT after this time: it does not know that it has slept."""
        pid = self.operator.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(time.total_seconds())
        os.kill(pid, signal.SIGCONT)

    async def alive(self, deadline: timedelta) -> None:
        """Until it runs and is ready."""
        async with asyncio.timeout(deadline.total_seconds()):
            await self._running.wait()
        await self.operator.wait_ready(deadline)

    def is_called(self, identity: str) -> bool:
        """By the lines of its log that say which replica they are of: others name it, too."""
        return f'"replica": "{identity}"' in self._log.read_text(errors="replace")

    async def _revive(self) -> None:
        while True:
            await self._killed.wait()
            self._killed.clear()
            await self._may_rise.wait()
            try:
                await self.operator.restart(kill=True)
                self._running.set()
            except ProcessError as error:
                self.failed_starts.append(str(error))
                self._killed.set()
