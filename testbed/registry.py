"""Debian's container registry (the one of Docker's project "distribution") as a child process, open to everybody."""

from __future__ import annotations

import json
from pathlib import Path

from testbed.processes import ChildProcess, ProcessError, RunFolder, free_port
from testbed.waiting import answers

HOST = "127.0.0.1"
PROGRAM = Path("/usr/bin/docker-registry")
INSTALL_HINT = (
    "No container registry is installed. On Debian and Ubuntu: "
    "'sudo apt-get install --no-install-recommends docker-registry'."
)


class RealRegistry:
    """One registry with its images in a folder of this run: :meth:`start` and :meth:`stop`."""

    def __init__(self) -> None:
        self._port = free_port(HOST)
        self._run = RunFolder("devops-reconciler-registry")
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """Blocks until it answers (less than 1 s)."""
        try:
            if not PROGRAM.exists():
                raise ProcessError(INSTALL_HINT)
            folder = self._run.path
            configuration = {
                "version": "0.1",
                "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": True}},
                "http": {"addr": f"{HOST}:{self._port}"},
            }
            (folder / "config.yml").write_text(json.dumps(configuration))
            self._process = ChildProcess(
                "docker-registry",
                [PROGRAM, "serve", folder / "config.yml"],
                log=folder / "docker-registry.log",
                environment={"HOME": str(folder), "PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
            )
            self._process.start()
            self._process.wait_until_ready(lambda: answers(f"{self.url}/v2/"))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops it and removes its images."""
        if self._process is not None:
            self._process.stop()
        self._run.remove()
