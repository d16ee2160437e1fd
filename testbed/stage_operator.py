"""The operator of a stage: a child process, with its log, its signals and its health."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import aiohttp

from testbed.launcher import ForkedProcess, Launcher
from testbed.processes import STOP_GRACE, ChildProcess, ProcessError
from testbed.waiting import eventually

START_DEADLINE = timedelta(seconds=120)
PROBE_TIMEOUT = aiohttp.ClientTimeout(total=5)
REPOSITORY = Path(__file__).parent.parent
# What a program needs to run at all; the rest of the caller's environment would only be doubt.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """These variables and nothing of ours but what every program needs."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONUNBUFFERED": "1"} | dict(variables)


class Operator:
    """``devops-reconciler run`` as a child process. It may be killed, stopped and started again with the same log.

    With a ``launcher`` it starts sooner, unless it is to run another source. ``python`` is the interpreter with its
    options, such as a profiler as a module.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        *,
        name: str = "operator",
        launcher: Launcher | None = None,
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        self.environment = dict(environment)
        self.url = f"http://{self.environment['RECONCILER_HTTP_HOST']}:{self.environment['RECONCILER_HTTP_PORT']}"
        clean = clean_environment(environment)
        if launcher is not None and launcher.can_start(clean):
            self._process: ChildProcess = ForkedProcess(launcher, name, log=log, environment=clean, cwd=REPOSITORY)
        else:
            command = [*python, "-m", "devops_reconciler", "run"]
            self._process = ChildProcess(name, command, log=log, environment=clean, cwd=REPOSITORY)

    @property
    def alive(self) -> bool:
        return self._process.alive

    @property
    def pid(self) -> int:
        """Its process id; raises ProcessError when it does not run."""
        return self._process.pid

    async def start(self) -> None:
        """Start it; returns at once. See :meth:`wait_ready`."""
        await asyncio.to_thread(self._process.start)

    async def wait_ready(self, deadline: timedelta = START_DEADLINE) -> None:
        """Until ``/readyz`` answers 200. Raises ProcessError with the end of its log when it ends before."""

        async def ready() -> bool:
            if not self.alive:
                raise ProcessError(f"the operator ended before it was ready. Its log:\n{self.logs(40)}")
            return (await self.answer("/readyz"))[0] == 200

        try:
            await eventually(ready, "the operator is ready", deadline)
        except TimeoutError as error:
            said = (await self.answer("/readyz"))[1]
            raise ProcessError(f"{error}. /readyz: {said}. Its log:\n{self.logs(40)}") from error

    async def answer(self, path: str) -> tuple[int, str]:
        """Status and body of a GET at its port; status 0 when it does not answer."""
        try:
            async with aiohttp.ClientSession(timeout=PROBE_TIMEOUT) as session, session.get(self.url + path) as reply:
                return reply.status, await reply.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, str(error)

    async def kill(self) -> None:
        """``kill -9``."""
        await asyncio.to_thread(self._process.kill)

    async def stop(self, grace: timedelta = timedelta(seconds=35)) -> int | None:
        """TERM; returns the exit code, None if it did not run. After ``grace`` it is killed."""
        return await asyncio.to_thread(self._process.stop, max(grace, STOP_GRACE))

    async def restart(self, *, kill: bool = True) -> None:
        """End it (by default as a crash does), start it again, and wait until it is ready."""
        await (self.kill() if kill else self.stop())
        await self.start()
        await self.wait_ready()

    def logs(self, lines: int = 100) -> str:
        """The last lines of its log."""
        return self._process.log_tail(lines)

    @property
    def resident_bytes(self) -> int:
        """Its resident memory, by the kernel."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ProcessError("the kernel tells no resident memory")
