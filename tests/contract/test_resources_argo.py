"""Argo CD's things with the real client, at the stand-in: what the resources of the operator rely on together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from devops_reconciler.api.blocks import SourceKind
from devops_reconciler.api.names import mark
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.resources.argo_application import ArgoApplication
from devops_reconciler.resources.argo_project import ArgoProject
from devops_reconciler.resources.argo_release import ArgoRelease
from devops_reconciler.resources.argo_repository import ArgoRepository
from devops_reconciler.resources.argo_sync import ArgoHealth, ArgoSync
from devops_reconciler.resources.world import ExternalResource
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.argocd import same_url
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from standins.argocd_state import IN_CLUSTER
from testbed.argocd import RealArgoCD
from testbed.waiting import eventually
from tests.unit.resources.hand import Hand, changed
from tests.unit.world import CLUSTER, ME, OTHER, TEAM, settings

from . import argocd_swagger
from .argocd_target import DEADLINE, DIGEST, IMAGE, Source, Target, source, target

ME_UID, OTHER_UID = "uid-of-shop", "uid-of-another"
"""Whose marks ME and OTHER are."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def repository() -> AsyncIterator[Source]:
    async with source() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def argocd(repository: Source, real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    """What the resources have sent in a test is then compared with Argo CD's own description."""
    async with target(repository.sample, real=real_argocd) as found:
        yield found
        for call in found.fake.controls.calls if found.fake else ():
            argocd_swagger.check(call.method, f"{call.path}?{call.query}", call.body)


class Reach:
    """Hands into one Argo CD, one for each resource, as the operator's clients reach it."""

    def __init__(self, argocd: Target, me: str = ME) -> None:
        self.argocd = argocd
        self.me = me
        url = argocd.repo_url
        self.project = ArgoProject(name="shop", source_repos=(url,), destinations=((IN_CLUSTER, "shop*"),))
        self.app = ArgoApplication(
            name="shop",
            project="shop",
            devops_project="shop",
            environment="production",
            repo_url=url,
            path="deploy",
            target_revision="main",
            server=IN_CLUSTER,
            namespace="shop",
        )
        self.release = ArgoRelease(
            name="shop",
            project="shop",
            kind=SourceKind.KUSTOMIZE,
            image=f"{IMAGE}@{DIGEST}",
            image_name=IMAGE,
            image_parameter="",
            digest_parameter="",
            auto_sync=False,
        )

    def hand(self, me: str | None = None) -> Hand:
        hand = Hand(me=me or self.me)
        hand.out.world = replace(hand.out.world, argocd=self.argocd.client(), clock=SystemClock())
        return hand

    async def bring(self, resource: ExternalResource, hand: Hand | None = None) -> Outcome:
        """Passes in real time, until it is done or has failed."""
        used = hand or self.hand()
        async with asyncio.timeout(DEADLINE):
            while True:
                outcome = await used.once(resource)
                if outcome.ready or outcome.failure is not None:
                    return outcome
                used.out.clock.advance(timedelta(seconds=5))
                await asyncio.sleep(0.02)

    async def remove(self, hand: Hand) -> None:
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    await hand.remove(most=1)
                    return
                except AssertionError:
                    await asyncio.sleep(0.02)


async def test_project_application_release_sync_and_health_come_one_after_the_other(argocd: Target) -> None:
    reach = Reach(argocd)
    for resource in (reach.project, reach.app, reach.release):
        assert (await reach.bring(resource)).ready, resource
    sync = reach.hand()
    assert (await reach.bring(ArgoSync(name="shop", project="shop", uid="uid-of-one"), sync)).ready
    finished = datetime.fromisoformat(sync.entry.facts["finished_at"])
    health = ArgoHealth(name="shop", project="shop", image_digest=DIGEST, synced_at=finished, stable_for=timedelta(0))
    assert (await reach.bring(health)).ready


async def test_a_release_without_a_tool_takes_the_block_of_the_last_one_away(argocd: Target) -> None:
    reach = Reach(argocd)
    plain = changed(reach.release, kind=SourceKind.DIRECTORY)
    for resource in (reach.project, reach.app, reach.release, plain):
        assert (await reach.bring(resource)).ready, resource
    found = await argocd.client().application("shop", "shop")
    assert found is not None
    assert "kustomize" not in found["spec"]["source"]


async def test_an_application_moves_to_the_project_that_the_spec_names(argocd: Target) -> None:
    reach = Reach(argocd)
    hand = reach.hand()
    for resource in (reach.project, changed(reach.project, name="next")):
        assert (await reach.bring(resource)).ready
    assert (await reach.bring(reach.app, hand)).ready
    assert (await reach.bring(changed(reach.app, project="next"), hand)).ready
    found = await argocd.client().application("shop", "next")
    assert found is not None
    assert found["spec"]["project"] == "next"
    await reach.remove(hand)
    assert await argocd.client().application("shop", "next") is None


async def test_a_project_allows_what_its_applications_use_until_they_have_moved(argocd: Target) -> None:
    reach = Reach(argocd)
    project, app = reach.hand(), reach.hand()
    before = changed(reach.project, destinations=((IN_CLUSTER, "shop"),))
    after = changed(reach.project, destinations=((IN_CLUSTER, "shop-next"),))
    assert (await reach.bring(before, project)).ready
    assert (await reach.bring(reach.app, app)).ready
    assert (await reach.bring(after, project)).ready
    assert (await reach.bring(changed(reach.app, namespace="shop-next"), app)).ready

    async def narrow() -> bool:
        await reach.bring(after, project)
        found = await argocd.client().project("shop")
        return found is not None and [each["namespace"] for each in found["spec"]["destinations"]] == ["shop-next"]

    await eventually(narrow, "the project allows no more than the new destination", timedelta(seconds=DEADLINE))


async def test_an_application_that_somebody_moved_is_removed_all_the_same(argocd: Target) -> None:
    reach = Reach(argocd)
    hand = reach.hand()
    for resource in (reach.project, changed(reach.project, name="next")):
        await reach.bring(resource)
    await reach.bring(reach.app, hand)
    await argocd.client().patch_application("shop", "shop", {"spec": {"project": "next"}})
    await reach.remove(hand)
    assert await argocd.client().applications() == []


async def test_an_application_is_looked_for_without_a_list_of_them_all(argocd: Target) -> None:
    reach = Reach(argocd)
    hand = reach.hand()
    assert not (await reach.app.observe(hand.out.world, ME, None)).exists, "nor is its project there yet"
    await reach.bring(reach.project)
    await reach.bring(reach.app, hand)
    asked = [call for call in argocd.standin.controls.calls if call.path == "/api/v1/applications"]
    assert {call.query for call in asked if call.method == "GET"} == {"name=shop"}


def uses(hand: Hand, namespace: str, name: str, uid: str, url: str, secret: str | None = None, **metadata: str) -> None:
    """An ArgoSettings with this repository, as the hand's operator sees it."""
    git: dict[str, Any] = {"url": url} | ({"credentialsRef": {"name": secret}} if secret else {})
    whole = {"metadata": {"name": name, "uid": uid, **metadata}, "spec": {"git": git}}
    hand.out.kubernetes.put(ARGO_SETTINGS, namespace, whole)


async def test_two_projects_share_a_repository_and_register_it_once(argocd: Target) -> None:
    mine, theirs = Reach(argocd), Reach(argocd, OTHER)
    one = ArgoRepository(
        url=argocd.repo_url, username="git", password=SecretStr("x"), password_version="v1", user="team-a/shop"
    )
    other = changed(one, user="team-a/other")
    first, second = mine.hand(), theirs.hand()
    for hand in (first, second):
        uses(hand, TEAM, "shop", ME_UID, argocd.repo_url)
        uses(hand, TEAM, "other", OTHER_UID, argocd.repo_url)
    found = await asyncio.gather(mine.bring(one, first), theirs.bring(other, second))
    assert [outcome.ready for outcome in found] == [True, True]
    there = await argocd.client().repositories()
    assert len([repo for repo in there if same_url(repo["repo"], argocd.repo_url)]) == 1


async def test_a_repository_that_is_left_to_another_project_has_its_mark_then(argocd: Target) -> None:
    reach = Reach(argocd)
    one = ArgoRepository(url=argocd.repo_url, username="", password_version="", user=f"{TEAM}/shop")
    hand = reach.hand()
    assert (await reach.bring(one, hand)).ready
    uses(hand, TEAM, "shop", ME_UID, argocd.repo_url, deletionTimestamp="2026-01-01T00:00:00Z")
    uses(hand, TEAM, "other", OTHER_UID, argocd.repo_url)
    await hand.remove()
    found = await argocd.client().repository(argocd.repo_url)
    assert found is not None
    assert (found["name"], found["connectionState"]["status"]) == (OTHER, "Successful")


async def test_another_namespace_does_not_touch_what_has_a_login(argocd: Target) -> None:
    mine, theirs = Reach(argocd), Reach(argocd, mark(CLUSTER, "team-b", "uid"))
    one = ArgoRepository(
        url=argocd.repo_url, username="git", password=SecretStr("x"), password_version="v1", user=f"{TEAM}/shop"
    )
    assert (await mine.bring(one)).ready
    other = changed(one, user="team-b/thief", password=SecretStr("junk"), password_version="v2")
    hand = theirs.hand()
    both = settings(reconciler_namespaces=(TEAM, "team-b"))
    hand.out.world = replace(hand.out.world, settings=both)
    uses(hand, TEAM, "shop", ME_UID, argocd.repo_url, secret="git")
    uses(hand, "team-b", "thief", "uid", argocd.repo_url)
    outcome = await theirs.bring(other, hand)
    assert "for team-a/shop of another namespace" in hand.message(outcome)
    found = await argocd.client().repository(argocd.repo_url)
    assert found is not None
    assert found["name"] == ME


async def test_a_repository_is_not_written_again_because_its_user_name_is_not_shown(argocd: Target) -> None:
    reach = Reach(argocd)
    one = ArgoRepository(
        url=argocd.repo_url, username="git", password=SecretStr("x"), password_version="v1", user="team-a/shop"
    )
    hand = reach.hand()
    assert (await reach.bring(one, hand)).ready
    found = await argocd.client().repository(argocd.repo_url)
    assert found is not None
    assert "username" not in found
    assert (await one.observe(hand.out.world, ME, None)).drift == ()


async def test_a_sync_that_is_asked_for_twice_runs_once(argocd: Target) -> None:
    reach = Reach(argocd)
    for resource in (reach.project, reach.app, reach.release):
        await reach.bring(resource)
    sync = ArgoSync(name="shop", project="shop", uid="uid-of-one")
    argocd.standin.controls.fault("POST", "/sync", 500, times=1, after_effect=True)
    assert (await reach.bring(sync)).ready
    asked = [call for call in argocd.standin.controls.calls if call.path.endswith("/sync")]
    assert len(asked) == 1
