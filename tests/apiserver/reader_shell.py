"""A shell for the commands of the documents."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class ReaderShell:
    """Of somebody who types what a page says: with the given programs and cluster, in a home of their own."""

    def __init__(self, home: Path, kubeconfig: Path, programs: Sequence[Path]) -> None:
        self.home = home
        self._environment = {
            "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(home),
        }

    def types(self, commands: str) -> str:
        """What the commands print; they neither fail nor warn."""
        done = subprocess.run(
            ["bash", "-e"],
            input=commands,
            cwd=self.home,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        assert "arning" not in done.stderr, f"{commands}\n{done.stderr}"
        return done.stdout
