"""No preview gets what production has, and none takes it along: namespace, Secrets, Ingress and DNS record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS, NAMESPACE, SECRET, SERVICE_ACCOUNT
from tests.unit.world import TEAM

from .life import Life


def records(life: Life) -> list[Record]:
    return list(life.out.godaddy.zones["example.com"])


def namespace(life: Life, name: str) -> Any:
    return life.out.kubernetes.see(NAMESPACE, None, name)


async def deployed(**spec: Any) -> Life:
    """A project whose production is deployed."""
    life = Life()
    life.project(**spec)
    life.set_up()
    life.record("one")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    life.out.clock.advance(timedelta(seconds=5))
    return life


async def moved(onto: dict[str, Any]) -> Life:
    """A live preview, then production is moved onto what it has, and deployed there."""
    life = Life()
    life.out.secret("pull", {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(registry={"pullSecretRef": {"name": "pull"}})
    life.set_up()
    life.record("two", environment="pr-7", ttl="1h")
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": onto})
    for _ in range(3):
        life.out.clock.advance(timedelta(minutes=5))
        life.set_up()
    life.record("one")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    return life


@pytest.mark.parametrize(
    ("spec", "environment", "what"),
    [
        ({"argo": {"destination": {"namespace": "shop-prod"}}}, "prod", "namespace shop-prod"),
        ({"ingress": {"host": "shop-staging.example.com"}}, "staging", "host shop-staging.example.com"),
        (
            {
                "ingress": {"host": "shop-staging.preview.example.com"},
                "previews": {"host": "{name}.preview.example.com"},
            },
            "staging",
            "host shop-staging.preview.example.com",
        ),
    ],
)
async def test_a_preview_is_refused_what_production_has(spec: dict[str, Any], environment: str, what: str) -> None:
    life = await deployed(**spec)
    place = spec.get("argo", {}).get("destination", {}).get("namespace", "shop")
    before = records(life)
    life.record("two", environment=environment, ttl="1h")
    await life.live("two")
    assert life.reason("two") == "True/InvalidSpec"
    finished = life.condition("two", "Finished")
    assert finished is not None
    assert what in finished["message"]
    assert "deploy to environment 'production'" in finished["message"]
    await life.expire("two")
    assert namespace(life, place) is not None
    assert life.out.kubernetes.see(INGRESS, place, "shop") is not None
    assert records(life) == before


async def test_a_namespace_that_production_had_before_is_no_previews_either() -> None:
    life = await deployed(argo={"destination": {"namespace": "shop-prod"}}, adoption="Always")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": {"destination": {"namespace": "shop"}}}})
    life.record("two", environment="prod", ttl="1h")
    await life.live("two")
    assert life.reason("two") == "True/OwnershipConflict"
    await life.expire("two")
    assert namespace(life, "shop-prod") is not None


async def test_the_namespace_of_a_preview_that_production_moved_into_stays_with_its_pull_secret() -> None:
    life = await moved({"argo": {"destination": {"namespace": "shop-pr-7"}}})
    await life.expire("two")
    assert namespace(life, "shop-pr-7") is not None
    assert life.out.kubernetes.see(SECRET, "shop-pr-7", "pull") is not None
    account = life.out.kubernetes.see(SERVICE_ACCOUNT, "shop-pr-7", "default")
    assert account is not None
    assert account["imagePullSecrets"] == [{"name": "pull"}]
    assert life.out.kubernetes.see(INGRESS, "shop-pr-7", "shop") is not None
    # What was the preview's alone is gone.
    assert life.out.kubernetes.see(INGRESS, "shop-pr-7", "shop-pr-7") is None
    assert "shop-pr-7" not in life.out.argocd.apps
    assert [r for r in records(life) if "pr-7" in r.name] == []
    assert life.holder("pr-7") is None


async def test_the_record_of_a_host_that_production_was_moved_to_stays() -> None:
    life = await moved({"ingress": {"host": "shop-pr-7.example.com"}, "previews": {"host": "{name}.other.example.com"}})
    before = records(life)
    assert {r.name for r in before} == {"shop-pr-7", "a-shop-pr-7"}
    await life.expire("two")
    assert records(life) == before
    assert namespace(life, "shop-pr-7") is None
    assert life.holder("pr-7") is None


async def test_nor_does_the_next_deployment_of_the_preview_remove_it_as_what_it_has_replaced() -> None:
    life = await moved({"ingress": {"host": "shop-pr-7.example.com"}, "previews": {"host": "{name}.other.example.com"}})
    before = records(life)
    life.record("three", environment="pr-7", ttl="1h")
    await life.live("three")
    assert life.reason("three") == "True/Succeeded"
    for _ in range(5):
        verdict = await life.turn("three")
        life.out.clock.advance(min(verdict.after or timedelta(0), timedelta(seconds=10)))
    assert [r for r in records(life) if "other" not in r.name] == before
    assert not [e for e in life.status("three")["applied"] if e.get("state") == "retired"]
    await life.expire("three")
    assert records(life) == before


async def test_production_in_another_cluster_keeps_no_preview() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("two", environment="pr-7", ttl="1h")
    await life.live("two")
    remote = {"server": "https://other.example.com:6443", "namespace": "shop-pr-7"}
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": {"destination": remote}}})
    await life.expire("two")
    assert namespace(life, "shop-pr-7") is None
