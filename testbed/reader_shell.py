"""The pages of the documents as a reader uses them: their files, their commands, and a shell to type these in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PATIENCE, GRACE = 120, 5
"""Seconds that a block of commands may take, and that it then has to end."""
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(
    r"^[^`\n]*`([\w./-]*\.\w+)`[^`\n]*(?:`[^`\n]*`[^`\n]*)*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text()


def blocks(text: str, *languages: str) -> list[str]:
    """The contents of a page's blocks in these languages, in their order; "" is a block without one."""
    return [content for fence, content in _BLOCK.findall(text) if fence in languages]


def files(text: str) -> dict[str, str]:
    """The files that a page names before their content."""
    return dict(_FILE.findall(text))


class ReaderShell:
    """Of somebody who types what a page says: with the given programs and cluster, in a home of their own."""

    def __init__(self, home: Path, kubeconfig: Path, programs: Sequence[Path]) -> None:
        self.home = home
        self._environment = {
            "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(home),
        }

    def keeps(self, files: Mapping[str, str]) -> None:
        """Writes the files of a page where the commands look for them."""
        for name, text in files.items():
            (self.home / name).parent.mkdir(exist_ok=True)
            (self.home / name).write_text(text)

    def types(self, commands: str) -> str:
        """What the commands print; they neither fail nor warn."""
        done = subprocess.run(
            # The whole group ends: what a command has started would hold the pipes.
            ["timeout", f"--kill-after={GRACE}", str(PATIENCE), "bash", "-e"],
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
