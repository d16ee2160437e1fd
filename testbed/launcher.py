"""Starts operators by forking a process that has imported the product already.

A start of the interpreter with all imports costs about two seconds of a processor; tests that kill the operator some
hundred times would mostly import. The child is a process like any other: a session, an environment, a working folder
and a log of its own, the same command line, and the same end. What it shares with its siblings is the time at which its
modules were imported.

Run as a program of its own by :class:`Launcher`. Each start is a connection to its Unix socket: the request is a line
of JSON, the answers are two lines: the pid, and later the exit code as :mod:`subprocess` counts it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from testbed.processes import START_DEADLINE, ChildProcess, ProcessError, Processes, Started

PROGRAM = "devops_reconciler"
PRELOADED = f"{PROGRAM}.cli.run"
"""All that an operator needs."""
_ENDED = b"\n"


class Forked:
    """A process that the launcher started: what :class:`~testbed.processes.ChildProcess` needs of a ``Popen``."""

    def __init__(self, connection: socket.socket) -> None:
        """Raises ProcessError when the launcher does not say that it started something."""
        self._lock = threading.Lock()
        self._connection = connection
        self._connection.settimeout(START_DEADLINE.total_seconds())
        self.returncode: int | None = None
        try:
            self.pid = int(self._line())
        except (OSError, ValueError) as error:
            raise ProcessError("the launcher started no process") from error

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended; raises subprocess.TimeoutExpired."""
        give_up = None if timeout is None else time.monotonic() + timeout
        while (code := self._look(0.05)) is None:
            if give_up is not None and time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """To it alone; nothing happens when it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _look(self, seconds: float) -> int | None:
        with self._lock:
            if self.returncode is None and self._readable(seconds):
                try:
                    self.returncode = int(self._line())
                except (OSError, ValueError) as error:
                    raise ProcessError(f"the launcher ended before the process {self.pid} that it started") from error
                finally:
                    self._connection.close()
            return self.returncode

    def _readable(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def _line(self) -> str:
        read = bytearray()
        while not read.endswith(_ENDED):
            byte = self._connection.recv(1)
            if not byte:
                break
            read += byte
        return read.decode()


class Launcher(Processes):
    """The launching process; ``async with``. What it started outlives it, and is ended by those who started it."""

    def __init__(self) -> None:
        super().__init__("devops-reconciler-launcher")
        self._socket = self._run.path / "launcher.sock"

    def _set_up(self) -> None:
        command = [sys.executable, "-m", "testbed.launcher", str(self._socket)]
        log = self._run.path / "launcher.log"
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = ChildProcess("launcher", command, log=log, environment=environment, cwd=Path(__file__).parent.parent)
        self._processes["launcher"] = process
        process.start()
        process.wait_until_ready(self._socket.exists)

    @staticmethod
    def can_start(environment: Mapping[str, str]) -> bool:
        """Whether a process with this environment would import the same source."""
        return environment.get("PYTHONPATH") == os.environ.get("PYTHONPATH")

    def start_process(self, arguments: list[str], environment: Mapping[str, str], cwd: Path, log: Path) -> Forked:
        """``devops-reconciler`` with these arguments and this whole environment. Blocks until it is a process."""
        connection = socket.socket(socket.AF_UNIX)
        request = {"arguments": arguments, "environment": dict(environment), "cwd": str(cwd), "log": str(log)}
        try:
            connection.connect(str(self._socket))
            connection.sendall(json.dumps(request).encode() + _ENDED)
            return Forked(connection)
        except (OSError, ProcessError) as error:
            connection.close()
            raise ProcessError(f"no operator can be started: {error}") from error


class ForkedProcess(ChildProcess):
    """`devops-reconciler run` by a launcher. The environment is the whole environment."""

    def __init__(self, launcher: Launcher, name: str, *, log: Path, environment: Mapping[str, str], cwd: Path) -> None:
        super().__init__(name, ["run"], log=log, environment=environment, cwd=cwd)
        self._launcher = launcher

    def _spawn(self) -> Started:
        return self._launcher.start_process(self._command, self._environment, self._cwd or Path.cwd(), self.log)


class _Server:
    """Waits for requests, forks, and tells how each child ended."""

    def __init__(self, path: str) -> None:
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._child_ended = socket.socketpair()
        for each in (self._wake, self._child_ended):
            each.setblocking(False)
        signal.set_wakeup_fd(self._child_ended.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Renamed when it listens: whoever finds it may connect.
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{path}.new")
        self._listener.listen()
        Path(f"{path}.new").rename(path)
        for each in (self._wake, self._listener):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any]:
        """Serves for ever. Returns only in a forked child: with what it has to do."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake:
                    with suppress(BlockingIOError):
                        self._wake.recv(4096)
                    self._reap()
                elif (request := self._fork()) is not None:
                    return request

    def _fork(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        with connection.makefile("rb") as lines:
            request: dict[str, Any] = json.loads(lines.readline())
        if pid := os.fork():
            self._children[pid] = connection
            return None
        # Told when it leads its own group, so that the group can be killed from then on.
        os.setsid()
        with connection:
            connection.sendall(f"{os.getpid()}\n".encode())
        self._leave()
        return request

    def _leave(self) -> None:
        """In the child: what is the launcher's stays with it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for each in (self._wake, self._child_ended, self._listener, *self._children.values()):
            each.close()

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._children.pop(pid) as connection, suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(request: dict[str, Any]) -> None:
    """Takes folder, log, environment and command line of the request."""
    os.chdir(request["cwd"])
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = ["devops-reconciler", *request["arguments"]]


def main() -> None:
    """Imports the product and serves; each child leaves through here as the command it was asked to be."""
    importlib.import_module(PRELOADED)
    gc.freeze()
    _become(_Server(sys.argv[1]).serve())
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
