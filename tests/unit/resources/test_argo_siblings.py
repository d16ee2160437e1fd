"""One repository URL at Argo CD, several projects of one namespace: whose login is in it; and what sharing costs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.runtime.clock import Instant
from devops_reconciler.runtime.fence import Fence
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
    out.world.argo_memory.users.clear()
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
    out.world.argo_memory.users.clear()
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


@pytest.mark.parametrize("namespace", [TEAM, B])
async def test_who_comes_with_the_operators_account_to_whom_has_it_lists_and_writes_nothing(
    out: Outside, namespace: str
) -> None:
    first = Project(out, TEAM, "shop")
    first.login = "operators"
    await first.bring()
    there, before = registered(out), (writes(out), lists(out))
    others = [Project(out, namespace, f"other-{number}") for number in range(5)]
    for each in others:
        each.login = "operators"
        assert (await each.bring()).ready
    assert registered(out) == there
    assert (writes(out), out.line.count("argocd.retest_repository")) == (before[0], 0)
    assert lists(out) - before[1] <= len(out.world.settings.reconciler_namespaces)


async def test_a_new_login_of_the_operators_account_is_written_by_one_of_those_who_share_it(out: Outside) -> None:
    first, second, third = (Project(out, TEAM, name) for name in ("shop", "other", "third"))
    for each in (first, second, third):
        each.login = "operators"
        await each.bring()
    for each in (second, first, third):
        each.login = "operators-new"
        done = writes(out)
        assert (await each.bring()).ready
        assert registered(out)["password"] == "operators-new"
    assert writes(out) == done, "the last one finds it written"
    assert (await second.bring()).ready
    assert writes(out) == done


async def test_what_the_marked_project_is_about_to_write_is_not_there_yet(out: Outside) -> None:
    """Its status has the new value before the write, and its digest after it."""
    first, second = Project(out, TEAM, "shop"), Project(out, TEAM, "other")
    for each in (first, second):
        each.login = "operators"
        await each.bring()
    first.login = second.login = "operators-new"
    out.line.fail("argocd.update_repository", ExternalServiceError("away", service="argocd"))
    await first.hand.once(first.repository)
    first.status = {"applied": first.hand.ledger.dump()}
    first.put()
    assert first.status["applied"][0]["value"]["password_version"] == "operators-new"
    assert registered(out)["password"] == "operators"
    assert (await second.bring()).ready
    assert registered(out) == {"name": second.hand.me, "username": "reader", "password": "operators-new"}


async def test_who_comes_while_the_marked_project_goes_writes_its_own(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop"), Project(out, TEAM, "other")
    first.login = second.login = "operators"
    await first.bring()
    first.put(deletionTimestamp="2026-01-01T00:00:00Z")
    assert (await second.bring()).ready
    assert registered(out)["name"] == second.hand.me
    await first.leave()
    assert (await second.bring()).ready


async def test_who_comes_without_a_secret_where_one_is_lists_and_writes_nothing(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other")
    second.login = "operators"
    await first.bring()
    await second.hand.see(second.repository)
    there, before = registered(out), (writes(out), lists(out))
    assert (await second.bring()).ready
    assert registered(out) == there
    assert (writes(out), lists(out)) == before


@pytest.mark.parametrize("namespace", [TEAM, B])
async def test_of_all_who_come_at_one_time_with_the_operators_account_one_writes(out: Outside, namespace: str) -> None:
    """Before anybody's status tells what it has written."""
    every = [Project(out, TEAM if not number else namespace, f"shop-{number}") for number in range(10)]
    for each in every:
        each.login = "operators"
    out.line.wire = lambda name: each_turn(20 if name.endswith("create_repository") else 1)
    outcomes = await asyncio.gather(*(each.hand.bring(each.repository) for each in every))
    assert all(each.ready for each in outcomes)
    assert registered(out)["password"] == "operators"
    assert writes(out) == 1
    assert [each.hand.saves for each in every] == [1] * len(every), "their intents"
    assert lists(out) <= 2 * len(out.world.settings.reconciler_namespaces)


async def test_a_login_that_argo_cd_refuses_is_refused_once_for_all_who_come_with_it(out: Outside) -> None:
    every = [Project(out, TEAM, f"shop-{number}") for number in range(10)]
    for each in every:
        each.login = "operators"
    out.line.wire = lambda name: each_turn(20 if name.endswith("create_repository") else 1)
    out.line.fail("argocd.create_repository", ValidationError("argocd: authentication required"))
    outcomes = await asyncio.gather(*(each.hand.once(each.repository) for each in every))
    assert {each.results[0].message for each in outcomes} == {"argocd: authentication required"}
    assert writes(out) == 1
    assert (await every[0].bring()).ready


async def test_who_comes_with_a_login_of_a_secret_waits_for_nobody(out: Outside) -> None:
    """Its own may be another one, or may not be shared."""
    every = [Project(out, TEAM, f"shop-{number}", "git") for number in range(3)]
    out.line.wire = lambda name: each_turn(20 if name.endswith("create_repository") else 1)
    assert all(each.ready for each in await asyncio.gather(*(each.bring() for each in every)))
    assert out.line.count("argocd.create_repository") == len(every)


async def test_a_write_that_may_not_have_come_proves_nothing_to_the_others(out: Outside) -> None:
    first, second, third = (Project(out, TEAM, name) for name in ("shop", "other", "third"))
    first.login = "operators"
    await first.hand.bring(first.repository)
    for each in (first, second, third):
        each.login = "operators-new"
    out.line.fail("argocd.update_repository", ExternalServiceError("away", service="argocd"))
    await first.hand.once(first.repository)
    for each in (second, third):
        done = writes(out)
        await each.hand.bring(each.repository)
        assert registered(out)["password"] == "operators-new"
    assert writes(out) == done, "the last one finds it written, though no status says so"


async def test_what_was_written_before_another_replica_acted_proves_nothing(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop"), Project(out, TEAM, "other")
    fence = Fence(out.clock)
    out.world = replace(out.world, fence=fence)
    first.login = second.login = "operators"
    fence.open_for(timedelta(hours=1), Instant.of(out.clock))
    await first.hand.bring(first.repository)
    fence.close()
    out.argocd.repos[0]["password"] = "operators-new"
    fence.open_for(timedelta(hours=1), Instant.of(out.clock))
    await second.hand.bring(second.repository)
    assert registered(out)["password"] == "operators"


async def test_one_list_serves_all_who_write_at_one_time(out: Outside) -> None:
    every = [Project(out, TEAM, f"shop-{number}", "git") for number in range(10)]
    for each in every:
        await each.bring()
    out.clock.advance(timedelta(minutes=1))
    for each in every:
        each.names("git", "2")
    out.line.wire = lambda _: asyncio.sleep(0)
    before = lists(out)
    await asyncio.gather(*(each.bring() for each in every))
    assert registered(out)["password"] == "git-2"
    assert 0 < lists(out) - before < len(every), "not one of each of the two other namespaces for each project"


async def each_turn(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def lists(out: Outside) -> int:
    return out.line.count("kubernetes.list *")
