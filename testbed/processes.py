"""Child processes of the testbed: started with a log each, waited for with a deadline, stopped by their pid.

Each child leads a session of its own, so Ctrl-C reaches only the parent, which then stops its children in order. A
small warden process (:mod:`testbed.warden`) ends them when the parent could not: after ``kill -9`` or a crash.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from testbed import warden

POLL = timedelta(milliseconds=50)
STOP_GRACE = timedelta(seconds=10)
START_DEADLINE = timedelta(seconds=60)
# Below the range from which the kernel takes the ports of outgoing connections (32768 and up), so that a port which is
# chosen here is still free when the child process comes to listen on it.
PORTS = range(20000, 32000)


class ProcessError(RuntimeError):
    """A child process did not start or ended too early; the text has the end of its log."""


class _Warden:
    """The connection to the one warden process of this process; started when first needed."""

    def __init__(self) -> None:
        self._owner = 0
        self._pipe: IO[str] | None = None

    def tell(self, line: str) -> None:
        if self._pipe is None or self._owner != os.getpid():
            command = [sys.executable, "-I", "-S", warden.__file__]
            # Not waited for: it ends after this process. Popen would warn about that, so its pid alone is kept.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
            self._pipe, self._owner = process.stdin, os.getpid()
            process.returncode = 0
            assert self._pipe is not None
            atexit.register(self._pipe.close)
        assert self._pipe is not None
        self._pipe.write(line + "\n")
        self._pipe.flush()


_warden = _Warden()
_reserved: list[socket.socket] = []


@atexit.register
def _free_ports() -> None:
    """What is left to the interpreter's end is complained about there, once for each."""
    for reservation in _reserved:
        reservation.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port on which nothing listens at ``host``, never given out twice while its taker lives.

    The reservation is a name in the kernel's abstract socket namespace: seen by all testbeds of the machine, gone with
    this process.
    """
    for port in random.sample(PORTS, len(PORTS)):
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                reservation.bind(f"\0devops-reconciler-testbed-{host}-{port}")
                probe.bind((host, port))
        except OSError:
            reservation.close()
            continue
        _reserved.append(reservation)
        return port
    raise ProcessError(f"no free port on {host} between {PORTS.start} and {PORTS.stop}")


class RunFolder:
    """A temporary folder for one run: configuration, data and logs. Removed at the end, also after a crash."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        _warden.tell(f"remove {self.path}")

    def remove(self) -> None:
        """Removes the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if not self.path.exists():
            _warden.tell(f"keep {self.path}")

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.remove()


class Started(Protocol):
    """A running process: what a :class:`ChildProcess` asks of a ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int, /) -> None: ...


class ChildProcess:
    """One program, which can be started again after it was stopped or killed.

    ``environment`` is the whole environment of the child; by default it gets the parent's. Stdout and stderr go to
    ``log``. The methods block; call them through ``asyncio.to_thread`` from a coroutine.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._environment = dict(os.environ if environment is None else environment)
        self._cwd = cwd
        self._process: Started | None = None

    @property
    def pid(self) -> int:
        """The pid of the running child."""
        if self._process is None:
            raise ProcessError(f"{self.name} is not running")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the program; returns at once. See :meth:`wait_until_ready`."""
        if self.alive:
            raise ProcessError(f"{self.name} runs already, as pid {self.pid}")
        self._process = self._spawn()
        _warden.tell(f"watch {self.pid} {warden.start_time(self.pid)}")

    def _spawn(self) -> Started:
        with self.log.open("ab") as log:
            try:
                return subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    cwd=self._cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"{self.name} cannot be started: {self._command[0]}: {error.strerror}") from error

    def wait_until_ready(self, ready: Callable[[], bool], deadline: timedelta = START_DEADLINE) -> None:
        """Blocks until ``ready()``; raises :class:`ProcessError` when the child ends or the deadline passes first."""
        give_up = time.monotonic() + deadline.total_seconds()
        while not ready():
            if not self.alive:
                code = None if self._process is None else self._process.poll()
                raise ProcessError(f"{self.name} ended with {code} before it was ready. Its log:\n{self.log_tail()}")
            if time.monotonic() > give_up:
                raise ProcessError(
                    f"{self.name} was not ready within {deadline.total_seconds():.0f} s. Its log:\n{self.log_tail()}"
                )
            time.sleep(POLL.total_seconds())

    def stop(self, grace: timedelta = STOP_GRACE) -> int | None:
        """TERM, after ``grace`` KILL; returns the exit code, ``None`` if it was not started."""
        return self._end(signal.SIGTERM, grace)

    def kill(self) -> None:
        """``kill -9``, as a crash of the machine would."""
        self._end(signal.SIGKILL, STOP_GRACE)

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to the child alone, not to its children."""
        os.kill(self.pid, number)

    def wait(self, deadline: timedelta) -> int:
        """Waits until the child has ended by itself; returns its exit code."""
        if self._process is None:
            raise ProcessError(f"{self.name} is not running")
        try:
            return self._process.wait(deadline.total_seconds())
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} still runs after {deadline.total_seconds():.0f} s") from None

    def log_tail(self, lines: int = 25) -> str:
        """The last lines that the child wrote."""
        if not self.log.exists():
            return "(empty)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) or "(empty)"

    def _end(self, number: signal.Signals, grace: timedelta) -> int | None:
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace.total_seconds())
        # What the child started itself is in its group, and goes with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        _warden.tell(f"forget {process.pid}")
        self._process = None
        return code


class Processes(ABC):
    """Programs that are one service together: ``async with``, or :meth:`start` and :meth:`stop`.

    They share a folder, which goes with them. The methods block, as those of :class:`ChildProcess`.
    """

    def __init__(self, folder: str) -> None:
        self._run = RunFolder(folder)
        self._processes: dict[str, ChildProcess] = {}
        """By name, in the order in which they start."""

    @abstractmethod
    def _set_up(self) -> None:
        """Writes what they read and starts them; blocks until they work."""

    def start(self) -> None:
        """Starts all; returns when they work. After a failure nothing is left."""
        try:
            self._set_up()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops all and removes the folder with data and logs."""
        self.stop_processes()
        self._run.remove()

    def stop_processes(self, *names: str) -> None:
        """Stops these processes (default: all) with TERM, the last first; data and addresses stay."""
        for process in reversed(self._chosen(names)):
            process.stop()

    def kill(self, *names: str) -> None:
        """``kill -9`` for these processes (default: all), as a crash would; data and addresses stay."""
        for process in reversed(self._chosen(names)):
            process.kill()

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of those that run, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.alive}

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _chosen(self, names: Sequence[str]) -> list[ChildProcess]:
        return [process for name, process in self._processes.items() if not names or name in names]
