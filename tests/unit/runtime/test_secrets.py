"""Secrets from files are read again when the file changes, at most once a second."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from devops_reconciler.runtime import logs
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.secrets import Secrets
from devops_reconciler.runtime.settings import load

BASE = {
    "RABBITMQ_HOST": "rabbitmq",
    "RABBITMQ_PORT": "5672",
    "JENKINS_ENDPOINT": "http://jenkins",
    "ARGOCD_ENDPOINT": "http://argocd",
    "DEFAULT_GIT_USERNAME": "git",
}
SECOND = timedelta(seconds=1)


def put(path: Path, text: str) -> None:
    """As a Secret's volume does it: a new file in the place of the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def secrets(clock: FakeClock, **environ: str) -> Secrets:
    return Secrets(load(BASE | environ), BASE | environ, clock)


def test_a_named_file_rotates(tmp_path: Path, clock: FakeClock) -> None:
    token = tmp_path / "token"
    put(token, "first-token\n")
    found = secrets(clock, ARGOCD_TOKEN_FILE=str(token))
    assert found.current("argocd_token") == "first-token"
    put(token, "second-token\n")
    assert found.current("argocd_token") == "first-token"
    clock.advance(SECOND)
    assert found.current("argocd_token") == "second-token"
    assert {"first-token", "second-token"} <= found.values()


def test_a_login_in_the_directory_rotates_as_a_whole(tmp_path: Path, clock: FakeClock) -> None:
    put(tmp_path / "JENKINS_USERNAME", "anna")
    put(tmp_path / "JENKINS_TOKEN", "anna-token")
    found = secrets(clock, RECONCILER_SECRETS_DIR=str(tmp_path))
    assert (found.current("jenkins_username"), found.current("jenkins_token")) == ("anna", "anna-token")
    put(tmp_path / "JENKINS_USERNAME", "bert")
    put(tmp_path / "JENKINS_TOKEN", "bert-token")
    clock.advance(SECOND)
    assert (found.current("jenkins_username"), found.current("jenkins_token")) == ("bert", "bert-token")
    assert "anna" not in found.values()


def test_a_file_that_appears_later_is_read(tmp_path: Path, clock: FakeClock) -> None:
    found = secrets(clock, RECONCILER_SECRETS_DIR=str(tmp_path))
    assert found.current("dockerhub_token") is None
    assert found.current("rabbitmq_password") == "guest"
    put(tmp_path / "DOCKERHUB_TOKEN", "late-token")
    clock.advance(SECOND)
    assert found.current("dockerhub_token") == "late-token"


@pytest.mark.parametrize("harm", ["gone", "empty", "binary"])
def test_a_harmed_file_leaves_the_last_value(
    harm: str, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    put(token, "good-token")
    found = secrets(clock, ARGOCD_TOKEN_FILE=str(token))
    assert found.current("argocd_token") == "good-token"
    if harm == "gone":
        token.unlink()
    else:
        token.write_bytes(b"" if harm == "empty" else b"\xff\xff")
    for _ in range(3):
        clock.advance(SECOND)
        assert found.current("argocd_token") == "good-token"
    assert len(caplog.records) == 1
    assert "good-token" not in caplog.text
    put(token, "new-token")
    clock.advance(SECOND)
    assert found.current("argocd_token") == "new-token"


def test_values_of_the_environment_stay(tmp_path: Path, clock: FakeClock) -> None:
    put(tmp_path / "ARGOCD_TOKEN", "from-the-file")
    found = secrets(clock, ARGOCD_TOKEN="from-the-environment", RECONCILER_SECRETS_DIR=str(tmp_path))
    clock.advance(SECOND)
    assert found.current("argocd_token") == "from-the-environment"


def test_wrong_names_are_errors(clock: FakeClock) -> None:
    with pytest.raises(AttributeError):
        secrets(clock).current("jenkins_tokn")
    with pytest.raises(TypeError, match="rabbitmq_port"):
        secrets(clock).current("rabbitmq_port")


def test_logins_are_known_as_a_header_has_them_and_projects_logins_too(clock: FakeClock) -> None:
    held = secrets(clock, DEFAULT_GIT_TOKEN="git-secret")
    held.learn("ann", "pass-of-ann")
    known = held.values()
    assert {"git-secret", "pass-of-ann"} <= known
    assert base64.b64encode(b"git:git-secret").decode() in known
    assert base64.b64encode(b"ann:pass-of-ann").decode() in known


def test_the_operators_own_secrets_are_told_apart(clock: FakeClock) -> None:
    held = secrets(clock, DEFAULT_GIT_TOKEN="git-secret")
    held.learn("ann", "pass-of-ann")
    assert held.hide("git-secret pass-of-ann") == "**** ****"
    assert "git-secret" in held.own()
    assert not {text for text in held.own() if "ann" in text}
    assert held.own() is held.own()


def test_of_projects_logins_the_last_used_are_known(clock: FakeClock) -> None:
    held = secrets(clock)
    for number in range(300):
        held.learn("ann", f"pass-{number}")
        held.learn("bob", "kept")
    known = held.values()
    assert {"kept", "pass-299"} <= known
    assert "pass-0" not in known


def test_a_new_login_leaves_what_is_known_of_the_others(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    held = secrets(clock)
    for number in range(300):
        held.learn("ann", f"pass-{number}")
    assert held.hide("pass-299 pass-1") == "**** pass-1"
    made: list[str] = []
    forms_of = logs._forms_of
    monkeypatch.setattr(logs, "_forms_of", lambda secret: made.append(secret) or forms_of(secret))
    held.learn("ann", "pass-new")
    assert held.hide("pass-299 pass-new") == "**** ****"
    assert sorted(made) == sorted(["pass-new", base64.b64encode(b"ann:pass-new").decode()])


def test_they_are_gathered_once_and_anew_as_soon_as_one_is_added(tmp_path: Path, clock: FakeClock) -> None:
    token, user = tmp_path / "token", tmp_path / "user"
    put(token, "first-token")
    put(user, "anna")
    held = secrets(clock, JENKINS_TOKEN_FILE=str(token), JENKINS_USERNAME_FILE=str(user))
    before = held.values()
    clock.advance(SECOND)
    assert held.values() is before
    held.learn("ann", "pass-of-ann")
    assert "pass-of-ann" in held.values()
    put(user, "bert")
    put(token, "second-token")
    clock.advance(SECOND)
    assert base64.b64encode(b"bert:second-token").decode() in held.values()


def test_a_user_name_that_was_just_read_again_is_known_with_its_secret(tmp_path: Path, clock: FakeClock) -> None:
    user = tmp_path / "user"
    put(user, "anna")
    held = secrets(clock, JENKINS_TOKEN="the-token", JENKINS_USERNAME_FILE=str(user))
    held.values()
    clock.advance(SECOND / 2)
    held.current("jenkins_username")
    clock.advance(SECOND / 2 * 0.999)
    put(user, "bert")
    clock.advance(SECOND / 2)
    assert held.current("jenkins_username") == "bert"
    assert base64.b64encode(b"bert:the-token").decode() in held.values()
