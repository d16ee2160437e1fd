"""What a pass would do, told without doing it: just the calls that the pass then makes, and no write at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from devops_reconciler.api.errors import CredentialsError
from devops_reconciler.api.policies import Adoption, DeletionPolicy, DriftPolicy, ManagementPolicy
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.outcome import Facts
from devops_reconciler.engine.pipeline import Step
from devops_reconciler.engine.preview import preview
from devops_reconciler.engine.resource import ABSENT, Intent, Observation

from .bench import ME, Bench, after, step
from .line import Fault, run
from .things import ALL, CATALOG, App, Build, Folder, Image, Job, Release, Secret, policy
from .world import Outside

FOLDER = step("folder", Folder(path="team"))
JOB = step("job", Job(path="team/job", content="a"))
BUILD = step("build", Build(uid="u1", tag="t"))


class Unreadable(Job):
    """May not be read."""

    error: ClassVar[Exception] = CredentialsError("may not be read")

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        raise self.error


class Rotated(Build):
    """Not kept by its service once it is done."""

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        return ABSENT


def planned(bench: Bench, *steps: Step[Outside]) -> list[dict[str, Any]]:
    """The calls of a preview, that has neither written nor changed the ledger."""
    ledger, writes = Ledger.load(bench.applied), bench.writes(saves=True)
    before = ledger.dump()
    calls = run(preview(steps, ledger, bench.world, bench.world.clock, ME, CATALOG, {}))
    assert ledger.dump() == before
    assert bench.writes(saves=True) == writes
    return calls


def told(calls: Sequence[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(call["step"], call["action"], call.get("name")) for call in calls]


def test_what_is_missing_is_created_in_the_order_of_the_steps() -> None:
    calls = planned(Bench(), FOLDER, JOB)
    assert told(calls) == [("folder", "Create", "team"), ("job", "Create", "team/job")]
    assert calls[1] == {
        "step": "job",
        "service": "outside",
        "kind": "Job",
        "name": "team/job",
        "action": "Create",
    }


def test_nothing_is_told_where_all_is_as_wanted() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    assert planned(bench, FOLDER, JOB) == []


def test_a_change_names_its_fields() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    bench.wait(60)
    calls = planned(bench, FOLDER, step("job", Job(path="team/job", content="b")))
    assert [(call["action"], call["fields"]) for call in calls] == [("Update", ["content"])]


def test_a_new_value_that_cannot_be_read_back_is_a_change() -> None:
    bench = Bench()
    bench.settle(step("secret", Secret(path="git", content="1")))
    bench.wait(60)
    calls = planned(bench, step("secret", Secret(path="git", content="2")))
    assert [(call["action"], call["fields"]) for call in calls] == [("Update", ["value"])]


def test_what_depends_on_an_outcome_comes_later() -> None:
    image = after("build", "image", Image(tag="t"))
    calls = planned(Bench(), BUILD, image)
    assert told(calls) == [("build", "Create", "u1"), ("image", "Later", None)]
    assert calls[1]["message"] == "depends on the outcome of build"


def test_the_facts_of_what_is_done_are_known_to_later_steps() -> None:
    bench = Bench()
    bench.settle(BUILD)
    assert told(planned(bench, BUILD, after("build", "job", Job(path="job")))) == [("job", "Create", "job")]


def test_a_build_that_is_done_is_not_asked_for_again_though_its_service_has_forgotten_it() -> None:
    bench = Bench()
    bench.settle(BUILD)
    bench.wait(600)
    rotated = Rotated(uid="u1", tag="t")
    bench.applied[0]["kind"] = "Rotated"
    job = after("build", "job", Job(path="job"))
    assert told(planned(bench, step("build", rotated), job)) == [("job", "Create", "job")]


def test_what_others_are_about_to_make_is_waited_for() -> None:
    calls = planned(Bench(), step("release", Release(name="shop", image="1")))
    assert [(call["action"], call["message"]) for call in calls] == [("Wait", "the app is not there yet")]


def test_what_is_not_ours_is_refused_or_taken_over_as_the_policy_says() -> None:
    bench = Bench()
    bench.world.items.place("team", None, content="")
    refused = planned(bench, FOLDER)
    assert [call["action"] for call in refused] == ["Refused"]
    assert refused[0]["message"].startswith("OwnershipConflict: it exists already with nobody's mark")
    adopted = planned(bench, step("folder", Folder(path="team"), policy=policy(adoption=Adoption.IF_UNOWNED)))
    assert [(call["action"], call["fields"]) for call in adopted] == [("Update", ["ownership"])]


def test_drift_that_is_only_reported_is_told_as_such() -> None:
    bench = Bench()
    reported = step("job", Job(path="job", content="a"), policy=policy(drift=DriftPolicy.REPORT))
    bench.settle(reported)
    bench.wait(60)
    bench.world.items.place("job", ME, content="by hand")
    calls = planned(bench, reported, after("job", "next", Job(path="next")))
    assert told(calls) == [("job", "Report", "job"), ("next", "Create", "next")], "what is left so is no hindrance"
    assert calls[0]["fields"] == ["content"]


def test_a_step_that_cannot_be_planned_says_why_and_holds_up_no_other() -> None:
    def refused(facts: Facts) -> Job:
        raise CredentialsError("no login")

    unreadable = step("unreadable", Unreadable(path="x"))
    calls = planned(Bench(), Step("login", refused, policy()), unreadable, FOLDER)
    assert [(call["step"], call["action"], call.get("message")) for call in calls] == [
        ("login", "Refused", "no login"),
        ("unreadable", "Unknown", "may not be read"),
        ("folder", "Create", None),
    ]


# Removals


def test_what_has_another_name_now_is_made_and_then_deleted_under_the_old_one() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    moved = step("job", Job(path="team/new", content="a"))
    assert told(planned(bench, FOLDER, moved)) == [("job", "Create", "team/new"), ("job", "Delete", "team/job")]
    made = len(bench.writes())
    bench.settle(FOLDER, moved)
    bench.clean(only=lambda entry: entry.state == "retired")
    assert bench.writes()[made:] == ["items create", "items delete"]


@pytest.mark.parametrize("gone", [[FOLDER], [FOLDER, step("job", None)]], ids=["step", "resource"])
def test_what_is_wanted_no_more_is_deleted(gone: list[Step[Outside]]) -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    assert told(planned(bench, *gone)) == [("job", "Delete", "team/job")]


def test_without_any_step_nothing_is_deleted() -> None:
    bench = Bench()
    bench.settle(FOLDER)
    assert planned(bench) == []


def test_what_would_stay_is_no_deletion() -> None:
    bench = Bench()
    app, release = App(name="shop", source="git", branch=None), Release(name="shop", image="1")
    bench.settle(
        step("orphan", Job(path="a"), policy=policy(deletion=DeletionPolicy.ORPHAN)),
        step("kept", Job(path="b"), policy=policy(management=ALL - {ManagementPolicy.DELETE})),
        step("taken", Job(path="c")),
        step("app", app),
        step("release", release),
    )
    bench.world.items.place("c", "mark-other", content="")
    assert told(planned(bench, step("app", app))) == [], "left by its policy, another's now, a part of another"


def test_a_deletion_that_cannot_be_told_says_why() -> None:
    bench = Bench()
    bench.settle(FOLDER, JOB)
    bench.world.line.named[("items get", sum(op.name == "items get" for op in bench.world.line.ops) + 1)] = (
        Fault.ERROR_500
    )
    calls = planned(bench, FOLDER)
    assert told(calls) == [("job", "Unknown", "team/job")]
    assert "500" in calls[0]["message"]
