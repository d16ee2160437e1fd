"""Projects of one watched namespace that run in one destination, with one pull Secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.names import mark
from devops_reconciler.runtime.settings_lists import AllowList
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, SECRET, SERVICE_ACCOUNT
from tests.unit.world import CLUSTER, TEAM

from .life import COMMIT, Life

WEB = "https://git.example.com/web.git"
SHARED = {"registry": {"pullSecretRef": {"name": "pull"}}, "argo": {"destination": {"namespace": "apps"}}}
OF_SHOP, OF_WEB = mark(CLUSTER, TEAM, "uid-of-shop"), mark(CLUSTER, TEAM, "uid-of-web")


def pull_secret(life: Life, content: str = "{}") -> None:
    life.out.secret("pull", {".dockerconfigjson": content}, type="kubernetes.io/dockerconfigjson")


async def deployed(life: Life, name: str, project: str = "shop") -> None:
    life.out.clock.advance(timedelta(minutes=1))
    life.record(name, project=project)
    await life.live(name)
    assert life.reason(name) == "True/Succeeded"


async def both(**spec: Any) -> Life:
    """Projects shop and web, both deployed."""
    life = Life(allowed_destinations=AllowList(everywhere=("apps",)))
    pull_secret(life)
    life.out.git.commit(WEB, "main", COMMIT)
    life.project("shop", **SHARED, **spec)
    life.project("web", git={"url": WEB}, ingress={"host": "web.example.com"}, **SHARED, **spec)
    for project in ("shop", "web"):
        life.set_up(project)
        await deployed(life, f"{project}-1", project)
    return life


async def leaves(life: Life, project: str) -> None:
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, project)
    await life.delete(f"{project}-1")
    assert life.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, f"{project}-1") is None


def copy(life: Life) -> tuple[str | None, list[str]]:
    """Whose mark the copy has, and what the default ServiceAccount pulls with."""
    found = life.out.kubernetes.see(SECRET, "apps", "pull")
    account = life.out.kubernetes.see(SERVICE_ACCOUNT, "apps", "default") or {}
    names = [each["name"] for each in account.get("imagePullSecrets") or ()]
    return found and found["metadata"]["annotations"]["freeleaps.com/mark"], names


@pytest.mark.parametrize("adoption", ["Never", "Always"])
@pytest.mark.parametrize(("first", "last"), [("shop", "web"), ("web", "shop")])
async def test_they_share_the_copy_and_the_last_one_takes_it_away(first: str, last: str, adoption: str) -> None:
    life = await both(adoption=adoption)
    assert copy(life) == (OF_SHOP, ["pull"]), "whoever finds it leaves it as it is"
    await leaves(life, first)
    assert copy(life) == (OF_WEB if last == "web" else OF_SHOP, ["pull"])
    await leaves(life, last)
    assert copy(life) == (None, [])


async def test_a_secret_that_was_made_again_is_copied_by_whoever_deploys_first() -> None:
    life = await both()
    life.out.kubernetes.remove(SECRET, TEAM, "pull")
    pull_secret(life, '{"auths": {}}')
    source = life.out.kubernetes.see(SECRET, TEAM, "pull")
    assert source is not None
    await deployed(life, "web-2", "web")
    found = life.out.kubernetes.see(SECRET, "apps", "pull")
    assert found is not None
    assert found["data"] == source["data"]
    assert copy(life) == (OF_WEB, ["pull"])
    await deployed(life, "shop-2")
    assert copy(life) == (OF_WEB, ["pull"])


async def test_one_that_moves_away_leaves_it_to_the_other() -> None:
    life = await both()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"registry": {"pullSecretRef": None}}})
    await deployed(life, "shop-2")
    for _ in range(5):
        verdict = await life.turn("shop-2")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    assert not any(entry["kind"] == "SecretCopy" for entry in life.status("shop-2")["applied"])
    assert copy(life) == (OF_WEB, ["pull"])


async def test_one_that_has_not_deployed_yet_keeps_nothing() -> None:
    life = await both()
    life.project("new", git={"url": WEB}, ingress={"host": "new.example.com"}, **SHARED)
    for project in ("shop", "web"):
        await leaves(life, project)
    assert copy(life) == (None, [])
