"""The operator of before is back: words that a newer one has left in a status are read as the nearest safe ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.deployment_record import DeploymentRecordStatus, StepState
from devops_reconciler.engine.ledger import EntryState, Ledger
from devops_reconciler.kinds import KINDS
from tests.unit.world import TEAM

from .life import Life
from .test_stopping import at_build

SECOND = timedelta(seconds=1)
NEWER = "OfTomorrow"
PARTS = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")


class Spoilt(Life):
    """A life in which conditions may have reasons that nobody knows."""

    def check(self, name: str, kind: str) -> None:
        """Nothing: the invariants are those of what this version writes."""


def ready(**spec: Any) -> Life:
    life = Spoilt()
    life.project(**spec)
    life.set_up()
    return life


def status_of(life: Life, name: str, kind: str = "DeploymentRecord") -> dict[str, Any]:
    """The status itself, to be changed."""
    found: dict[str, Any] = life.out.kubernetes.objects[KINDS[kind].kind.kind, TEAM, name]["status"]
    return found


def spoil_fault(status: dict[str, Any]) -> None:
    status["fault"] = NEWER
    for step in status["steps"]:
        step["fault"] = NEWER


def spoil_steps(status: dict[str, Any]) -> None:
    for step in status["steps"]:
        step["state"] = NEWER


def spoil_entries(status: dict[str, Any]) -> None:
    for entry in status["applied"]:
        entry["state"] = NEWER


def spoil_reasons(status: dict[str, Any]) -> None:
    for condition in status["conditions"]:
        condition["reason"] = NEWER


def spoil_policies(status: dict[str, Any]) -> None:
    for entry in status["applied"]:
        entry["policy"] = {"deletion": NEWER, "management": [NEWER, "Observe", "Delete"]}


def spoil_kind_of_source(status: dict[str, Any]) -> None:
    for entry in status["applied"]:
        if entry["step"] == "release":
            entry["value"]["kind"] = NEWER


RECORD = [
    spoil_fault,
    spoil_steps,
    spoil_entries,
    spoil_reasons,
    spoil_policies,
    spoil_kind_of_source,
]
ALL = [spoil_entries, spoil_reasons, spoil_policies]


@pytest.mark.parametrize("step", ["build", "health"])
@pytest.mark.parametrize("spoil", RECORD)
async def test_a_deployment_goes_on_without_a_second_build(spoil: Any, step: str) -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record("one")
    while life.status("one").get("step") != step:
        life.out.clock.advance((await life.turn("one")).after or SECOND)
    spoil(status_of(life, "one"))
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1


@pytest.mark.parametrize("spoil", RECORD)
async def test_a_preview_goes_with_all_that_it_has(spoil: Any) -> None:
    life = ready(components={"registry": {"deletionPolicy": "Delete"}})
    life.record("one", environment="pr-7")
    await life.live("one")
    assert "shop-pr-7" in life.out.argocd.apps
    spoil(status_of(life, "one"))
    await life.delete("one")
    assert "shop-pr-7" not in life.out.argocd.apps


async def test_a_preview_stays_where_neither_its_project_nor_its_own_status_says_how_it_may_be_removed() -> None:
    life = ready()
    life.record("one", environment="pr-7")
    await life.live("one")
    spoil_policies(status_of(life, "one"))
    life.out.kubernetes.objects[KINDS["DevOpsProject"].kind.kind, TEAM, "shop"]["spec"]["deletionPolicy"] = NEWER
    await life.delete("one")
    assert "shop-pr-7" in life.out.argocd.apps


async def test_a_deployment_that_is_deleted_while_it_builds_stops_its_build() -> None:
    life = ready()
    await at_build(life, "one")
    for spoil in RECORD:
        spoil(status_of(life, "one"))
    await life.delete("one")
    assert life.out.jenkins.running() == []


@pytest.mark.parametrize("kind", ["DevOpsProject", *PARTS])
@pytest.mark.parametrize("spoil", ALL)
async def test_every_other_kind_is_ready_again_and_can_be_deleted(spoil: Any, kind: str) -> None:
    life = ready()
    spoil(status_of(life, "shop", kind))
    await life.live("shop", kind=kind)
    assert life.reason("shop", "Ready", kind) == "True/Succeeded"
    spoil(status_of(life, "shop", kind))
    life.out.kubernetes.mark_deleted(KINDS[kind].kind, TEAM, "shop")
    for _ in range(40):
        for each in (kind, *reversed(PARTS)):
            there = life.out.kubernetes.see(KINDS[each].kind, TEAM, "shop")
            if there is not None and (each == kind or "deletionTimestamp" in there["metadata"]):
                await life.turn("shop", each)
        life.out.clock.advance(5 * SECOND)
    assert life.out.kubernetes.see(KINDS[kind].kind, TEAM, "shop") is None


async def test_a_record_whose_policy_is_not_known_waits_for_its_turn_and_holds_up_no_other() -> None:
    life = ready()
    life.record("one")
    await life.live("one")
    life.out.kubernetes.objects["DeploymentRecord", TEAM, "one"]["spec"]["concurrencyPolicy"] = NEWER
    life.out.clock.advance(SECOND)
    life.record("two")
    await life.live("two")
    assert life.reason("two") == "True/Succeeded"


def test_what_each_unknown_word_is_read_as() -> None:
    entry = {"step": "build", "kind": "JenkinsBuild", "key": "k", "state": NEWER}
    assert Ledger.load([entry]).entries[0].state is EntryState.PENDING
    status = DeploymentRecordStatus.model_validate(
        {"fault": NEWER, "steps": [{"name": "build", "state": NEWER, "fault": NEWER}]}
    )
    assert (status.fault, status.steps[0].state, status.steps[0].fault) == (None, StepState.PENDING, None)


@pytest.mark.parametrize("state", list(EntryState))
def test_what_is_known_is_read_as_it_is(state: EntryState) -> None:
    entry = {"step": "build", "kind": "JenkinsBuild", "key": "k", "state": state.value}
    assert Ledger.load([entry]).entries[0].state is state
