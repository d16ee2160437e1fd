"""Production runs an image of one repository, and `registry.repository` names another one since."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.resources.hub_repository import HubRepositoryRemoval
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, REGISTRY_SETTINGS
from tests.unit.world import ME, TEAM

from .life import Life
from .test_running_images import DELETE, deploy, polls, running

REGISTRY = "RegistrySettings"


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


def digest(life: Life, name: str) -> str:
    return str(life.status(name)["image"]).partition("@")[2]


async def moved(**spec: Any) -> Life:
    """Production runs an image of acme/shop, and `registry.repository` has changed."""
    life = running(**{**DELETE, **spec})
    await deploy(life, "one")
    assert life.holder() == "one"
    change(life, registry={"repository": "shop2"})
    await polls(life)
    return life


async def test_the_old_repository_stays_while_production_runs_an_image_of_it() -> None:
    life = await moved()
    assert sorted(life.out.hub.held) == ["acme/shop", "acme/shop2"]
    assert life.reason("shop", "Ready", REGISTRY) == "True/Succeeded"
    assert life.reason("shop", "CleanupVerified", REGISTRY) == "Unknown/Progressing"
    said = (life.condition("shop", "CleanupVerified", REGISTRY) or {})["message"]
    assert f"HubRepository acme/shop: production still needs acme/shop@{digest(life, 'one')}" in said


async def test_the_old_repository_goes_when_an_image_of_the_new_one_has_proven_itself() -> None:
    life = await moved()
    assert await deploy(life, "bad", "Degraded") == "True/HealthTimeout"
    await polls(life)
    assert sorted(life.out.hub.held) == ["acme/shop", "acme/shop2"], "the failed one took nothing down"
    assert await deploy(life, "two") == "True/Succeeded"
    await polls(life)
    assert list(life.out.hub.held) == ["acme/shop2"]
    assert life.condition("shop", "CleanupVerified", REGISTRY) is None


async def test_the_old_repository_stays_for_a_rollback_that_waits_to_go_back_to_an_image_of_it() -> None:
    life = await moved()
    for name, target in (("two", {}), ("back", {"rollbackTo": "one"})):
        life.out.clock.advance(timedelta(seconds=5))
        life.record(name, **target)
        await life.turn(name)
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"
    await polls(life)
    assert sorted(life.out.hub.held) == ["acme/shop", "acme/shop2"]
    await life.live("back")
    assert (life.reason("back"), digest(life, "back")) == ("True/Succeeded", digest(life, "one"))


async def test_a_project_that_goes_takes_a_repository_along_whose_image_it_runs() -> None:
    life = await moved()
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    life.out.kubernetes.mark_deleted(DEPLOYMENT_RECORD, TEAM, "one")
    await life.live("one")
    await life.delete("shop", REGISTRY)
    assert life.out.hub.held == {}


async def test_a_repository_that_is_to_stay_holds_nothing_up() -> None:
    life = await moved(components={})
    assert life.condition("shop", "CleanupVerified", REGISTRY) is None
    assert sorted(life.out.hub.held) == ["acme/shop", "acme/shop2"]


async def test_a_repository_deleted_by_itself_stays_for_the_image_that_runs() -> None:
    life = running(**DELETE)
    await deploy(life, "one")
    life.out.kubernetes.mark_deleted(REGISTRY_SETTINGS, TEAM, "shop")
    assert (await life.turn("shop", REGISTRY)).released
    assert "acme/shop" in life.out.hub.held


@pytest.mark.parametrize(
    ("image", "stays"),
    [
        ("acme/shop", True),
        ("registry.example.com:5000/acme/shop", True),
        ("acme/shop2", False),
        ("macme/shop", False),
        ("acme/shop/web", False),
    ],
)
async def test_an_image_is_known_by_its_repository_with_and_without_a_registry(image: str, stays: bool) -> None:
    life = running()
    held = {"name": "production", "holder": "gone", "commit": "c", "digest": "sha256:1", "image": image}
    life.out.kubernetes.put(
        DEVOPS_PROJECT, TEAM, {**life.see("shop", "DevOpsProject"), "status": {"environments": [held]}}
    )
    old = HubRepositoryRemoval(namespace="acme", repository="shop", private=True, user=f"{TEAM}/shop")
    assert (await old.observe(life.out.world, ME, None)).deleting is False
    assert bool((await old.observe(life.out.world, ME, None)).wanted_by) is stays
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"registry": {"repository": "moved"}}})
    assert (await old.observe(life.out.world, ME, None)).deleting is stays


# The application


@pytest.mark.parametrize("kind", ["Kustomize", "Helm"])
async def test_an_application_that_was_lost_is_made_again_with_the_image_that_ran(kind: str) -> None:
    life = await moved(argo={"source": {"kind": kind}})
    before = life.out.argocd.apps.pop("shop")["spec"]["source"]
    await polls(life)
    after = life.out.argocd.apps["shop"]["spec"]["source"]
    assert {part: after.get(part) for part in ("kustomize", "helm")} == {
        part: before.get(part) for part in ("kustomize", "helm")
    }
    assert f"acme/shop@{digest(life, 'one')}" in str(after) or kind == "Helm"


async def test_a_release_that_names_no_image_yet_is_of_the_repository_of_the_spec() -> None:
    life = running()
    await deploy(life, "one")
    before = life.out.argocd.apps["shop"]["spec"]["source"]["kustomize"]
    project = life.see("shop", "DevOpsProject")
    del project["status"]["environments"][0]["image"]
    life.out.kubernetes.put(DEVOPS_PROJECT, TEAM, project)
    del life.out.argocd.apps["shop"]
    await polls(life)
    assert life.out.argocd.apps["shop"]["spec"]["source"]["kustomize"] == before


# The way back


async def test_a_rollback_takes_the_image_from_the_repository_in_which_it_is() -> None:
    life = await moved(components={})
    assert await deploy(life, "two") == "True/Succeeded"
    assert await deploy(life, "back", rollbackTo="one") == "True/Succeeded"
    assert life.status("back")["image"] == life.status("one")["image"]
    assert f"acme/shop@{digest(life, 'one')}" in str(life.out.argocd.apps["shop"]["spec"]["source"])
