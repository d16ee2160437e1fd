"""Git repositories over http(s), read by the `git` program: which commit is meant, and what stands in one file.

Nothing is ever checked out and nothing is kept on disk after a call. What is known of a full commit hash never changes,
so it is remembered (per URL and credentials: one tenant's answer is not another's).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..api.errors import CredentialsError, ExternalServiceError, ReconcilerError, ValidationError
from ..runtime.clock import Clock
from ..runtime.recent import Recent
from ..runtime.settings_lists import GitHost
from ..runtime.slots import Slots
from .addresses import Resolve, addresses_of, check_addresses, literal
from .breaker import CircuitBreaker
from .git_certificates import GitCertificates
from .git_errors import SERVICE, SlowRepository, code_of, late
from .git_names import FULL_COMMIT, SHORT_COMMIT, check_path, check_revision, check_url, host_of, is_at
from .git_process import GitCredentials, Repository
from .git_session import Session
from .http import Observer
from .traced import git_span

__all__ = ["Git", "GitCredentials", "GitHost", "check_revision", "check_url"]

FILE_SIZE = 64 * 1024
COMMITS_KEPT = 512
FILES_KEPT = 64
PARALLEL = 4

T = TypeVar("T")


class Git:
    """Reads repositories at the allowed hosts. At most `PARALLEL` run at a time; `timeout` is for one whole operation.

    `breaker_of` gives the breaker of a host (`git.example.com`, with `:port` where the URL has one).
    Every operation raises ValidationError (URL, revision or path not allowed, no repository there:
    RepositoryUnreadable), CredentialsError (401, 403), ExternalServiceError (network, time-out, 5xx, 429, or the
    breaker is open). `ca_file` has the authorities that are trusted; None: those that git was built with.
    """

    def __init__(
        self,
        allowed: Sequence[GitHost],
        clock: Clock,
        *,
        timeout: timedelta = timedelta(seconds=60),
        observer: Observer | None = None,
        ca_file: Path | None = None,
        breaker_of: Callable[[str], CircuitBreaker] | None = None,
        resolve: Resolve = addresses_of,
    ) -> None:
        self._allowed = tuple(allowed)
        self._clock = clock
        self._timeout = timeout
        self._observer = observer
        self._ca_file = ca_file
        self._breaker_of = breaker_of
        self._addresses_of = resolve
        self.certificates = GitCertificates(clock)
        self._turns = Slots(PARALLEL)
        self._commits: Recent[tuple[str, GitCredentials | None, str], str] = Recent(COMMITS_KEPT)
        self._files: Recent[tuple[str, GitCredentials | None, str, str], bytes | None] = Recent(FILES_KEPT)

    async def resolve(self, url: str, revision: str, credentials: GitCredentials | None = None) -> str | None:
        """The full commit hash that a branch, tag (also annotated), `HEAD` or commit (7 digits or more) means now.

        A branch goes before a tag of the same name, both before an abbreviated hash. None: there is no such revision.
        """
        check_revision(revision)
        repository = self._repository(url, credentials)
        key = (url, credentials, revision.lower())
        if key in self._commits:
            return self._commits.get(key)
        commit = await self._run("resolve", repository, partial(_resolve, revision=revision))
        if commit is not None and FULL_COMMIT.fullmatch(revision.lower()):
            self._commits.put(key, commit)
        return commit

    async def read_file(
        self, url: str, commit: str, path: str, credentials: GitCredentials | None = None, *, limit: int = FILE_SIZE
    ) -> bytes | None:
        """The file at `path` in a commit (a full hash), or None where that commit has none.

        A commit that the repository does not have, a path that is no plain file, and a file of more than `limit`
        bytes are ValidationErrors.
        """
        check_path(path)
        if not FULL_COMMIT.fullmatch(commit):
            raise ValidationError(f"{commit[:80]!r} is not a full commit hash")
        repository = self._repository(url, credentials)
        key = (url, credentials, commit, path)
        if key in self._files:
            return self._files.get(key)

        async def read(session: Session) -> bytes | None:
            # Several projects of one repository ask at the same time: who had to wait for a turn finds it read.
            if key not in self._files:
                self._files.put(key, await session.read(commit, path, limit))
            return self._files.get(key)

        return await self._run("read file", repository, read)

    async def probe(self, url: str, credentials: GitCredentials | None = None) -> None:
        """Raise what `resolve` would raise where the repository cannot be read. An empty repository is readable."""
        await self._run("probe", self._repository(url, credentials), lambda session: session.find_ref("HEAD"))

    def _repository(self, url: str, credentials: GitCredentials | None) -> Repository:
        check_url(url, self._allowed)
        if credentials is not None and credentials.host is not None and not is_at(url, credentials.host):
            raise CredentialsError(
                f"git: the credentials are for the host '{credentials.host}', not for that of {url}; "
                "correct git.url, or the annotation freeleaps.com/git-host of the Secret"
            )
        return Repository(url, credentials, self._ca_file)

    async def _run(self, operation: str, repository: Repository, work: Callable[[Session], Awaitable[T]]) -> T:
        """One operation, when its turn comes and if its host's breaker lets it through."""
        breaker = None if self._breaker_of is None else self._breaker_of(host_of(repository.url))
        if breaker is not None:
            breaker.check()  # what would be refused waits for no turn
        async with self._turns.place():
            act = partial(self._act, operation, repository, work)
            if breaker is None:
                return await act()
            try:
                return await breaker.call(act)
            except SlowRepository:
                breaker.reconsider(None)  # else five tries of one tenant's repository stop the host for all
                raise

    async def _act(self, operation: str, repository: Repository, work: Callable[[Session], Awaitable[T]]) -> T:
        """The work with its folder, its deadline, its place in the metrics."""
        started = self._clock.monotonic()
        code, session = "ok", None
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                held = await self._resolved(operation, repository)
                kept = tempfile.TemporaryDirectory(prefix="git-", ignore_cleanup_errors=True)
                with git_span(operation, repository.url), kept as folder:
                    session = Session(operation, held, Path(folder))
                    answer = await work(session)
        except TimeoutError:
            code = "TimeoutError"
            answered = session is not None and session.answered
            raise late(operation, repository, self._timeout.total_seconds(), answered=answered) from None
        except ReconcilerError as error:
            code = code_of(error, repository)
            raise
        except BaseException as error:
            code = type(error).__name__
            raise
        finally:
            if self._observer is not None:
                self._observer(SERVICE, operation, code, self._clock.monotonic() - started)
        await self.certificates.look(held)
        return answer

    async def _resolved(self, operation: str, repository: Repository) -> Repository:
        """The repository with the addresses of its host. Raises ValidationError where nobody may be sent to one."""
        host, port = repository.place
        if literal(host) is not None:
            return repository  # judged with the URL
        try:
            addresses = await self._addresses_of(host, port)
        except (OSError, UnicodeError) as error:
            text = f"git: {operation} of {repository.url}: the host {host} has no address: {error}"
            raise ExternalServiceError(text, service=SERVICE, maybe_applied=False) from error
        listed = any(place.host == host for place in self._allowed)
        check_addresses(host, addresses, loopback=listed)
        return replace(repository, addresses=addresses)


async def _resolve(session: Session, revision: str) -> str | None:
    if FULL_COMMIT.fullmatch(revision.lower()):
        return await session.find_commit(revision.lower())
    commit = await session.find_ref(revision)
    if commit is None and SHORT_COMMIT.fullmatch(revision.lower()):
        commit = await session.find_short(revision.lower())
    return commit
