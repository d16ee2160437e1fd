"""One repository URL at Argo CD, several projects: who shares it, and whose login is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.names import mark
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.resources.argo_repository import ArgoRepository
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import CLUSTER, TEAM, Outside, outside

from .hand import Hand, policy

URL = "https://git.example.com/team-a/private.git"
B, C = "team-b", "team-c"


class Project:
    """An ArgoSettings and its hand: what a pass comes to is in its status, as the host would save it."""

    def __init__(self, out: Outside, namespace: str, name: str, secret: str | None = None, url: str = URL) -> None:
        self.out, self.namespace, self.name, self.url = out, namespace, name, url
        self.uid = f"uid-of-{namespace}-{name}"
        self.hand = Hand(out, mark(CLUSTER, namespace, self.uid))
        self.login: str | None = None
        self.status: dict[str, Any] = {}
        self.names(secret)

    def names(self, secret: str | None, version: str = "1") -> None:
        """The spec is edited: the Secret, and the version of what is in it."""
        self.secret = secret
        self.password = f"{secret}-{version}"
        self.put()

    def put(self, **metadata: Any) -> None:
        git: dict[str, Any] = {"url": self.url} | ({"credentialsRef": {"name": self.secret}} if self.secret else {})
        whole = {"name": self.name, "uid": self.uid, **metadata}
        obj = {"metadata": whole, "spec": {"git": git}, "status": self.status}
        self.out.kubernetes.put(ARGO_SETTINGS, self.namespace, obj)

    @property
    def repository(self) -> ArgoRepository:
        """As the plan makes it; without a Secret the operator's own account is none, or the one of `login`."""
        username, password = ("git", self.password) if self.secret else ("reader" if self.login else "", self.login)
        return ArgoRepository(
            url=self.url,
            username=username,
            password=SecretStr(password or ""),
            password_version=password or "",
            secret=self.secret or ("" if self.login else None),
            user=f"{self.namespace}/{self.name}",
        )

    async def bring(self, adoption: Adoption = Adoption.NEVER) -> Outcome:
        outcome = await self.hand.bring(self.repository, policy(adoption))
        ready = {"type": "Ready", "status": str(outcome.ready), "reason": self.hand.reason(outcome)}
        self.status = {"applied": self.hand.ledger.dump(), "conditions": [ready]}
        self.put()
        return outcome

    async def is_refused(self, adoption: Adoption = Adoption.NEVER) -> str:
        """The words of the conflict."""
        outcome = await self.bring(adoption)
        assert self.hand.reason(outcome) == "OwnershipConflict", outcome.results
        return self.hand.message(outcome)

    async def leave(self) -> None:
        self.put(deletionTimestamp="2026-01-01T00:00:00Z")
        await self.hand.remove()
        self.out.kubernetes.remove(ARGO_SETTINGS, self.namespace, self.name)

    def forget_names(self) -> None:
        """The status as the version before had it, which did not tell Secrets from the operator's account."""
        for entry in self.hand.ledger.entries:
            entry.value.pop("secret", None)
        self.status["applied"] = self.hand.ledger.dump()
        self.put()


@pytest.fixture
def out() -> Outside:
    return outside(reconciler_namespaces=(TEAM, B, C))


def registered(out: Outside) -> dict[str, Any]:
    (found,) = out.argocd.repos
    return {key: found.get(key) for key in ("name", "username", "password")}


def writes(out: Outside) -> int:
    return sum(out.line.count(f"argocd.{verb}_repository") for verb in ("create", "update", "delete"))


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
    assert registered(out)["name"] == (first if login else second).hand.me, "a login is written by each who comes"
    await (first if login else second).leave()
    heir = second if login else first
    assert registered(out) == {"name": heir.hand.me, "username": "reader" if login else None, "password": login}
    assert (await third.bring()).ready
    assert (await heir.bring()).ready


async def test_what_a_dead_project_has_left_is_not_shared_with_a_namespace_that_comes_later(out: Outside) -> None:
    """Its namespace goes on with it, and perhaps with its login, which nobody can see."""
    gone, stays = Project(out, TEAM, "gone", "git"), Project(out, TEAM, "stays")
    await gone.bring()
    assert (await stays.bring()).ready
    await gone.leave()
    assert registered(out)["password"] == "git-1"
    for adoption in Adoption:
        assert "team-a/stays" in await Project(out, B, f"thief-{adoption}".lower()).is_refused(adoption)
    assert (await stays.bring()).ready
    assert (await Project(out, TEAM, "new").bring()).ready
    assert registered(out)["password"] == "git-1"


async def test_what_nobody_uses_is_taken_over_only_with_a_login_of_ones_own(out: Outside) -> None:
    out.argocd.repos.append({"repo": URL, "name": mark(CLUSTER, TEAM, "forgotten"), "username": "x", "password": "x"})
    new = Project(out, B, "new")
    assert "adoption: Always" in await new.is_refused()
    assert (await new.bring(Adoption.ALWAYS)).ready
    assert registered(out) == {"name": new.hand.me, "username": None, "password": None}


# One namespace


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


async def test_another_secret_of_the_namespace_is_a_conflict_until_both_name_the_same(out: Outside) -> None:
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "mine")
    await first.bring()
    text = await second.is_refused()
    assert text.startswith("team-a/shop has registered")
    assert "name the same Secret" in text
    assert registered(out)["password"] == "git-1"
    second.names("git")
    assert (await second.bring()).ready


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
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git")
    await second.bring()
    await first.bring()
    assert registered(out)["name"] == first.hand.me
    first.names(None)
    waits = await first.hand.once(first.repository)
    assert "another project of its namespace" in first.hand.message(waits)
    assert registered(out)["password"] == "git-1"
    await Project(out, B, "thief").is_refused()
    await (second.bring() if stays else second.leave())
    assert (await first.bring()).ready
    assert registered(out)["password"] == ("git-1" if stays else None)
    assert registered(out)["name"] == (second if stays else first).hand.me


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
    await second.bring()
    before = out.line.count("kubernetes.list *")
    assert (await second.hand.see(second.repository)).owner == second.hand.me
    assert out.line.count("kubernetes.list *") == before
