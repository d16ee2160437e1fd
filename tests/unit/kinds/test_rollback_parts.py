"""A rollback builds and pushes nothing, so what it cannot do without is Argo CD alone: it is the way out of trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import Life
from .test_running_images import deploy, digest, running

KINDS = ("DevOpsProject", "JenkinsSettings", "RegistrySettings", "ArgoSettings", "IngressResource", "DevOpsProject")
ALWAYS = 10**6
Trouble = Callable[[Life], Awaitable[None]]


async def looks(life: Life) -> None:
    """The project and its children, looked at again until all of it is known."""
    for _ in range(4):
        for kind in KINDS:
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(minutes=6))


async def unusable_file(life: Life) -> None:
    life.out.git.commit(GIT_URL, "main", "9" * 40, b"jenkins: {parameters: [oops]}\n")
    life.out.clock.advance(timedelta(minutes=6))


async def jenkins_refuses(life: Life) -> None:
    life.out.line.fail("jenkins.*", CredentialsError("jenkins: 401", status=401), times=ALWAYS)


async def dockerhub_refuses(life: Life) -> None:
    life.out.line.fail("dockerhub.*", CredentialsError("dockerhub: 401", status=401), times=ALWAYS)


async def argocd_refuses(life: Life) -> None:
    life.out.line.fail("argocd.*", CredentialsError("argocd: 401", status=401), times=ALWAYS)


async def jenkins_is_away_after_an_edit(life: Life) -> None:
    life.out.line.fail("jenkins.*", ExternalServiceError("jenkins: 503", service="jenkins"), times=ALWAYS)
    for suspend in (True, False):
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": suspend}})
        await looks(life)


async def deployed_twice() -> Life:
    life = running()
    assert await deploy(life, "v1") == "True/Succeeded"
    assert await deploy(life, "v2") == "True/Succeeded"
    return life


@pytest.mark.parametrize(
    ("trouble", "part"),
    [
        (unusable_file, "JenkinsReady"),
        (jenkins_refuses, "JenkinsReady"),
        (dockerhub_refuses, "RegistryReady"),
        (jenkins_is_away_after_an_edit, "JenkinsReady"),
    ],
)
async def test_a_rollback_needs_nothing_of_what_builds_and_pushes(trouble: Trouble, part: str) -> None:
    life = await deployed_twice()
    await trouble(life)
    await looks(life)
    assert not life.reason("shop", part, "DevOpsProject").startswith("True")
    triggers = len(life.out.jenkins.triggers)
    before = len(life.out.line.calls)
    assert await deploy(life, "back", rollbackTo="lastHealthy") == "True/Succeeded"
    assert life.reason("back", "Ready") == "True/Succeeded"
    assert digest(life, "back") == digest(life, "v1")
    assert len(life.out.jenkins.triggers) == triggers
    assert not [c for c in life.out.line.calls[before:] if c.startswith(("jenkins.", "dockerhub."))]


async def test_a_rollback_waits_for_argo_cd() -> None:
    life = await deployed_twice()
    await argocd_refuses(life)
    await looks(life)
    assert await deploy(life, "back", rollbackTo="lastHealthy") == "True/DependencyNotReady"
    assert "ArgoReady is not True" in life.condition("back", "Finished")["message"]


@pytest.mark.parametrize("trouble", [jenkins_refuses, dockerhub_refuses])
async def test_what_builds_waits_for_all_parts(trouble: Trouble) -> None:
    life = await deployed_twice()
    await trouble(life)
    await looks(life)
    triggers = len(life.out.jenkins.triggers)
    assert await deploy(life, "v3") == "True/DependencyNotReady"
    assert len(life.out.jenkins.triggers) == triggers
