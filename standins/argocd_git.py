"""How the stand-in Argo CD reads a source repository: one mirror per URL, filled by the `git` program."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FULL_SHA = re.compile(r"^[0-9a-f]{40}$")
CACHED_TREES = 64


class SourceError(Exception):
    """The source cannot be read or rendered. The message is what Argo CD's repo-server would say."""


class UnreachableError(SourceError):
    """The repository itself cannot be read."""


@dataclass(frozen=True)
class Credentials:
    """What a registered repository is read with."""

    username: str = ""
    password: str = ""
    insecure: bool = False

    def environment(self) -> dict[str, str]:
        found = {"GIT_SSL_NO_VERIFY": "1"} if self.insecure else {}
        if self.password:
            pair = base64.b64encode(f"{self.username or 'git'}:{self.password}".encode()).decode()
            found |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader"}
            found |= {"GIT_CONFIG_VALUE_0": f"Authorization: Basic {pair}"}
        return found


class GitSources:
    """Repositories under one folder, read one at a time per URL; the trees read last are kept in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, asyncio.Lock] = {}
        self._trees: dict[tuple[str, str], dict[str, bytes]] = {}

    async def test(self, url: str, credentials: Credentials) -> None:
        """A connection test, as for a repository that is being registered."""
        await self._git(None, credentials, "ls-remote", "--", url, "HEAD")

    async def resolve(self, url: str, revision: str, credentials: Credentials) -> str:
        """The commit of a branch, a tag, HEAD, or a full hash, which is believed unseen."""
        if FULL_SHA.match(revision):
            return revision
        wanted = revision or "HEAD"
        listing = await self._git(None, credentials, "ls-remote", "--", url)
        lines = (line.partition("\t") for line in listing.decode().splitlines())
        refs = {name: commit for commit, _, name in lines}
        for name in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}^{{}}", f"refs/tags/{wanted}"):
            if name in refs:
                return refs[name]
        raise SourceError(f"unable to resolve '{wanted}' to a commit SHA")

    async def tree(self, url: str, commit: str, credentials: Credentials) -> Mapping[str, bytes]:
        """All files of a commit by path."""
        async with self._locks.setdefault(url, asyncio.Lock()):
            if (url, commit) not in self._trees:
                self._trees[url, commit] = await self._read(url, commit, credentials)
                while len(self._trees) > CACHED_TREES:
                    self._trees.pop(next(iter(self._trees)))
            return self._trees[url, commit]

    async def _read(self, url: str, commit: str, credentials: Credentials) -> dict[str, bytes]:
        mirror = self._folder / hashlib.sha256(url.encode()).hexdigest()[:16]
        if not mirror.exists():
            await self._git(None, credentials, "init", "--quiet", "--bare", "--", str(mirror))
        if not await self._has(mirror, commit):
            refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            await self._git(mirror, credentials, "fetch", "--quiet", "--prune", "--force", "--", url, *refs)
        if not await self._has(mirror, commit):
            raise SourceError(f"failed to checkout revision {commit}: unable to read tree {commit}")
        archive = await self._git(mirror, credentials, "archive", "--format=tar", commit)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            return {name: handle.read() for name, handle in files.items() if handle is not None}

    async def _has(self, mirror: Path, commit: str) -> bool:
        try:
            await self._git(mirror, Credentials(), "cat-file", "-e", f"{commit}^{{commit}}")
        except SourceError:
            return False
        return True

    async def _git(self, folder: Path | None, credentials: Credentials, *arguments: str) -> bytes:
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self._folder)}
        process = await asyncio.create_subprocess_exec(
            "git",
            "-c",
            "credential.helper=",
            *arguments,
            cwd=folder or self._folder,
            env={**environment, **credentials.environment()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode != 0:
            raise UnreachableError(_words(err.decode(errors="replace")))
        return out


def _words(said: str) -> str:
    """Argo CD's words for what git says."""
    text = " ".join(said.split())
    if "could not read Username" in text or "Authentication failed" in text or "401" in text or "403" in text:
        return f"authentication required: {text}"
    if "not found" in text:
        return f"repository not found: {text}"
    return f"failed to list refs: {text}"
