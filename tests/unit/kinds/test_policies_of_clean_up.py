"""The clean-up of a deployment goes by the policies that its project has then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.deployment import component_of
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.lifecycle import policy_of
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, SECRET, SERVICE_ACCOUNT
from tests.unit.world import TEAM

from .life import Life

LEAVES: list[dict[str, Any]] = [
    {"deletionPolicy": "Orphan"},
    {"managementPolicies": ["Observe", "Create", "Update"]},
    {"components": {"argo": {"deletionPolicy": "Orphan"}}},
]


async def production(**spec: Any) -> Life:
    life = Life()
    for name in ("pull", "other"):
        life.out.secret(name, {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(registry={"pullSecretRef": {"name": "pull"}}, **spec)
    life.set_up()
    life.record("one")
    await life.live("one")
    return life


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


async def delete_project(life: Life) -> None:
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete("one")


def pulled_with(life: Life) -> list[str]:
    account = life.out.kubernetes.see(SERVICE_ACCOUNT, "shop", "default")
    assert account is not None
    copies = [name for name in ("pull", "other") if life.out.kubernetes.see(SECRET, "shop", name) is not None]
    assert [item["name"] for item in account.get("imagePullSecrets") or ()] == copies
    return copies


@pytest.mark.parametrize("policies", LEAVES)
async def test_production_that_is_to_stay_by_now_keeps_its_pull_secret(policies: dict[str, Any]) -> None:
    life = await production()
    change(life, **policies)
    await delete_project(life)
    assert pulled_with(life) == ["pull"]


async def test_production_that_is_to_go_by_now_leaves_no_pull_secret() -> None:
    life = await production(deletionPolicy="Orphan")
    change(life, deletionPolicy="Delete")
    await delete_project(life)
    assert pulled_with(life) == []


@pytest.mark.parametrize("deletion", ["Orphan", "Delete"])
async def test_where_the_spec_cannot_be_read_the_policies_of_the_deployment_count(deletion: str) -> None:
    life = await production(deletionPolicy=deletion)
    other = "Delete" if deletion == "Orphan" else "Orphan"
    change(life, deletionPolicy=other, previews={"max": "many"})
    await delete_project(life)
    assert pulled_with(life) == (["pull"] if deletion == "Orphan" else [])


async def test_without_its_project_the_policies_of_the_deployment_count() -> None:
    life = await production()
    life.out.kubernetes.remove(DEVOPS_PROJECT, TEAM, "shop")
    await life.delete("one")
    assert pulled_with(life) == []


async def test_another_project_of_the_same_name_has_no_say() -> None:
    life = await production()
    owner = {"kind": "DevOpsProject", "name": "shop", "uid": "uid-of-shop", "controller": True}
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"metadata": {"ownerReferences": [owner]}})
    life.project(deletionPolicy="Orphan")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"metadata": {"uid": "uid-of-another"}})
    await delete_project(life)
    assert pulled_with(life) == []


async def test_each_step_has_the_policies_of_its_component() -> None:
    allowed = {
        "jenkins": ["Create", "Update"],
        "registry": ["Create", "Delete"],
        "argo": ["Create", "Update", "Delete"],
        "ingress": ["Observe", "Create"],
        "dns": ["Observe", "Create", "Update"],
    }
    life = Life()
    life.project(components={name: {"managementPolicies": policies} for name, policies in allowed.items()})
    life.set_up()
    life.record("one", environment="pr-7")
    await life.live("one")
    entries = Ledger.load(life.status("one")["applied"]).entries
    assert {entry.step for entry in entries} >= {"build", "image", "claim", "application", "ingress", "dns"}
    for entry in entries:
        assert policy_of(entry).management == set(allowed[component_of(entry.step)])


async def replaced(life: Life, **policies: Any) -> None:
    """Another pull Secret takes the place of the one that is there, and may be left by then."""
    change(life, registry={"pullSecretRef": {"name": "other"}})
    life.out.clock.advance(timedelta(seconds=2))
    life.record("two")
    await life.live("two")
    change(life, **policies)
    await life.turn("two")


@pytest.mark.parametrize("policies", LEAVES)
async def test_what_was_replaced_and_is_to_stay_by_now_stays(policies: dict[str, Any]) -> None:
    life = await production()
    await replaced(life, **policies)
    assert pulled_with(life) == ["pull", "other"]
    assert life.condition("two", "CleanupVerified") is None


async def test_what_was_replaced_of_a_paused_component_is_removed_when_that_is_resumed() -> None:
    life = await production()
    await replaced(life, components={"argo": {"managementPolicies": []}})
    said = life.condition("two", "CleanupVerified")
    assert said is not None
    assert said["message"] == "of an earlier spec is to be removed: SecretCopy shop/pull: paused"
    verdict = await life.turn("two")
    assert verdict.after == life.out.world.settings.poll_interval
    change(life, components={"argo": None})
    for _ in range(5):
        verdict = await life.turn("two")
        life.out.clock.advance(verdict.after or timedelta(0))
    assert pulled_with(life) == ["other"]
    assert life.condition("two", "CleanupVerified") is None


WITHOUT_DELETE = ["Observe", "Create", "Update"]


async def preview(name: str, **spec: Any) -> Life:
    life = Life()
    life.project(previews={"max": 1}, **spec)
    life.set_up()
    life.record(name, environment="pr-1", ttl="1h")
    await life.live(name)
    return life


async def another_may_come(life: Life) -> None:
    life.out.clock.advance(timedelta(seconds=2))
    life.record("two", environment="pr-2", ttl="1h")
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"


async def test_a_preview_that_may_not_be_deleted_is_left_and_says_so_and_gives_its_place_free() -> None:
    life = await preview("one", managementPolicies=WITHOUT_DELETE)
    await life.expire("one")
    assert "shop-pr-1" in life.out.argocd.apps
    said = life.condition("one", "CleanupVerified")
    assert said is not None
    for text in (said["message"], life.told("one")[-1]["message"]):
        assert "ArgoApplication shop-pr-1" in text
        assert "EnvironmentClaim" not in text
        assert "managementPolicies do not allow to delete it" in text
        assert "gone" not in text
    assert life.holder("pr-1") is None
    await another_may_come(life)


async def test_a_deleted_preview_that_may_not_be_deleted_gives_its_place_free() -> None:
    life = await preview("one", managementPolicies=WITHOUT_DELETE)
    await life.delete("one")
    assert "shop-pr-1" in life.out.argocd.apps
    assert life.holder("pr-1") is None
    await another_may_come(life)


async def test_only_what_may_not_be_deleted_is_left() -> None:
    life = await preview("one", components={"dns": {"managementPolicies": WITHOUT_DELETE}})
    await life.expire("one")
    assert "shop-pr-1" not in life.out.argocd.apps
    assert [each.name for each in life.out.godaddy.zones["example.com"] if "pr-1" in each.name] != []
    said = life.condition("one", "CleanupVerified")
    assert said is not None
    assert said["message"].startswith(
        "cleaned up but for this, since managementPolicies do not allow to delete it: DnsRecord "
    )
    assert "Argo" not in said["message"]


async def test_a_preview_that_was_left_is_taken_over_by_the_next_deployment_and_goes_with_it() -> None:
    life = await preview("one", managementPolicies=WITHOUT_DELETE)
    await life.expire("one")
    change(life, managementPolicies=None)
    life.record("two", environment="pr-1", ttl="1h")
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"
    await life.expire("two")
    assert "shop-pr-1" not in life.out.argocd.apps
