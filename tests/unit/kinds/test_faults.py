"""Whose a failure is, the user's, a vendor's or the operator's own; and when it is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    FailedError,
    SecretNotFoundError,
    ValidationError,
    Waiting,
    fault_of,
)
from devops_reconciler.api.faults import Fault
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.resources.jenkins_shop import with_choices
from tests.unit.world import TEAM

from .life import Life

SECOND = timedelta(seconds=1)
ILL = ExternalServiceError("jenkins: list builds: 503", service="jenkins")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (None, None),
        (Waiting("under way", after=SECOND), None),
        (ILL, Fault.VENDOR),
        (ExternalServiceError("slow down", service="godaddy", reason=Reason.RATE_LIMITED), Fault.VENDOR),
        (ValidationError("no such field"), Fault.USER),
        (SecretNotFoundError("no such Secret"), Fault.USER),
        (CredentialsError("401"), Fault.USER),
        (ConflictError("not ours"), Fault.USER),
        (FailedError("the build failed"), Fault.USER),
        (FailedError("not done in time", fault=Fault.VENDOR), Fault.VENDOR),
        (KeyError("a mistake of ours"), Fault.OPERATOR),
    ],
)
def test_whose_an_error_is(error: Exception | None, fault: Fault | None) -> None:
    assert fault_of(error) is fault


def ready(*, jenkins: dict[str, Any] | None = None, **changes: Any) -> Life:
    life = Life(**changes)
    life.project(**({"jenkins": jenkins} if jenkins else {}))
    life.set_up()
    return life


def step(life: Life, name: str, record: str = "one") -> dict[str, Any]:
    return next(dict(s) for s in life.status(record)["steps"] if s["name"] == name)


async def until_build(life: Life) -> None:
    """One record, until its build runs."""
    life.out.jenkins.build_time = timedelta(minutes=5)
    life.record("one")
    for _ in range(4):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or SECOND)
    assert step(life, "build")["state"] == "Running"
    assert "fault" not in life.status("one")


async def test_an_ill_vendor_is_the_vendors_fault_and_says_when_it_is_asked_again() -> None:
    life = ready()
    await until_build(life)
    life.out.line.fail("jenkins.*", ILL)

    verdict = await life.turn("one")

    found = step(life, "build")
    assert (found["state"], found["fault"], life.status("one")["fault"]) == ("Waiting", "Vendor", "Vendor")
    assert verdict.after == timedelta(seconds=30)
    retry = datetime.fromisoformat(found["nextRetryAt"])
    assert abs(retry - life.out.clock.now() - timedelta(seconds=30)) < SECOND
    told = life.told("one")[-1]
    assert (told["step"], told["state"], told["fault"]) == ("build", "Waiting", "Vendor")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert "fault" not in life.status("one")
    assert all("fault" not in s and "nextRetryAt" not in s for s in life.status("one")["steps"])


async def test_a_mistake_of_ours_is_the_operators_fault_and_says_when_it_is_tried_again() -> None:
    life = ready()
    await until_build(life)
    life.out.line.fail("jenkins.*", KeyError("no such key"))

    await life.turn("one")

    found = step(life, "build")
    assert (found["reason"], found["fault"], life.status("one")["fault"]) == ("InternalError", "Operator", "Operator")
    retry = datetime.fromisoformat(found["nextRetryAt"])
    assert abs(retry - life.out.clock.now() - timedelta(seconds=60)) < SECOND


async def test_inputs_that_cannot_be_read_have_their_fault_without_a_step() -> None:
    life = ready()
    await until_build(life)
    life.out.line.fail("kubernetes.get JenkinsSettings", KeyError("no such key"))

    await life.turn("one")

    assert life.status("one")["fault"] == "Operator"


async def test_a_red_build_is_the_users_fault() -> None:
    life = ready()
    life.out.jenkins.result = "FAILURE"
    life.record("one")

    await life.live("one")

    assert (step(life, "build")["fault"], life.status("one")["fault"]) == ("User", "User")
    assert life.told("one")[-1]["fault"] == "User"
    assert "nextRetryAt" not in step(life, "build")


async def test_a_value_that_a_choice_does_not_offer_is_sent_as_text_and_makes_no_vendor_ill() -> None:
    life = ready(jenkins={"parameters": {"ENV": "prod"}})
    configs = life.out.jenkins.configs
    configs["shop", "shop"] = with_choices(configs["shop", "shop"], "ENV", "dev", "staging")
    life.record("one")

    await life.live("one")

    assert life.reason("one") == "True/Succeeded"
    assert (life.out.jenkins.triggers[-1]["ENV"], life.out.line.count("jenkins.trigger")) == ("prod", 1)


@pytest.mark.parametrize("what", ["quota", "forbid", "project"])
async def test_what_is_refused_before_its_first_step_is_the_users_fault(what: str) -> None:
    life = Life() if what == "project" else ready()
    if what == "quota":
        life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"previews": {"max": 0}}})
    if what == "forbid":
        life.record("before")
        life.out.clock.advance(SECOND)
    more = {"quota": {"environment": "pr-1"}, "forbid": {"concurrencyPolicy": "Forbid"}, "project": {}}
    life.record("one", **more[what])

    await life.live("one", most=1000)

    assert life.status("one")["fault"] == "User"
    assert life.told("one")[-1]["fault"] == "User"


async def test_a_deadline_that_passes_while_a_vendor_is_ill_is_the_vendors_fault_and_names_it() -> None:
    life = ready(build_timeout=timedelta(minutes=10))
    await until_build(life)
    life.out.line.fail("jenkins.*", ILL, times=1000)

    await life.live("one")

    assert life.reason("one") == "True/BuildTimeout"
    assert life.status("one")["fault"] == "Vendor"
    finished = life.condition("one", "Finished")
    assert finished is not None
    assert finished["message"] == "build: not done after 600 s: jenkins: list builds: 503"


async def test_a_deadline_that_passes_says_what_blocks() -> None:
    life = ready(build_timeout=timedelta(minutes=10))
    life.out.jenkins.build_time = timedelta(hours=10)
    life.record("one")

    await life.live("one", most=1000)

    finished = life.condition("one", "Finished")
    assert finished is not None
    assert finished["message"].startswith("build: not done after 600 s: build 1 runs")
    assert life.status("one")["fault"] == "User"


async def test_a_project_that_is_not_set_up_because_a_vendor_is_ill_is_the_vendors_fault() -> None:
    life = ready()
    conditions = life.status("shop", "DevOpsProject")["conditions"]
    down = {"status": "Unknown", "reason": "BreakerOpen", "message": "jenkins has failed since 2026-01-01 00:00:00 UTC"}
    changed = [{**c, **down} if c["type"] == "JenkinsReady" else c for c in conditions]
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"status": {"conditions": changed}})
    life.record("one")

    await life.live("one", most=1000)

    assert life.reason("one") == "True/DependencyNotReady"
    assert life.status("one")["fault"] == "Vendor"


@pytest.mark.parametrize("stop", ["cancel", "supersede"])
async def test_of_a_deployment_that_somebody_stopped_nothing_is_under_way_and_no_fault_is_left(stop: str) -> None:
    life = ready()
    await until_build(life)
    life.out.line.fail("jenkins.*", ILL)
    await life.turn("one")
    assert life.status("one")["fault"] == "Vendor"
    assert str(life.reason("one", "BuildSucceeded")).startswith("Unknown/")
    if stop == "cancel":
        life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"cancel": True}})
    else:
        life.out.clock.advance(SECOND)
        life.record("two", concurrencyPolicy="Replace")

    await life.live("one")

    assert life.reason("one") in ("True/Cancelled", "True/Superseded")
    assert life.reason("one", "BuildSucceeded") in ("False/Cancelled", "False/Superseded")
    assert "fault" not in life.status("one")
