"""A login that is refused for a moment, and one that stays refused."""

from __future__ import annotations

from datetime import timedelta

from devops_reconciler.api.errors import CredentialsError
from devops_reconciler.kinds.patience import PATIENCE

from .life import Life


def refusing(status: int, times: int) -> Life:
    """A project that is set up, and a Jenkins that will refuse the trigger of a build so often."""
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    life.out.line.fail("jenkins.trigger", CredentialsError(f"jenkins: trigger: {status}", status=status), times=times)
    return life


async def test_a_login_that_is_refused_for_a_moment_ends_no_deployment_and_makes_one_build() -> None:
    life = refusing(401, times=2)
    for _ in range(200):
        verdict = await life.turn("one")
        said = life.condition("one", "VendorDegraded")
        if said is not None:
            break
        life.out.clock.advance(verdict.after or timedelta(0))
    assert said is not None
    assert said["reason"] == "CredentialsInvalid"
    assert "401" in said["message"]

    await life.live("one")

    assert life.reason("one") == "True/Succeeded"
    assert life.condition("one", "VendorDegraded") is None
    assert len(life.out.jenkins.triggers) == 1


async def test_a_login_that_stays_refused_ends_the_deployment_after_a_minute() -> None:
    life = refusing(401, times=1000)
    before = life.out.clock.now()

    await life.live("one")

    assert life.reason("one") == "True/CredentialsInvalid"
    assert PATIENCE <= life.out.clock.now() - before < PATIENCE * 2
    assert [payload["result"] for payload in life.told("one") if payload["terminal"]] == ["Failed"]


async def test_a_missing_permission_ends_the_deployment_at_once() -> None:
    life = refusing(403, times=1000)
    before = life.out.clock.now()

    await life.live("one")

    assert life.reason("one") == "True/CredentialsInvalid"
    assert life.out.clock.now() - before < PATIENCE


async def test_a_refusal_while_the_inputs_are_read_ends_no_deployment_either() -> None:
    life = Life()
    life.project()
    life.set_up()
    life.record("one")
    refused = CredentialsError("kubernetes: get jenkinssettings: 401", status=401)
    life.out.line.fail("kubernetes.get JenkinsSettings", refused)

    verdict = await life.turn("one")

    said = life.condition("one", "VendorDegraded")
    assert said is not None
    assert (said["reason"], said["message"]) == ("CredentialsInvalid", "inputs: kubernetes: get jenkinssettings: 401")
    assert verdict.after is not None

    await life.live("one")

    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1
