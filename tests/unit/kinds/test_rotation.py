"""New credentials in a project's Secrets: tried out, handed to Jenkins and Argo CD, told in a condition."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.kubernetes import SECRET
from tests.unit.world import GIT_URL, TEAM

from .life import Life, run

KIND = "JenkinsSettings"
GIT = {"freeleaps.com/git-host": "git.example.com"}
SPEC: dict[str, Any] = {"registry": {"credentialsRef": {"name": "push"}}}


def git_secret(life: Life, password: str) -> None:
    life.out.secret("git", {"username": "ann", "password": password}, annotations=GIT)


def push_secret(life: Life, password: str) -> None:
    life.out.secret("push", {"username": "bob", "password": password})


@pytest.fixture
def life() -> Life:
    """A project with Secrets of its own, set up."""
    life = Life()
    git_secret(life, "git-1")
    push_secret(life, "push-1")
    life.project(git={"url": "https://git.example.com/shop.git", "credentialsRef": {"name": "git"}}, **SPEC)
    life.set_up()
    return life


def passes(life: Life, seconds: int = 5, count: int = 6) -> None:
    for _ in range(count):
        for kind in (KIND, "ArgoSettings"):
            run(life.turn("shop", kind))
        life.out.clock.advance(timedelta(seconds=seconds))


def held(life: Life) -> dict[str, str]:
    """What Jenkins and Argo CD have."""
    found = {name: each.password for (_, name), each in life.out.jenkins.stored.items()}
    return {**found, "argocd": life.out.argocd.repos[0]["password"]}


def told(life: Life) -> str:
    found = life.condition("shop", "CredentialsReady", KIND)
    assert found is not None
    return f"{found['status']}/{found['reason']}: {found.get('message', '')}"


def test_what_is_there_at_first_is_tried_and_told(life: Life) -> None:
    passes(life)
    assert held(life) == {"git": "git-1", "registry": "push-1", "argocd": "git-1"}
    assert told(life).startswith("True/Succeeded: Jenkins has the logins: Git takes git (version ")
    assert life.out.registry.tried == [("bob", "push-1")]


def test_new_ones_are_tried_and_handed_on_before_the_next_poll(life: Life) -> None:
    passes(life)
    before, logins = told(life), len(life.out.git.logins)
    git_secret(life, "git-2")
    push_secret(life, "push-2")
    passes(life)
    assert held(life) == {"git": "git-2", "registry": "push-2", "argocd": "git-2"}
    assert [login.password for login in life.out.git.logins[logins:] if login] == ["git-2"]
    assert life.out.registry.tried == [("bob", "push-1"), ("bob", "push-2")]
    assert told(life).startswith("True/Succeeded")
    assert told(life) != before
    assert not any(secret in told(life) for secret in ("git-1", "git-2", "push-1", "push-2"))


def test_a_push_login_that_the_registry_refuses_is_told_and_tried_once_only(life: Life) -> None:
    life.out.registry.refused = {"wrong"}
    push_secret(life, "wrong")
    passes(life, seconds=200)
    assert told(life).startswith("False/CredentialsInvalid: the registry refuses the login of Secret push; renew it")
    assert life.out.registry.tried.count(("bob", "wrong")) == 1
    assert life.reason("shop", "Ready", KIND) == "True/Succeeded"
    push_secret(life, "right")
    passes(life)
    assert told(life).startswith("True/Succeeded")


def test_a_push_login_that_was_refused_is_tried_again_after_an_hour_and_a_taken_one_later(life: Life) -> None:
    life.out.registry.refused = {"push-2"}
    push_secret(life, "push-2")
    passes(life)
    life.out.registry.refused = set()  # the account was locked, and is not any more
    life.out.clock.advance(timedelta(minutes=58))
    passes(life)
    assert told(life).startswith("False/CredentialsInvalid")
    life.out.clock.advance(timedelta(minutes=2))
    passes(life)
    assert told(life).startswith("True/Succeeded")
    life.out.clock.advance(timedelta(hours=2))
    passes(life)
    assert life.out.registry.tried.count(("bob", "push-2")) == 2
    life.out.registry.refused = {"push-2"}  # it was revoked
    life.out.clock.advance(timedelta(hours=4))
    passes(life)
    assert told(life).startswith("False/CredentialsInvalid")


def test_a_git_login_that_is_refused_is_not_handed_on(life: Life) -> None:
    passes(life)
    git_secret(life, "wrong")
    life.out.line.fail("git.resolve", CredentialsError("git: refuses ann", status=401))
    run(life.turn("shop", KIND))
    assert life.reason("shop", "Stalled", KIND) == "True/CredentialsInvalid"
    assert held(life)["git"] == "git-1"


@pytest.mark.parametrize("ref", [None, {"name": "git"}], ids=["the operator's", "the project's"])
def test_git_is_told_whose_login_it_is_asked_with(ref: dict[str, str] | None) -> None:
    """For settings and for deployments: only the operator's own may alert when it is refused."""
    life = Life()
    git_secret(life, "git-1")
    life.project(git={"url": GIT_URL, "credentialsRef": ref})
    life.set_up()
    asked = len(life.out.git.logins)
    life.record("one")
    for _ in range(3):
        run(life.turn("one"))
    assert 0 < asked < len(life.out.git.logins)
    assert {login and login.ours for login in life.out.git.logins} == {ref is None}


def test_a_registry_that_cannot_be_asked_holds_nothing_up(life: Life) -> None:
    passes(life)
    push_secret(life, "push-2")
    life.out.line.fail("registry.check_login", ExternalServiceError("down", service="registry"))
    passes(life)
    assert held(life)["registry"] == "push-2"
    assert ("bob", "push-2") in life.out.registry.tried
    assert told(life).startswith("True/Succeeded")


def at_argo(life: Life) -> str:
    found = life.condition("shop", "CredentialsReady", "ArgoSettings")
    assert found is not None
    return f"{found['status']}/{found['reason']}: {found.get('message', '')}"


def test_that_argo_cd_cannot_read_with_a_new_login_is_told_until_it_can(life: Life) -> None:
    passes(life)
    assert at_argo(life).startswith("True/Succeeded: Argo CD reads the repository with git (version ")
    life.out.argocd.refused = {"git-2"}
    git_secret(life, "git-2")
    passes(life)
    assert at_argo(life).startswith("False/RepositoryUnreadable: Argo CD has the login (version ")
    assert at_argo(life).endswith("cannot read the repository with it: Unable to connect")
    assert life.reason("shop", "Ready", "ArgoSettings") == "True/Succeeded"
    git_secret(life, "git-3")
    passes(life)
    assert at_argo(life).startswith("True/Succeeded")


def test_argo_cd_tries_all_repositories_out_only_after_a_change(life: Life) -> None:
    passes(life, count=20)
    assert life.out.line.count("argocd.retest_repository") == 0
    git_secret(life, "git-2")
    passes(life, count=20)
    assert life.out.line.count("argocd.retest_repository") == 1


def test_without_secrets_of_its_own_a_project_has_no_such_condition() -> None:
    life = Life()
    life.project()
    life.set_up()
    assert life.condition("shop", "CredentialsReady", KIND) is None
    assert life.condition("shop", "CredentialsReady", "ArgoSettings") is None
    assert TEAM in str(life.see("shop", KIND)["metadata"])


async def test_a_secret_that_is_gone_makes_no_good_credentials() -> None:
    life = Life()
    life.out.secret("push", {"username": "bob", "password": "x"})
    life.project(registry={"credentialsRef": {"name": "push"}})
    life.set_up()
    await life.turn("shop", "JenkinsSettings")
    assert life.reason("shop", "CredentialsReady", "JenkinsSettings") == "True/Succeeded"
    life.out.kubernetes.remove(SECRET, TEAM, "push")
    await life.turn("shop", "JenkinsSettings")
    assert life.reason("shop", "CredentialsReady", "JenkinsSettings") == "False/SecretNotFound"
