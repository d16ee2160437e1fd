"""Logins: which Secret may be used for what, and that nothing about a password shows."""

from __future__ import annotations

import pytest

from devops_reconciler.api.base import SecretRef
from devops_reconciler.api.errors import SecretNotFoundError
from devops_reconciler.inputs.logins import git_login, project_secret, pull_secret, push_login, version_of
from devops_reconciler.runtime.settings import GitHost
from tests.unit.world import GIT_URL, TEAM, Outside, outside

REF = SecretRef(name="git")
LOGIN = {"username": "ann", "password": "s3cret-pass"}
HOST = {"freeleaps.com/git-host": "git.example.com"}


def with_secret(data: dict[str, str] | None = None, **changes: object) -> Outside:
    out = outside()
    out.secret("git", LOGIN if data is None else data, **{"annotations": HOST, **changes})  # type: ignore[arg-type]
    return out


async def test_a_missing_secret_says_to_create_it() -> None:
    with pytest.raises(SecretNotFoundError, match="team-a/git does not exist"):
        await project_secret(outside().world, TEAM, REF)


@pytest.mark.parametrize("type", ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"])
async def test_a_secret_that_images_are_pulled_with_is_of_a_type_for_that(type: str) -> None:
    assert (await pull_secret(with_secret(type=type).world, TEAM, REF))["type"] == type


async def test_a_secret_of_another_type_pulls_no_images() -> None:
    with pytest.raises(SecretNotFoundError, match=r"of type Opaque.*make it of type kubernetes.io/dockerconfigjson"):
        await pull_secret(with_secret(type="Opaque").world, TEAM, REF)


async def test_a_secret_without_the_label_may_not_be_used() -> None:
    out = with_secret(labels={"app": "x"})
    with pytest.raises(SecretNotFoundError, match=r"freeleaps\.com/project-credential"):
        await git_login(out.world, TEAM, REF, GIT_URL, jenkins=False)
    with pytest.raises(SecretNotFoundError, match=r"freeleaps\.com/project-credential"):
        await push_login(out.world, TEAM, REF)


@pytest.mark.parametrize("value", ["true", "", "anything"])
async def test_the_label_may_have_any_value(value: str) -> None:
    out = with_secret(labels={"freeleaps.com/project-credential": value})
    login = await push_login(out.world, TEAM, REF)
    assert login is not None
    assert login.username == "ann"


async def test_a_secret_of_another_namespace_is_out_of_reach() -> None:
    out = with_secret()
    out.namespace("team-b")
    with pytest.raises(SecretNotFoundError, match="team-b/git does not exist"):
        await git_login(out.world, "team-b", REF, GIT_URL, jenkins=False)


@pytest.mark.parametrize(
    ("data", "lacks"),
    [
        ({}, "username and password"),
        ({"username": "ann"}, "password"),
        ({"username": "ann", "password": ""}, "password"),
        ({"password": "x"}, "username"),
    ],
)
async def test_a_secret_that_lacks_a_key_names_it_and_no_value(data: dict[str, str], lacks: str) -> None:
    out = with_secret(data)
    with pytest.raises(SecretNotFoundError, match=f"lacks {lacks}") as caught:
        await push_login(out.world, TEAM, REF)
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize(
    ("bound", "url", "good"),
    [
        ("git.example.com", GIT_URL, True),
        ("GIT.example.com", GIT_URL, True),
        ("git.example.com:443", GIT_URL, True),
        ("git.example.com:8443", GIT_URL, False),
        ("git.example.com:8443", "https://git.example.com:8443/shop.git", True),
        ("git.example.com", "https://git.example.com:8443/shop.git", False),
        ("example.com", GIT_URL, False),
        ("git.example.com.evil.test", GIT_URL, False),
        ("http://git.example.com", GIT_URL, False),
        ("", GIT_URL, False),
    ],
)
async def test_a_git_secret_goes_to_its_own_host_only(bound: str, url: str, good: bool) -> None:
    out = with_secret(annotations={"freeleaps.com/git-host": bound} if bound else {})
    if good:
        login = await git_login(out.world, TEAM, REF, url, jenkins=False)
        assert login is not None
        assert login.password.get_secret_value() == "s3cret-pass"
        return
    with pytest.raises(SecretNotFoundError, match=r"freeleaps\.com/git-host") as caught:
        await git_login(out.world, TEAM, REF, url, jenkins=False)
    assert "s3cret" not in str(caught.value)


async def test_a_push_secret_needs_no_host() -> None:
    out = with_secret(annotations={})
    login = await push_login(out.world, TEAM, REF)
    assert login is not None
    assert login.username == "ann"


async def test_without_a_reference_the_operators_own_accounts_are_used_each_for_its_purpose() -> None:
    world = outside().world
    reads = await git_login(world, TEAM, None, GIT_URL, jenkins=False)
    clones = await git_login(world, TEAM, None, GIT_URL, jenkins=True)
    pushes = await push_login(world, TEAM, None)
    found = [(login.username, login.password.get_secret_value()) for login in (reads, clones, pushes) if login]
    assert found == [("reader", "git-secret"), ("jenkins-reader", "jenkins-git-secret"), ("push", "push-secret")]
    assert all(login.ours for login in (reads, clones, pushes) if login)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/shop.git",
        "https://git.example.com.evil.test/shop.git",
        "https://git.example.com:8443/shop.git",
        "http://git.example.com/shop.git",
    ],
)
@pytest.mark.parametrize("jenkins", [False, True])
async def test_the_operators_accounts_never_go_to_a_host_that_is_not_listed(url: str, jenkins: bool) -> None:
    assert await git_login(outside().world, TEAM, None, url, jenkins=jenkins) is None
    unlisted = outside(git_allowed_hosts=())
    assert await git_login(unlisted.world, TEAM, None, GIT_URL, jenkins=jenkins) is None


async def test_a_listed_host_with_its_own_port_gets_the_account() -> None:
    out = outside(git_allowed_hosts=(GitHost.parse("http://127.0.0.1:3000"),))
    assert await git_login(out.world, TEAM, None, "http://127.0.0.1:3000/shop.git", jenkins=False) is not None
    assert await git_login(out.world, TEAM, None, "http://127.0.0.1:3001/shop.git", jenkins=False) is None


async def test_an_account_without_a_password_is_no_login() -> None:
    out = outside(default_git_token=None, jenkins_git_username=None, registry_push_token=None)
    assert await git_login(out.world, TEAM, None, GIT_URL, jenkins=False) is None
    assert await git_login(out.world, TEAM, None, GIT_URL, jenkins=True) is None
    assert await push_login(out.world, TEAM, None) is None


async def test_a_version_changes_with_the_login_and_does_not_tell_it() -> None:
    out = with_secret()
    first = await push_login(out.world, TEAM, REF)
    out.secret("git", {**LOGIN, "password": "another"}, annotations=HOST)
    second = await push_login(out.world, TEAM, REF)
    out.secret("git", {**LOGIN, "username": "bob"}, annotations=HOST)
    third = await push_login(out.world, TEAM, REF)
    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first.version, second.version, third.version}) == 3
    assert len(first.version) == 8
    assert "s3cret" not in repr(first)


def test_the_same_password_has_another_version_elsewhere() -> None:
    assert version_of("uid-1", "ann", "x") != version_of("uid-2", "ann", "x")


async def test_a_password_keeps_its_spaces_and_loses_the_final_newline() -> None:
    out = with_secret({"username": " ann \n", "password": " pass word \n"})
    login = await push_login(out.world, TEAM, REF)
    assert login is not None
    assert (login.username, login.password.get_secret_value()) == ("ann", " pass word ")


@pytest.mark.parametrize("key", ["username", "password"])
async def test_what_is_too_long_for_a_login_is_refused_before_it_is_learned(key: str) -> None:
    out = with_secret({**LOGIN, key: "x" * 5 * 1024})
    with pytest.raises(SecretNotFoundError, match=f"{key} of Secret team-a/git has 5120 bytes"):
        await push_login(out.world, TEAM, REF)
    assert out.world.secrets.hide("x" * 5 * 1024) == "x" * 5 * 1024
    out = with_secret({**LOGIN, key: "x" * 4096})
    assert await push_login(out.world, TEAM, REF) is not None
