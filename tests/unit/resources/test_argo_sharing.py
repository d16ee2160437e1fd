"""One repository URL at Argo CD, several namespaces: who shares it, and whose login is left alone."""

from __future__ import annotations

import pytest

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.errors import CredentialsError
from devops_reconciler.api.names import mark
from devops_reconciler.resources.argo_repository import ArgoRepositoryRemoval
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import CLUSTER, TEAM, Outside

from .argo_projects import URL, B, C, Project, registered, three_teams, writes
from .hand import policy


@pytest.fixture
def out() -> Outside:
    return three_teams()


# Two namespaces


@pytest.mark.parametrize("secret", [None, "junk"])
@pytest.mark.parametrize("adoption", list(Adoption))
async def test_another_namespace_neither_reads_with_a_login_nor_replaces_it(
    out: Outside, secret: str | None, adoption: Adoption
) -> None:
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "thief", secret)
    await ours.bring()
    there = registered(out)
    text = await theirs.is_refused(adoption)
    assert f"Argo CD has {URL} for team-a/shop of another namespace" in text
    assert "credential template" in text
    assert '"git"' not in text
    assert registered(out) == there == {"name": ours.hand.me, "username": "git", "password": "git-1"}
    assert (await ours.bring()).ready


async def test_who_drops_the_secret_takes_no_login_of_another_namespace_away(out: Outside) -> None:
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "thief", "junk")
    await ours.bring()
    await theirs.is_refused()
    theirs.names(None)
    await theirs.is_refused()
    await theirs.leave()
    assert registered(out)["password"] == "git-1"
    assert writes(out) == 1


async def test_a_secret_takes_no_repository_over_that_another_namespace_has_without(out: Outside) -> None:
    ours, theirs = Project(out, TEAM, "shop"), Project(out, B, "thief", "junk")
    await ours.bring()
    assert "team-a/shop" in await theirs.is_refused(Adoption.ALWAYS)
    assert registered(out) == {"name": ours.hand.me, "username": None, "password": None}


async def test_a_login_goes_with_its_project_though_another_namespace_waits_for_the_repository(out: Outside) -> None:
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "thief")
    await ours.bring()
    await theirs.is_refused()
    await ours.leave()
    assert out.argocd.repos == []
    assert (await theirs.bring()).ready
    assert registered(out)["username"] is None


async def test_a_login_that_is_kept_for_a_preview_serves_no_other_namespace(out: Outside) -> None:
    """The spec has another URL already; what was registered is still there, with the login."""
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "thief")
    await ours.bring()
    ours.url = URL.replace("private", "next")
    ours.put()
    await theirs.is_refused()


async def test_a_login_that_is_new_serves_no_other_namespace(out: Outside) -> None:
    """What was public, and shared as such, is to get a login."""
    ours, theirs = Project(out, TEAM, "shop"), Project(out, B, "friend")
    assert (await ours.bring()).ready
    assert (await theirs.bring()).ready
    for each in (ours, theirs):
        each.names("git")
        await each.is_refused()
        each.names(None)
        assert (await each.bring()).ready
    assert registered(out)["password"] is None


async def test_a_new_password_is_written_though_another_namespace_waits(out: Outside) -> None:
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "thief")
    await ours.bring()
    await theirs.is_refused()
    ours.names("git", "2")
    assert (await ours.bring()).ready
    assert registered(out)["password"] == "git-2"


async def test_whose_login_was_replaced_by_a_version_before_is_told_by_whom(out: Outside) -> None:
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "thief", "junk")
    await ours.bring()
    out.argocd.repos[0] |= {"name": theirs.hand.me, "password": "junk-1"}
    assert "team-b/thief" in await ours.is_refused()


# Without logins of their own


@pytest.mark.parametrize("login", [None, "operators"])
@pytest.mark.parametrize("before", [False, True], ids=["now", "upgraded"])
async def test_namespaces_without_secrets_share_a_repository_to_the_last(
    out: Outside, login: str | None, before: bool
) -> None:
    all_three = [Project(out, namespace, "shop") for namespace in (TEAM, B, C)]
    for each in all_three:
        each.login = login
        assert (await each.bring()).ready
        if before:
            each.forget_names()
    done = writes(out)
    for each in all_three:
        assert (await each.bring()).ready
    assert writes(out) == done
    for each in all_three:
        assert len(out.argocd.repos) == 1
        await each.leave()
    assert out.argocd.repos == []


@pytest.mark.parametrize("login", [None, "git-secret"])
async def test_what_is_shared_stays_open_to_newcomers_when_its_first_project_has_gone(
    out: Outside, login: str | None
) -> None:
    first, second, third = (Project(out, namespace, "shop") for namespace in (TEAM, B, C))
    for each in (first, second, third):
        each.login = login
    await second.bring()
    await first.bring()
    assert registered(out)["name"] == second.hand.me
    await second.leave()
    assert registered(out) == {"name": first.hand.me, "username": "reader" if login else None, "password": login}
    assert (await third.bring()).ready
    assert (await first.bring()).ready


async def test_what_a_dead_project_has_left_is_shared_when_one_of_its_namespace_has_written_its_own(
    out: Outside,
) -> None:
    """It has perhaps the login of the dead one, which nobody can see."""
    gone, stays = Project(out, TEAM, "gone", "git"), Project(out, TEAM, "stays")
    await gone.bring()
    assert (await stays.bring()).ready
    await gone.leave()
    assert registered(out)["password"] == "git-1"
    for adoption in Adoption:
        assert "team-a/stays" in await Project(out, B, f"thief-{adoption}".lower()).is_refused(adoption)
    assert (await stays.bring()).ready
    assert registered(out) == {"name": stays.hand.me, "username": None, "password": None}
    assert (await Project(out, B, "friend").bring()).ready
    done = writes(out)
    assert (await stays.bring()).ready
    assert writes(out) == done


async def test_a_dead_mark_is_replaced_once_by_who_shares_what_it_has_left(out: Outside) -> None:
    """As versions before have left it: the mark of the first one stayed."""
    ours, theirs = Project(out, TEAM, "shop"), Project(out, B, "friend")
    for each in (ours, theirs):
        await each.bring()
    out.argocd.repos[0]["name"] = mark(CLUSTER, C, "forgotten")
    done = writes(out)
    for each in (theirs, ours, theirs):
        assert (await each.bring()).ready
    assert writes(out) == done + 1
    assert registered(out)["name"] == theirs.hand.me
    assert (await Project(out, C, "new").bring()).ready


async def test_the_login_of_a_project_that_is_gone_is_replaced_by_that_of_who_stays(out: Outside) -> None:
    gone, stays = Project(out, TEAM, "gone", "git"), Project(out, TEAM, "stays", "mine")
    await stays.bring()
    await gone.bring()
    await stays.bring()
    assert registered(out)["password"] == "git-1"
    await gone.leave()
    assert (await stays.bring()).ready
    assert registered(out) == {"name": stays.hand.me, "username": "git", "password": "mine-1"}


async def test_a_dead_mark_that_a_login_may_not_replace_leaves_who_has_it_ready(out: Outside) -> None:
    """Another namespace shares it, as a version before let it: that one is told, not who has the Secret."""
    ours, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "friend")
    await ours.bring()
    there = out.argocd.repos.pop()
    ours.out.kubernetes.remove(ARGO_SETTINGS, TEAM, "shop")
    await theirs.bring()
    out.argocd.repos[:] = [{**there, "name": mark(CLUSTER, C, "forgotten")}]
    ours.put()
    out.world.argo_memory.users.clear()
    assert (await ours.bring()).ready
    assert "team-a/shop" in await theirs.is_refused()
    assert registered(out)["password"] == "git-1"


async def test_what_nobody_uses_is_taken_over_only_with_a_login_of_ones_own(out: Outside) -> None:
    out.argocd.repos.append({"repo": URL, "name": mark(CLUSTER, TEAM, "forgotten"), "username": "x", "password": "x"})
    new = Project(out, B, "new")
    assert "adoption: Always" in await new.is_refused()
    assert (await new.bring(Adoption.ALWAYS)).ready
    assert registered(out) == {"name": new.hand.me, "username": None, "password": None}


# A namespace that refuses us


@pytest.mark.parametrize("read", [True, False])
async def test_a_namespace_that_refuses_us_holds_up_none_of_the_others(out: Outside, read: bool) -> None:
    shared = Project(out, B, "friend", url=URL.replace("private", "public"))
    ours, other = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git")
    await shared.bring()
    await ours.bring()
    if not read:
        out.world.argo_memory.users.clear()
    out.kubernetes.shut = {B, C}
    assert (await other.bring()).ready
    ours.names("git", "2")
    assert (await ours.bring()).ready
    assert registered(out)["password"] == "git-2"
    new = Project(out, TEAM, "new", "git", URL.replace("private", "new"))
    assert (await new.bring()).ready
    await new.leave()
    assert len(out.argocd.repos) == 2


async def test_who_was_last_read_there_still_shares_nothing_with_us(out: Outside) -> None:
    theirs, ours = Project(out, B, "shop", "git"), Project(out, TEAM, "thief")
    await theirs.bring()
    assert "team-b/shop" in await ours.is_refused()
    out.kubernetes.shut = {B}
    out.clock.advance(out.world.settings.poll_interval)
    assert "team-b/shop" in await ours.is_refused(Adoption.ALWAYS)
    out.argocd.repos.clear()
    assert "team-b/shop" in await ours.is_refused()


async def test_a_mark_of_a_namespace_that_refuses_us_is_not_nobodys(out: Outside) -> None:
    theirs, ours = Project(out, B, "shop", "git"), Project(out, TEAM, "friend")
    await ours.bring()
    out.argocd.repos.clear()
    out.kubernetes.remove(ARGO_SETTINGS, TEAM, "friend")
    await theirs.bring()
    ours.put()
    out.world.argo_memory.users.clear()
    out.kubernetes.shut = {B}
    assert (await ours.bring()).ready
    new = Project(out, TEAM, "new")
    outcome = await new.hand.once(new.repository, policy(Adoption.ALWAYS))
    assert "cannot be told while a watched namespace refuses us" in new.hand.message(outcome)
    assert registered(out)["password"] == "git-1"
    out.kubernetes.shut.clear()
    assert "team-b/shop" in await ours.is_refused()


async def test_nothing_shared_is_removed_while_a_namespace_that_may_share_it_refuses_us(out: Outside) -> None:
    ours, theirs = Project(out, TEAM, "shop"), Project(out, B, "friend")
    await ours.bring()
    await theirs.bring()
    out.kubernetes.shut = {B}
    ours.put(deletionTimestamp="2026-01-01T00:00:00Z")
    with pytest.raises(CredentialsError):
        await ArgoRepositoryRemoval.recall(ours.hand.entry.value).observe(out.world, ours.hand.me, None)
