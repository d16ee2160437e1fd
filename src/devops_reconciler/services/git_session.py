"""One operation on one repository: a temporary bare repository, the requests to the server, what they mean.

As little as possible comes over the wire: refs by `ls-remote`; one commit without trees; one commit's trees and the one
file. A server that gives out only branches and tags (protocol v0 without `uploadpack.allowAnySHA1InWant`) is asked for
those instead.
"""

from __future__ import annotations

from pathlib import Path

from ..api.errors import ValidationError
from .git_errors import absent_commit, failure, not_served, out_of_memory, too_large, unreadable
from .git_process import DISK_LIMIT, MEMORY_LIMIT, Finished, Repository, run_git
from .traced import command_span

OUTPUT_LIMIT = 1024 * 1024
FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance")
EVERYTHING = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
WITHOUT_REFS = "--dry-run"
"""The objects come all the same: a file for each ref, which nobody reads, would be 4 KiB on disk."""
ONLY_COMMITS = "--filter=tree:0"
NO_FILES = "--filter=blob:none"
WITH_FILES = "--no-filter"


class Session:
    """`folder` is empty, private and gone afterwards. `operation` names it in errors.

    `answered` is whether the server has spoken Git's protocol, which its own trace tells.
    """

    def __init__(self, operation: str, repository: Repository, folder: Path, *, disk_limit: int = DISK_LIMIT) -> None:
        self._operation = operation
        self._repository = repository
        self._folder = folder
        self._disk_limit = disk_limit
        self._packets = folder / "packets"
        self._environment = {**repository.environment(folder), "GIT_TRACE_PACKET": str(self._packets)}
        self.answered = False
        self._made = False

    async def find_ref(self, name: str) -> str | None:
        """What `HEAD`, a full ref, a branch or a tag of that name points at; annotated tags are peeled."""
        candidates = (
            [name] if name == "HEAD" or name.startswith("refs/") else [f"refs/heads/{name}", f"refs/tags/{name}"]
        )
        wanted = [ref for candidate in candidates for ref in (f"{candidate}^{{}}", candidate)]
        finished = await self._git("ls-remote", "--quiet", "--", "origin", *wanted)
        self._check(finished)
        self._check_smart()
        # A pattern also matches longer names that end with it: only exact names count.
        lines = (line.split("\t", 1) for line in finished.stdout.decode(errors="replace").splitlines() if "\t" in line)
        found = {name: commit for commit, name in lines}
        return next((found[ref] for ref in wanted if ref in found), None)

    async def find_commit(self, commit: str) -> str | None:
        """The hash itself, once the server has proven that it has such a commit."""
        if not await self._fetch_commit(commit, ONLY_COMMITS):
            return None
        return await self._parse(commit)

    async def find_short(self, prefix: str) -> str | None:
        """The one commit in the history of branches and tags whose hash begins so. Several: ValidationError."""
        await self._make()
        self._check(await self._git(*FETCH, WITHOUT_REFS, ONLY_COMMITS, "--", "origin", *EVERYTHING))
        return await self._parse(prefix)

    async def read(self, commit: str, path: str, limit: int) -> bytes | None:
        """The content of a plain file, or None where the commit has nothing at that path."""
        if not await self._fetch_commit(commit, NO_FILES):
            raise ValidationError(f"git: {self._repository.url} has no commit {commit}; name one that it has")
        listed = await self._git("ls-tree", "-z", "--full-tree", commit, "--", path)
        self._check(listed)
        entry = listed.stdout.rstrip(b"\0").decode(errors="replace")
        if not entry:
            return None
        mode, kind, blob = entry.partition("\t")[0].split(" ")
        if kind != "blob" or mode not in {"100644", "100755"}:
            raise ValidationError(f"git: {path} in {self._repository.url} is not a plain file; make it one")
        content = await self._git("cat-file", "blob", blob, limit=limit)
        if content.code and not_served(content):
            self._check(await self._git(*FETCH, "--depth=1", WITH_FILES, "--refetch", "--", "origin", commit))
            content = await self._git("cat-file", "blob", blob, limit=limit)
        if content.cut:
            raise ValidationError(
                f"git: {path} in {self._repository.url} is longer than {limit} bytes; make it shorter"
            )
        self._check(content)
        return content.stdout

    async def _fetch_commit(self, commit: str, filtered: str) -> bool:
        """Fetch one commit without history. False: the server has no such object."""
        await self._make()
        finished = await self._git(*FETCH, "--depth=1", filtered, "--", "origin", commit)
        if finished.code and not_served(finished):
            # Such a server would not give out a single file later either: they come now.
            wanted = ONLY_COMMITS if filtered == ONLY_COMMITS else WITH_FILES
            self._check(await self._git(*FETCH, WITHOUT_REFS, wanted, "--", "origin", *EVERYTHING))
            return await self._parse(commit) is not None
        if finished.code and absent_commit(finished):
            return False
        self._check(finished)
        return True

    async def _parse(self, name: str) -> str | None:
        """The commit among those fetched. `name` is hexadecimal."""
        finished = await self._git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
        if finished.code == 0:
            return finished.stdout.decode().strip()
        if "is ambiguous" in finished.stderr:
            raise ValidationError(f"{name} begins several commits of {self._repository.url}; give more digits")
        return None

    async def _make(self) -> None:
        if not self._made:
            self._check(await self._git("init", "--bare", "--quiet"))
            self._made = True

    async def _git(self, *arguments: str, limit: int = OUTPUT_LIMIT) -> Finished:
        with command_span("git", arguments[0]) as span:
            try:
                finished = await run_git(arguments, self._environment, limit=limit, disk_limit=self._disk_limit)
            finally:  # at the deadline too
                self.answered = self._packets.is_file() and self._packets.stat().st_size > 0
            span.note({"process.exit.code": finished.code})
        return finished

    def _check_smart(self) -> None:
        """Raise unless the server spoke Git's protocol: git takes any page with status 200 for a list of refs, and a
        page without refs must not pass for a repository without that revision."""
        if not self.answered:
            raise unreadable(self._operation, self._repository)

    def _check(self, finished: Finished) -> None:
        if finished.full:
            raise too_large(self._operation, self._repository, f"{self._disk_limit} bytes on disk")
        if finished.code and out_of_memory(finished):
            raise too_large(self._operation, self._repository, f"{MEMORY_LIMIT} bytes of memory")
        if finished.code:
            raise failure(self._operation, self._repository, finished)
