"""The repository or the destination of a live project changes: Argo CD takes neither from under an application."""

from __future__ import annotations

from typing import Any

import pytest

from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import Life
from .test_running_images import deploy, polls, running

ARGO = "ArgoSettings"


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


async def live(**spec: Any) -> Life:
    life = running(**spec)
    assert await deploy(life, "one") == "True/Succeeded"
    return life


@pytest.mark.parametrize("url", [GIT_URL.removesuffix(".git"), GIT_URL.replace("shop", "Shop")])
async def test_another_spelling_of_the_same_repository_keeps_it(url: str) -> None:
    life = await live()
    life.out.git.commit(url, "main", "9" * 40)
    change(life, git={"url": url})
    await polls(life)
    assert life.out.line.count("argocd.delete_repository") == 0
    assert len(life.out.argocd.repos) == 1
    keys = [each["key"] for each in life.status("shop", ARGO)["applied"] if each["kind"] == "ArgoRepository"]
    assert keys == [url], "nothing is left to be removed"
    await life.delete("shop", "ArgoSettings")
    assert life.out.argocd.repos == [], "it goes with its project"
