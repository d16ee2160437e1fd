"""Debian's container registry (the one of Docker's project "distribution") as a child process, open to everybody."""

from __future__ import annotations

import json
from pathlib import Path

from testbed.processes import ChildProcess, ProcessError, Processes, free_port
from testbed.waiting import answers

HOST = "127.0.0.1"
PROGRAM = Path("/usr/bin/docker-registry")
INSTALL_HINT = (
    "No container registry is installed. On Debian and Ubuntu: "
    "'sudo apt-get install --no-install-recommends docker-registry'."
)


class RealRegistry(Processes):
    """One registry with its images in a folder of this run: :meth:`start` and :meth:`stop`."""

    def __init__(self) -> None:
        super().__init__("devops-reconciler-registry")
        self._port = free_port(HOST)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def _set_up(self) -> None:
        """Blocks until it answers (less than 1 s)."""
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
        registry = ChildProcess(
            PROGRAM.name,
            [PROGRAM, "serve", folder / "config.yml"],
            log=folder / "docker-registry.log",
            environment={"HOME": str(folder), "PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
        )
        self._processes = {registry.name: registry}
        registry.start()
        registry.wait_until_ready(lambda: answers(f"{self.url}/v2/"))
