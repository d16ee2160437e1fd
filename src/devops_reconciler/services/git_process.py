"""Running the `git` program so that nothing but what we say decides what it does.

No configuration of the machine or the user, no helper, no prompt, no hook, no redirect, only the protocols that are
allowed. Credentials go through the environment as a header bound to the host: never in an argument, a URL or a file.
The process group dies at the deadline, on cancellation, and when it says or writes more than it may. The server decides
how much git wants to hold: a tree of 300 MB, of which it holds all, is 300 kB on the wire. So memory has a limit too.
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
DISK_LIMIT = 256 * 1024 * 1024
"""Bytes that one operation may have on disk, in one file or in many: a hostile repository must not fill it."""
DISK_LOOKS = 0.2
"""Seconds between two looks at many files; the kernel ends whoever writes one that is larger."""
MEMORY_LIMIT = 48 * 1024 * 1024
"""Bytes of memory of its own that each process may have; measured: enough for a history of 500,000 commits."""
PROCESSES = 4
"""Those of one operation that a server can make grow at a time: `fetch`, `remote-https`, with an old protocol the
`fetch-pack` of that, and `index-pack`."""
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class GitCredentials:
    """A user and password or token. With `host` (`host` or `host:port`) they are for that host alone.

    `ours`: of an account of the operator; else of a project's own Secret.
    """

    username: str
    password: str = field(repr=False)
    host: str | None = None
    ours: bool = False

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
            # What index-pack keeps while it puts deltas together, for each thread; by default 96 MiB, and one per core.
            "core.deltaBaseCacheLimit": "8m",
            "pack.threads": "1",
            "fetch.unpackLimit": "1",  # always index-pack, which streams files
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
    """How a run of git ended. `cut` says that it had more to say than it might, and was stopped; `full` that it failed,
    or was stopped, with as much on disk as it might have."""

    code: int
    stdout: bytes
    stderr: str
    cut: bool = False
    full: bool = False


async def run_git(
    arguments: tuple[str, ...], environment: Mapping[str, str], *, limit: int, disk_limit: int = DISK_LIMIT
) -> Finished:
    """Run git to its end and return up to `limit` bytes of its output. Cancelled: the process group is killed.

    `disk_limit` is for all that is in its home.
    """
    folder = Path(environment["HOME"])
    process = await asyncio.create_subprocess_exec(
        *_limited(disk_limit),
        "git",
        *arguments,
        env=dict(environment),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(_drain(process.stderr))
    watch = asyncio.create_task(_watch(process, folder, disk_limit))
    try:
        stdout = await _read(process.stdout, limit + 1)
        cut = len(stdout) > limit
        if cut:
            _kill(process)
        code = await process.wait()
        full = code != 0 and await asyncio.to_thread(_used_by, folder) >= disk_limit
        return Finished(code, stdout[:limit], await errors, cut, full)
    finally:
        _kill(process)
        errors.cancel()
        watch.cancel()
        if await asyncio.shield(process.wait()) == -signal.SIGKILL:
            await asyncio.to_thread(_reap_group, process.pid)


def _limited(file_limit: int) -> tuple[str, ...]:
    """The shell sets the limits, before git starts any process of its own; it never reads the arguments.

    Of the memory it is that which holds data (`-d`), not the address space: packs and libraries are mapped, and what is
    mapped the kernel can drop.
    """
    limits = f"ulimit -c 0 && ulimit -f {file_limit // 512} && ulimit -d {MEMORY_LIMIT // 1024}"
    return ("/bin/sh", "-c", f'{limits} && exec "$@"', "sh")


def _used_by(folder: Path) -> int:
    """Bytes on disk of all files in a folder, whole blocks."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # git is at work there
                found = os.lstat(os.path.join(place, name))
                total += max(found.st_size, found.st_blocks * 512)
    return total


async def _watch(process: asyncio.subprocess.Process, folder: Path, disk_limit: int) -> None:
    """Kill git when its files together are more than it may have."""
    while True:
        if await asyncio.to_thread(_used_by, folder) >= disk_limit:
            return _kill(process)
        await asyncio.sleep(DISK_LOOKS)


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
