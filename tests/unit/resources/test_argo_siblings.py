"""One repository URL at Argo CD, several projects of one namespace: whose login is in it; and what sharing costs."""

from __future__ import annotations

import pytest

from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import TEAM, Outside

from .argo_projects import URL, B, C, Project, registered, three_teams, writes


@pytest.fixture
def out() -> Outside:
    return three_teams()


async def test_projects_of_one_namespace_share_their_secret_and_its_changes_to_the_last(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git", URL.removesuffix(".git"))
    assert (await first.bring()).ready
    assert (await second.bring()).ready
    for version, order in (("2", (first, second)), ("3", (second, first))):
        for each in order:
            each.names("git", version)
            assert (await each.bring()).ready
            assert registered(out)["password"] == f"git-{version}"
    await second.leave()
    assert registered(out)["password"] == "git-3"
    assert (await first.bring()).ready
    await first.leave()
    assert out.argocd.repos == []


async def test_each_new_login_is_written_where_projects_of_one_namespace_name_different_secrets(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "mine")
    for each in (first, second):
        assert (await each.bring()).ready
    for version, each, other in (("2", first, second), ("2", second, first), ("3", first, second)):
        each.names(each.secret, version)
        assert (await each.bring()).ready
        assert registered(out)["password"] == f"{each.secret}-{version}"
        done = writes(out)
        assert (await other.bring()).ready
        assert writes(out) == done, "its own has not changed"
    await Project(out, B, "thief").is_refused()


async def test_projects_with_different_secrets_go_on_after_an_upgrade(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git")
    for each in (first, second):
        await each.bring()
    second.secret = "mine"
    second.forget_names()
    assert (await second.hand.once(second.repository.model_copy(update={"password_version": "git-1"}))).ready
    assert (await first.bring()).ready


@pytest.mark.parametrize("login", [None, "operators"])
async def test_without_a_secret_the_login_of_another_project_of_the_namespace_stays(
    out: Outside, login: str | None
) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other")
    await first.bring()
    second.login = login
    assert (await second.bring()).ready
    second.login = login and "operators-new"
    assert (await second.bring()).ready
    assert registered(out) == {"name": first.hand.me, "username": "git", "password": "git-1"}


@pytest.mark.parametrize("stays", [True, False])
async def test_who_drops_the_secret_leaves_it_to_the_others_of_the_namespace(out: Outside, stays: bool) -> None:
    """And waits for none of them: they may be paused."""
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git")
    await second.bring()
    await first.bring()
    assert registered(out)["name"] == first.hand.me
    first.names(None)
    assert (await first.bring()).ready
    assert registered(out)["password"] == "git-1"
    await Project(out, B, "thief").is_refused()
    await (second.bring() if stays else second.leave())
    out.world.argo_users.clear()
    assert [each["password"] for each in out.argocd.repos] == (["git-1"] if stays else [])
    if stays:
        await Project(out, B, "thief").is_refused()
    assert (await first.bring()).ready
    assert registered(out)["password"] == ("git-1" if stays else None)
    assert registered(out)["name"] == (second if stays else first).hand.me


async def test_the_login_of_a_sibling_that_has_gone_since_is_not_left(out: Outside) -> None:
    """Who was last listed with a Secret may be under deletion by now, or have dropped it."""
    first, second = Project(out, TEAM, "shop"), Project(out, TEAM, "other", "git")
    first.login = "operators"
    await first.bring()
    await second.bring()
    assert (await first.bring()).ready
    second.put(deletionTimestamp="2026-01-01T00:00:00Z")
    first.login = "operators-new"
    assert (await first.bring()).ready
    assert registered(out) == {"name": first.hand.me, "username": "reader", "password": "operators-new"}


async def test_another_user_name_is_drift_once_the_sibling_with_the_secret_has_gone(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop"), Project(out, TEAM, "other", "git")
    first.login = "operators"
    await first.bring()
    await second.bring()
    assert (await first.bring()).ready
    assert (await first.hand.see(first.repository)).drift == (), "it is the other's"
    out.kubernetes.remove(ARGO_SETTINGS, TEAM, "other")
    out.argocd.repos[0]["name"] = first.hand.me
    assert (await first.bring()).ready
    assert registered(out)["username"] == "reader"


async def test_a_login_under_the_mark_of_a_project_without_one_serves_no_other_namespace(out: Outside) -> None:
    """As versions before may have left it; it gets the mark of who names the Secret."""
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other")
    await first.bring()
    await second.bring()
    out.argocd.repos[0]["name"] = second.hand.me
    await Project(out, B, "thief").is_refused()
    assert (await second.bring()).ready
    assert (await first.bring()).ready
    assert registered(out) == {"name": first.hand.me, "username": "git", "password": "git-1"}
    assert (await second.bring()).ready


async def test_a_secret_takes_the_place_of_the_operators_account_in_its_namespace(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop"), Project(out, TEAM, "other", "git")
    first.login = "operators"
    await first.bring()
    assert (await second.bring()).ready
    assert (await first.bring()).ready
    assert registered(out) == {"name": second.hand.me, "username": "git", "password": "git-1"}


async def test_that_another_namespace_cannot_be_read_disturbs_none_that_share_their_own(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git")
    await first.bring()
    await second.bring()
    out.kubernetes.shut = {B, C}
    out.world.argo_users.clear()
    assert (await first.bring()).ready


# What it costs


@pytest.mark.parametrize("namespace", [TEAM, B])
async def test_who_shares_at_rest_needs_no_list(out: Outside, namespace: str) -> None:
    first, second = Project(out, TEAM, "shop"), Project(out, namespace, "other")
    for each in (first, second, first, second):
        await each.bring()
    await first.hand.see(first.repository)
    before = out.line.count("kubernetes.list *")
    for each in (first, second):
        assert (await each.hand.see(each.repository)).owner == each.hand.me
    assert out.line.count("kubernetes.list *") == before


async def test_what_a_dead_project_has_left_needs_no_list_either(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other")
    for each in (first, second):
        await each.bring()
    await first.leave()
    for _ in range(2):
        await second.bring()
    before = out.line.count("kubernetes.list *")
    assert (await second.hand.see(second.repository)).owner == second.hand.me
    assert out.line.count("kubernetes.list *") == before
