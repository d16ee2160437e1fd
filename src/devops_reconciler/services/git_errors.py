"""What git's complaints mean. Git speaks English here (LC_ALL=C) and has no error codes, so its words are matched.

What a server says comes through too, so it is cleaned: one line, no control characters, no credential.
"""

from __future__ import annotations

import re

from ..api.conditions import Reason
from ..api.errors import CredentialsError, ExternalServiceError, ReconcilerError, ValidationError
from ..api.plain_text import plain
from .git_process import Finished, Repository

SERVICE = "git"
TEXT_LIMIT = 300
PROJECT_REFUSED = "ProjectCredentialsInvalid"
"""The code of a refused login that is not the operator's: it is for the project to mend, and alerts nobody."""

_HTTP_STATUS = re.compile(r"The requested URL returned error: (\d{3})")
_NO_ACCESS = re.compile(r"Authentication failed|could not read (?:Username|Password)|terminal prompts disabled")
_NOT_FOUND = re.compile(r"repository '[^']*' not found|info/refs not valid|dumb http transport")
_ABSENT_COMMIT = re.compile(
    r"not our ref|no such remote ref|couldn't find remote ref|missing necessary objects|want [0-9a-f]{40,64} not valid"
)
_NOT_SERVED = re.compile(r"does not allow request for unadvertised object")
# Our own git's words, those of zlib, curl and the C library too; what the server says begins with `remote:`.
_OUT_OF_MEMORY = re.compile(
    r"^(?:fatal|error): (?!remote error)"
    r".*(?:out of memory|cannot allocate memory|memory allocation|unable to fork off)",
    re.I | re.M,
)
_NOT_INSTALLED = 127


def absent_commit(finished: Finished) -> bool:
    """Whether the server said that it has no such commit (upload-pack.c, fetch.c; JGit's UploadPack, as of Gerrit)."""
    return _ABSENT_COMMIT.search(finished.stderr) is not None


def not_served(finished: Finished) -> bool:
    """Whether the server gives out only what a branch or tag points at (fetch-pack.c)."""
    return _NOT_SERVED.search(finished.stderr) is not None


def out_of_memory(finished: Finished) -> bool:
    """Whether a process of git could not have as much memory as it wanted."""
    return _OUT_OF_MEMORY.search(finished.stderr) is not None


def failure(operation: str, repository: Repository, finished: Finished) -> ReconcilerError:
    """The error for a run that ended badly."""
    where = f"git: {operation} of {repository.url}"
    text = f"{where}: {cleaned(finished.stderr, repository) or f'git ended with code {finished.code}'}"
    match = _HTTP_STATUS.search(finished.stderr)
    status = int(match[1]) if match else None
    if finished.code == _NOT_INSTALLED:
        return ExternalServiceError("git: the git program is not installed", service=SERVICE, maybe_applied=False)
    if status == 401 or _NO_ACCESS.search(finished.stderr):
        return _no_access(where, repository)
    if status == 403:
        hint = "the account may not read the repository; give it read access"
        return CredentialsError(f"{where}: 403, {hint}", reason=Reason.PERMISSION_DENIED, status=403)
    if status is not None and 300 <= status < 400:
        redirected = f"{where}: the server redirects elsewhere; use the repository's final URL"
        return ValidationError(redirected, reason=Reason.REPOSITORY_UNREADABLE, status=status)
    if status in (404, 410) or _NOT_FOUND.search(finished.stderr):
        return unreadable(operation, repository, status)
    reason = Reason.RATE_LIMITED if status == 429 else None
    return ExternalServiceError(text, service=SERVICE, reason=reason, maybe_applied=False)


def _no_access(where: str, repository: Repository) -> CredentialsError:
    if repository.credentials is None:
        text = f"{where}: the repository needs credentials, or does not exist; check git.url and git.credentialsRef"
        return CredentialsError(text, reason=Reason.REPOSITORY_UNREADABLE, status=401)
    text = f"{where}: the server refuses the user '{repository.credentials.username}' or its password; renew the Secret"
    return CredentialsError(text, status=401)


def code_of(error: ReconcilerError, repository: Repository) -> str:
    """The code of a failed operation in the metrics: its reason, but for the refusal of a project's own login."""
    ours = repository.credentials is not None and repository.credentials.ours
    return PROJECT_REFUSED if error.reason is Reason.CREDENTIALS_INVALID and not ours else str(error.reason)


def unreadable(operation: str, repository: Repository, status: int | None = None) -> ValidationError:
    """The server answers, but there is no repository for us."""
    text = f"git: {operation} of {repository.url}: there is no Git repository at this URL, or it is hidden from us"
    return ValidationError(text, reason=Reason.REPOSITORY_UNREADABLE, status=status)


def too_large(operation: str, repository: Repository, limit: str) -> ValidationError:
    """Git was stopped at what it may take of the machine. Its words for that vary, down to none."""
    text = (
        f"git: {operation} of {repository.url}: the repository is too large: git needs more than {limit}; "
        "name a branch, a tag or a full commit hash, on a server that allows partial clones"
    )
    return ValidationError(text, reason=Reason.REPOSITORY_UNREADABLE)


class SlowRepository(ExternalServiceError):
    """Not done in time, though the host has answered: it is well, as far as this repository can tell."""


def late(operation: str, repository: Repository, seconds: float, *, answered: bool) -> ExternalServiceError:
    """The error at the deadline."""
    text = f"git: {operation} of {repository.url}: not done within {seconds:g} s"
    kind = SlowRepository if answered else ExternalServiceError
    return kind(text, service=SERVICE, maybe_applied=False)


def cleaned(stderr: str, repository: Repository) -> str:
    """The lines that tell the cause, in one, without secrets."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", stderr)]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or [line for line in lines if line][-1:]
    text = plain("; ".join(telling))
    for secret in repository.credentials.secrets if repository.credentials else ():
        text = text.replace(secret, "****")
    return text[:TEXT_LIMIT]
