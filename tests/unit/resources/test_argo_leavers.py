"""One repository URL at Argo CD, and projects that drop their Secret or move away: no login of theirs is left in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.base import Adoption
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.lifecycle import ResourceLifecycleManager
from devops_reconciler.kinds.reconcile import is_retired
from devops_reconciler.resources.catalog import REMOVALS
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import TEAM, Outside

from .argo_projects import URL, B, Project, registered, three_teams, writes
from .hand import policy

NEXT = URL.replace("private", "next")


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> Outside:
    """Argo CD 3.5, which shows no user name: nothing tells whose login is in a repository."""
    found = three_teams()
    real = found.argocd.repository

    async def nameless(url: str) -> dict[str, Any] | None:
        there = await real(url)
        return there and {name: value for name, value in there.items() if name not in ("username", "password")}

    monkeypatch.setattr(found.argocd, "repository", nameless)
    return found


async def retire(each: Project) -> None:
    """The passes that remove what was replaced."""
    while any(map(is_retired, each.hand.ledger.entries)):
        lifecycle = ResourceLifecycleManager(each.out.world, each.out.clock, each.hand.me, REMOVALS)
        outcome = await lifecycle.clean(each.hand.ledger, each.hand._save, {}, only=is_retired)
        each.out.clock.advance(outcome.results[0].after or timedelta(seconds=1))
    each.hand.ledger = Ledger([entry for entry in each.hand.ledger.entries if entry.state != "cleaned"])
    each.status["applied"] = each.hand.ledger.dump()
    each.put()


async def two_with_a_secret(out: Outside, login: str | None) -> tuple[Project, Project]:
    """The first one is that whose mark it has."""
    first, second = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other", "git")
    for each in (second, first):
        each.login = login
        await each.bring()
    assert registered(out)["name"] == first.hand.me
    return first, second


@pytest.mark.parametrize("login", [None, "operators"])
@pytest.mark.parametrize("marked_first", [True, False])
async def test_a_secret_goes_when_all_of_the_namespace_have_dropped_it(
    out: Outside, login: str | None, marked_first: bool
) -> None:
    """The first one to drop it leaves it to the other, and does not take its own for written."""
    first, second = await two_with_a_secret(out, login)
    for each in (first, second) if marked_first else (second, first):
        each.names(None)
        assert (await each.bring()).ready
    for each in (first, second):
        assert (await each.bring()).ready
    assert registered(out)["password"] == login
    done = writes(out)
    for each in (first, second):
        assert (await each.bring()).ready
    assert writes(out) == done
    assert (await Project(out, B, "friend").bring()).ready


@pytest.mark.parametrize("login", [None, "operators"])
async def test_a_secret_that_was_left_to_a_project_is_replaced_when_that_vanishes(
    out: Outside, login: str | None
) -> None:
    """By force, or with Orphan: nobody removes or marks anything then."""
    first, _ = await two_with_a_secret(out, login)
    first.names(None)
    assert (await first.bring()).ready
    assert registered(out) == {"name": first.hand.me, "username": "git", "password": "git-1"}
    out.kubernetes.remove(ARGO_SETTINGS, TEAM, "other")
    out.clock.advance(timedelta(minutes=1))
    await Project(out, TEAM, "new").bring()
    assert (await first.bring()).ready
    assert registered(out)["password"] == login


@pytest.mark.parametrize("login", [None, "operators"])
async def test_a_newcomer_does_not_believe_who_has_left_its_login_to_another(out: Outside, login: str | None) -> None:
    first, second = await two_with_a_secret(out, login)
    first.names(None)
    await first.bring()
    second.names(None)  # and does not come to its own look
    new = Project(out, TEAM, "new")
    new.login = login
    await new.bring()
    await first.bring()
    assert registered(out)["password"] == login


@pytest.mark.parametrize("login", [None, "operators"])
async def test_a_secret_goes_with_the_project_that_moves_to_another_url(out: Outside, login: str | None) -> None:
    """Its sibling without one stays, and has it under the mark of a project that is alive elsewhere."""
    moves, stays = Project(out, TEAM, "shop", "git"), Project(out, TEAM, "other")
    stays.login = login
    await moves.bring()
    await stays.bring()
    moves.url = NEXT
    moves.put()
    assert (await moves.bring()).ready
    await retire(moves)
    assert (await stays.bring()).ready
    assert registered(out) == {"name": stays.hand.me, "username": login and "reader", "password": login}
    friend = Project(out, B, "friend")
    friend.login = login
    assert (await friend.bring()).ready


@pytest.mark.parametrize("adoption", list(Adoption))
async def test_what_a_project_that_moved_has_left_is_told_as_its(out: Outside, adoption: Adoption) -> None:
    """With Orphan it stays, under the mark of a project that is alive elsewhere."""
    moves, theirs = Project(out, TEAM, "shop", "git"), Project(out, B, "new")
    await moves.bring()
    moves.url = NEXT
    await moves.bring()
    moves.hand.ledger.entries = [each for each in moves.hand.ledger.entries if not is_retired(each)]
    moves.status["applied"] = moves.hand.ledger.dump()
    moves.put()
    outcome = await theirs.hand.once(theirs.repository, policy(adoption))
    assert theirs.hand.reason(outcome) == "OwnershipConflict"
    assert registered(out, URL)["password"] == "git-1"
