"""Running the `git` program so that nothing but what we say decides what it does.

No configuration of the machine or the user, no helper, no prompt, no hook, no redirect, only the protocols that are
allowed. Credentials go through the environment as a header bound to the host: never in an argument, a URL or a file.
The process group dies at the deadline, on cancellation, and when it says more than it may.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

STDERR_LIMIT = 64 * 1024
FILE_LIMIT = 512 * 1024 * 1024
"""Largest file that git may write, in bytes: a hostile repository must not fill the disk."""
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class GitCredentials:
    """A user and password or token. With `host` (`host` or `host:port`) they are for that host alone."""

    username: str
    password: str = field(repr=False)
    host: str | None = None

    @property
    def header(self) -> str:
        pair = f"{self.username}:{self.password}".encode()
        return "Authorization: Basic " + base64.b64encode(pair).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every form in which a server could send the password back to us."""
        forms = (self.header.removeprefix("Authorization: Basic "), self.password, quote(self.password, safe=""))
        return tuple(form for form in forms if form)


@dataclass(frozen=True)
class Repository:
    """Where to, and as whom."""

    url: str
    credentials: GitCredentials | None = None
    ca_file: Path | None = None
    addresses: tuple[str, ...] = ()
    """What the URL's host may be connected at, where that is a name: resolved and judged once, then held to."""

    @property
    def place(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]

    def environment(self, folder: Path) -> dict[str, str]:
        """All that git sees of the world. `folder` is its home, and its repository if there is one."""
        scheme, host = urlsplit(self.url)[:2]
        config = {
            "remote.origin.url": self.url,
            "http.followRedirects": "false",
            "credential.helper": "",
            "core.hooksPath": "/dev/null",
            "core.bigFileThreshold": "1m",
            "protocol.allow": "never",
            f"protocol.{scheme}.allow": "always",
            "protocol.version": "2",
            "gc.auto": "0",
            "maintenance.auto": "false",
        }
        if self.addresses:
            # git 2.37 and later; an older one resolves the name again by itself.
            written = (f"[{each}]" if ":" in each else each for each in self.addresses)
            config["http.curloptResolve"] = f"{self.place[0]}:{self.place[1]}:{','.join(written)}"
        if self.ca_file is not None:
            config["http.sslCAInfo"] = str(self.ca_file)
        if self.credentials is not None:
            config[f"http.{scheme}://{host}/.extraHeader"] = self.credentials.header
        return {
            "PATH": PATH,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "TMPDIR": str(folder),
            "LC_ALL": "C",
            "GIT_DIR": str(folder / "repository"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_ALLOW_PROTOCOL": scheme,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_TEMPLATE_DIR": "",
            **_as_environment(config),
        }


@dataclass(frozen=True)
class Finished:
    """How a run of git ended. `cut` says that it had more to say than it might, and was stopped."""

    code: int
    stdout: bytes
    stderr: str
    cut: bool = False


async def run_git(
    arguments: tuple[str, ...], environment: Mapping[str, str], *, limit: int, file_limit: int = FILE_LIMIT
) -> Finished:
    """Run git to its end and return up to `limit` bytes of its output. Cancelled: the process group is killed."""
    process = await asyncio.create_subprocess_exec(
        *_limited(file_limit),
        "git",
        *arguments,
        env=dict(environment),
        cwd=environment["HOME"],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(_drain(process.stderr))
    try:
        stdout = await _read(process.stdout, limit + 1)
        cut = len(stdout) > limit
        if cut:
            _kill(process)
        return Finished(await process.wait(), stdout[:limit], await errors, cut)
    finally:
        _kill(process)
        errors.cancel()
        if await asyncio.shield(process.wait()) == -signal.SIGKILL:
            await asyncio.to_thread(_reap_group, process.pid)


def _limited(file_limit: int) -> tuple[str, ...]:
    """The shell sets the limit, before git starts any process of its own; it never reads the arguments."""
    return ("/bin/sh", "-c", f'ulimit -c 0; ulimit -f {file_limit // 512}; exec "$@"', "sh")


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill git and what it started. Once the leader is reaped, its id may be another's: then hands off."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _reap_group(group: int) -> None:
    """Collect what a killed git leaves: as process 1 of a container we are the parent of its orphans, else of none."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-group, 0)


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (chunk := await stream.read(limit - len(data))):
        data += chunk
    return data


async def _drain(stream: asyncio.StreamReader) -> str:
    """Read to the end, so that git never blocks, and keep the last part, where the cause stands."""
    data = b""
    while chunk := await stream.read(STDERR_LIMIT):
        data = (data + chunk)[-STDERR_LIMIT:]
    return data.decode(errors="replace")


def _as_environment(config: Mapping[str, str]) -> dict[str, str]:
    """Configuration by GIT_CONFIG_COUNT (git 2.31 and later): it stands above every file and in no argument."""
    pairs = {"GIT_CONFIG_COUNT": str(len(config))}
    for number, (key, value) in enumerate(config.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return pairs
