"""Runs the ``git`` program, cut off from the configuration of the user and the system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

AUTHOR = "Sample Developer"
EMAIL = "developer@shop.example.com"


class GitError(RuntimeError):
    """A git command failed; the text has the command and what git said."""


def environment() -> dict[str, str]:
    """The environment of every git process of the testbed."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": AUTHOR,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": AUTHOR,
        "GIT_COMMITTER_EMAIL": EMAIL,
    }


async def git(*arguments: str, cwd: Path) -> str:
    """Stdout of ``git <arguments>``, without the last newline."""
    output, errors, code = await run_git(arguments, environment(), cwd=cwd)
    if code != 0:
        raise GitError(f"git {' '.join(arguments)} in {cwd} ended with {code}: {errors.decode(errors='replace')}")
    return output.decode().rstrip("\n")


async def run_git(
    arguments: tuple[str, ...], variables: Mapping[str, str], *, cwd: Path, stdin: bytes = b""
) -> tuple[bytes, bytes, int]:
    """Stdout, stderr and exit code. The process is killed when the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=cwd,
        env=dict(variables),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(stdin)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    assert process.returncode is not None
    return output, errors, process.returncode
