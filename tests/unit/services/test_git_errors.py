"""What the words of git mean, where no server can be brought to have it say them."""

from __future__ import annotations

import pytest

from devops_reconciler.services.git_errors import absent_commit, code_of, failure, out_of_memory
from devops_reconciler.services.git_process import Finished, GitCredentials, Repository

URL = "https://git.example.com/a.git"
OURS = GitCredentials("robot", "secret", ours=True)
THEIRS = GitCredentials("ann", "secret")
REFUSED = "fatal: Authentication failed for 'https://git.example.com/a.git/'"
FORBIDDEN = "fatal: unable to access 'https://git.example.com/a.git/': The requested URL returned error: 403"


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("fatal: Out of memory, malloc failed (tried to allocate 314572801 bytes)", True),
        ("warning: x\nfatal: Out of memory, calloc failed\nfatal: fetch-pack: invalid index-pack output", True),
        ("error: inflate: out of memory", True),
        ("fatal: mmap failed: Cannot allocate memory", True),
        ("fatal: unable to access 'https://git.example.com/a.git/': Out of memory", True),
        ("fatal: fetch-pack: unable to fork off sideband demultiplexer", True),
        ("remote: fatal: Out of memory, malloc failed\nfatal: early EOF", False),
        ("fatal: remote error: out of memory", False),
        ("fatal: early EOF", False),
        ("", False),
    ],
)
def test_our_own_git_that_had_too_little_memory_is_told_from_the_servers(words: str, ours: bool) -> None:
    assert out_of_memory(Finished(128, b"", words)) is ours


@pytest.mark.parametrize(
    ("words", "login", "reason", "code"),
    [
        (REFUSED, OURS, "CredentialsInvalid", "CredentialsInvalid"),
        (REFUSED, THEIRS, "CredentialsInvalid", "ProjectCredentialsInvalid"),
        (REFUSED, None, "RepositoryUnreadable", "RepositoryUnreadable"),
        (FORBIDDEN, OURS, "PermissionDenied", "PermissionDenied"),
        (FORBIDDEN, THEIRS, "PermissionDenied", "PermissionDenied"),
    ],
)
def test_the_metrics_tell_a_refused_login_of_a_project_from_the_operators(
    words: str, login: GitCredentials | None, reason: str, code: str
) -> None:
    repository = Repository(URL, login)
    error = failure("resolve", repository, Finished(128, b"", words))
    assert (error.reason, code_of(error, repository)) == (reason, code)


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (f"fatal: remote error: upload-pack: not our ref {'a' * 40}", True),
        (f"fatal: remote error: want {'a' * 40} not valid", True),  # JGit: Gerrit, googlesource
        (f"fatal: remote error: want {'a' * 64} not valid", True),
        ("fatal: remote error: want of memory not valid", False),
        ("fatal: remote error: Internal Server Error", False),
    ],
)
def test_servers_have_their_own_words_for_a_commit_that_is_not_there(words: str, absent: bool) -> None:
    assert absent_commit(Finished(128, b"", words)) is absent
