"""A paused project passes its pause on to each child, and says so while one of them has not got it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.kubernetes import JENKINS_SETTINGS
from tests.unit.world import TEAM

from .life import Life
from .test_policies import PARTS, change, ready

REST = "paused: nothing is changed until it is resumed"


def busy() -> Exception:
    return ExternalServiceError(
        "kubernetes: 429", service="kubernetes", after=timedelta(seconds=30), status=429, maybe_applied=False
    )


def refused() -> Exception:
    return CredentialsError("kubernetes: 403: exceeded quota")


def refuse(life: Life, error: Callable[[], Exception], method: str = "apply") -> Callable[[], None]:
    """What is asked of JenkinsSettings fails until what is given back is called."""
    kubernetes: Any = life.out.kubernetes
    real = getattr(kubernetes, method)

    async def failing(kind: Any, *args: Any, **more: Any) -> Any:
        if kind is JENKINS_SETTINGS:
            raise error()
        return await real(kind, *args, **more)

    setattr(kubernetes, method, failing)
    return lambda: setattr(kubernetes, method, real)


def message(life: Life, condition: str = "Suspended") -> str:
    return str((life.condition("shop", condition, "DevOpsProject") or {}).get("message", ""))


def suspended(life: Life) -> list[str]:
    return [kind for kind in PARTS if life.see("shop", kind)["spec"].get("suspend")]


@pytest.mark.parametrize("error", [busy, refused])
async def test_a_child_that_cannot_be_paused_puts_off_no_other_and_is_tried_again_in_time(
    error: Callable[[], Exception],
) -> None:
    life = ready()
    relent = refuse(life, error)
    change(life, suspend=True)
    for _ in range(3):
        verdict = await life.turn("shop", "DevOpsProject")
        assert verdict.after is not None
        assert verdict.after >= timedelta(seconds=30)
        assert [result.step for result in verdict.results] == ["JenkinsSettings"]
        assert suspended(life) == [kind for kind in PARTS if kind != "JenkinsSettings"]
        assert message(life).startswith("paused, but not yet passed on to JenkinsSettings: kubernetes: 4")
        assert "ArgoSettings" not in message(life)
        assert (life.condition("shop", "VendorDegraded", "DevOpsProject") is not None) is (error is busy)
        assert life.reason("shop", "Ready", "DevOpsProject") == "True/Succeeded"
        life.out.clock.advance(verdict.after)
    relent()
    await life.turn("shop", "DevOpsProject")
    await life.turn("shop", "DevOpsProject")
    assert suspended(life) == list(PARTS)
    assert message(life) == REST
    assert life.condition("shop", "VendorDegraded", "DevOpsProject") is None


async def test_what_a_paused_child_waits_for_and_what_cannot_be_read_of_it_change_nothing() -> None:
    life = Life()
    life.project(suspend=True)
    for _ in range(2):
        for kind in ("DevOpsProject", *PARTS):
            await life.turn("shop", kind)
    verdict = await life.turn("shop", "DevOpsProject")
    assert verdict.after == life.out.world.settings.poll_interval
    assert message(life) == REST
    refuse(life, busy, "get")
    verdict = await life.turn("shop", "DevOpsProject")
    assert message(life) == REST, "it has it, by what is known"
    assert ([result.step for result in verdict.results], verdict.after) == (["JenkinsSettings"], timedelta(seconds=30))


async def test_a_child_that_is_resumed_by_hand_is_paused_again_or_told_of() -> None:
    life = ready()
    change(life, suspend=True)
    await life.turn("shop", "DevOpsProject")
    assert (suspended(life), message(life)) == (list(PARTS), REST)
    life.out.clock.advance(timedelta(minutes=1))
    life.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"spec": {"suspend": False}})
    relent = refuse(life, busy)
    await life.turn("shop", "DevOpsProject")
    assert "not yet passed on to JenkinsSettings" in message(life)
    relent()
    life.out.clock.advance(timedelta(seconds=30))
    await life.turn("shop", "DevOpsProject")
    assert (suspended(life), message(life)) == (list(PARTS), REST)
