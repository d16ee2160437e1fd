"""Jenkins: the one build of a record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from devops_reconciler.api.base import ManagementPolicy
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.pipeline import Step
from devops_reconciler.engine.preview import preview
from devops_reconciler.engine.resource import Intent
from devops_reconciler.resources.catalog import REMOVALS
from devops_reconciler.resources.jenkins_build import JenkinsBuild, progress
from devops_reconciler.resources.world import World
from devops_reconciler.services.jenkins_types import Stage
from devops_reconciler.services.jenkins_xml import Parameter, read_pipeline
from tests.unit.fakes.line import Crash
from tests.unit.world import ME, outside

from .hand import Hand, policy
from .jenkins_shop import FOLDER, JOB, PATH, erase, offer, with_job

BUILD = JenkinsBuild(
    folder="shop",
    name="shop",
    uid="uid-of-one",
    commit="0" * 40,
    image_repository="acme/shop",
    image_tag="000000000000-1",
    parameters={"KEY": "value"},
)
UID = {"DEPLOYMENT_UID": "uid-of-one"}


# The build


async def test_a_build_is_triggered_once_with_everything_it_needs() -> None:
    hand = await with_job()
    hand.out.jenkins.queue_time = timedelta(seconds=20)
    hand.out.jenkins.build_time = timedelta(seconds=60)
    assert (await hand.bring(BUILD, most=200)).ready
    assert hand.out.jenkins.triggers == [
        {
            "DEPLOYMENT_UID": "uid-of-one",
            "GIT_REVISION": "0" * 40,
            "IMAGE_REPOSITORY": "acme/shop",
            "IMAGE_TAG": "000000000000-1",
            "KEY": "value",
        }
    ]
    assert hand.entry.facts == {"number": 1, "url": "https://jenkins.test/shop/shop/1/"}
    assert hand.entry.external_id == "1"


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("error", [Crash(), ExternalServiceError("time-out", service="jenkins")])
async def test_a_lost_reply_to_the_trigger_makes_no_second_build(error: BaseException, after_effect: bool) -> None:
    hand = await with_job()
    hand.out.jenkins.queue_time = timedelta(seconds=5)
    hand.out.jenkins.build_time = timedelta(seconds=20)
    hand.out.line.fail("jenkins.trigger", error, after_effect=after_effect)
    try:
        await hand.once(BUILD)
    except Crash:
        hand.ledger = Ledger.load(hand.saved)
    assert (await hand.bring(BUILD, most=400)).ready
    assert len(hand.out.jenkins.triggers) == 1


async def test_a_build_is_found_in_the_queue_and_among_the_builds() -> None:
    hand = await with_job()
    hand.out.jenkins.queue_time = timedelta(minutes=1)
    await hand.out.jenkins.trigger(PATH, UID)
    seen = await hand.see(BUILD)
    assert (seen.exists, seen.ready) == (True, False)
    assert "queue" in seen.message
    hand.out.jenkins.build_time = timedelta(minutes=1)
    hand.out.clock.advance(timedelta(minutes=1))
    seen = await hand.see(BUILD)
    assert (seen.ready, seen.facts["number"]) == (False, 1)
    hand.out.clock.advance(timedelta(minutes=1))
    seen = await hand.see(BUILD)
    assert (seen.ready, seen.percent) == (True, 100)


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("Build #12 is already in progress (ETA: 5.2 sec)", "Build #12 is already in progress"),
        ("In the quiet period. Expires in 4.8 sec", "In the quiet period"),
        ("Waiting for next available executor on \u2018linux\u2019", "executor on \u2018linux\u2019"),
        (None, "about to start"),
    ],
)
async def test_what_the_queue_says_is_told_without_its_countdown(why: str | None, says: str) -> None:
    hand = await with_job()
    hand.out.jenkins.queue_time = timedelta(minutes=1)
    await hand.out.jenkins.trigger(PATH, UID)
    queued = hand.out.jenkins.queue[0]
    queued.item = replace(queued.item, why=why)
    message = (await hand.see(BUILD)).message
    assert message.endswith(says)
    assert "sec" not in message


@pytest.mark.parametrize("queued", [True, False])
async def test_a_jenkins_whose_clock_is_ahead_is_not_asked_more_often_for_it(queued: bool) -> None:
    hand = await with_job()
    hand.out.jenkins.queue_time = timedelta(hours=9 if queued else 0)
    hand.out.jenkins.build_time = timedelta(hours=9)
    await hand.once(BUILD)
    asked = hand.out.clock.now()
    await hand.see(BUILD)
    later = asked + timedelta(hours=1)
    if queued:
        item = hand.out.jenkins.queue[0]
        item.item = replace(item.item, since=later)
    else:
        [build] = hand.out.jenkins.history[PATH]
        hand.out.jenkins.history[PATH] = [replace(build, started_at=later)]
    hand.out.clock.advance(timedelta(minutes=1))
    after = (await hand.see(BUILD, Intent(op="create", at=asked))).after
    assert after is not None
    assert after >= timedelta(seconds=3)


async def test_builds_of_others_are_not_ours() -> None:
    hand = await with_job()
    hand.out.jenkins.add_build(PATH, 1, {"DEPLOYMENT_UID": "another"})
    hand.out.jenkins.add_build(PATH, 2, {})
    assert not (await hand.see(BUILD)).exists


async def test_of_two_builds_with_one_uid_the_lowest_wins_and_the_other_is_stopped() -> None:
    hand = await with_job()
    hand.out.jenkins.build_time = timedelta(minutes=5)
    await hand.once(BUILD)
    assert hand.out.jenkins.running()[0].number == 1
    for number in (5, 6):
        hand.out.jenkins.add_build(PATH, number, UID)

    outcome = await hand.once(BUILD)

    assert outcome.results[0].drifted == ("second 5", "second 6")
    assert hand.saved[0]["intent"]["op"] == "update"
    assert sorted(hand.out.jenkins.stopped) == [5, 6]
    await hand.once(BUILD)
    assert hand.entry.facts["number"] == 1
    assert sorted(hand.out.jenkins.stopped) == [5, 6]
    assert (hand.saves, len(hand.out.jenkins.triggers)) == (2, 1)


async def test_a_look_at_two_builds_with_one_uid_stops_none_and_a_plan_tells_that_one_would_be() -> None:
    hand = await with_job()
    hand.out.jenkins.build_time = timedelta(minutes=5)
    for number in (4, 5):
        hand.out.jenkins.add_build(PATH, number, UID)
    step: Step[World] = Step("build", lambda facts: BUILD, policy())

    seen = await hand.see(BUILD)
    calls = await preview([step], Ledger([]), hand.out.world, hand.out.clock, ME, REMOVALS, {})

    assert (seen.facts["number"], seen.surplus) == (4, ("5",))
    assert [(call["action"], call["fields"]) for call in calls] == [("Update", ["second 5"])]
    assert hand.out.jenkins.stopped == []


async def test_where_nothing_may_be_changed_a_second_build_is_left_running() -> None:
    hand = await with_job()
    hand.out.jenkins.build_time = timedelta(minutes=5)
    for number in (4, 5):
        hand.out.jenkins.add_build(PATH, number, UID)
    read_only = replace(policy(), management=frozenset({ManagementPolicy.OBSERVE}))

    outcome = await hand.once(BUILD, read_only)

    assert (hand.message(outcome), hand.saves) == ("build 4 runs", 0)
    assert hand.out.jenkins.stopped == []


async def test_removal_stops_a_second_build_too_though_the_first_one_has_ended() -> None:
    hand = await with_job()
    hand.out.jenkins.build_time = timedelta(minutes=5)
    await hand.once(BUILD)
    await hand.once(BUILD)
    hand.out.jenkins.add_build(PATH, 2, UID)
    hand.out.jenkins.add_build(PATH, 3, UID)
    await hand.out.jenkins.stop_build(PATH, 1)

    await hand.remove()

    assert sorted(hand.out.jenkins.stopped) == [1, 2, 3]
    assert hand.out.jenkins.running() == []


async def test_erased_parameters_are_restored_before_the_trigger_and_those_of_others_stay() -> None:
    hand = await with_job()
    erase(hand, Parameter("THEIRS", "x"), Parameter("KEY", "old"))
    assert (await hand.bring(BUILD)).ready
    assert hand.out.jenkins.triggers[0]["DEPLOYMENT_UID"] == "uid-of-one"
    defaults = {p.name: p.default for p in read_pipeline(hand.out.jenkins.configs[PATH]).parameters}
    assert defaults["THEIRS"] == "x"
    assert defaults["KEY"] == "value"


@pytest.mark.parametrize("removed", [False, True])
async def test_a_build_that_lost_our_uid_while_it_waited_is_known_by_its_place_in_the_queue(removed: bool) -> None:
    hand = await with_job()
    jenkins = hand.out.jenkins
    jenkins.add_build(PATH, 1, {}, "FAILURE", queue_id=1)  # of before Jenkins lost its count
    hand.out.clock.advance(timedelta(days=1))
    jenkins.queue_time, jenkins.build_time = timedelta(minutes=1), timedelta(minutes=5)
    await hand.once(BUILD)
    hand.out.clock.advance(timedelta(seconds=10))
    await hand.once(BUILD)
    assert hand.entry.facts["queue"] == jenkins.queue[0].item.id == 1
    erase(hand, *(Parameter(name) for name in ("GIT_REVISION", "IMAGE_REPOSITORY", "IMAGE_TAG")))
    hand.out.clock.advance(timedelta(minutes=1))
    hand.out.world.builds.clear()  # another replica goes on
    assert not (await hand.once(BUILD)).ready
    assert (hand.entry.external_id, "DEPLOYMENT_UID" in jenkins.running()[0].parameters) == ("2", False)
    if removed:
        await hand.remove()
        assert jenkins.stopped == [2]
    else:
        assert (await hand.bring(BUILD, most=200)).ready
    assert len(jenkins.triggers) == 1


async def test_a_parameter_of_the_project_keeps_the_type_that_its_jenkinsfile_gives_it() -> None:
    """As a string, "false" would be true in a Jenkinsfile."""
    hand = await with_job()
    kinds = (b"hudson.model.StringParameterDefinition", b"hudson.model.BooleanParameterDefinition")
    before, name, after = hand.out.jenkins.configs[PATH].partition(b"<name>KEY</name>")
    typed = kinds[1].join(before.rsplit(kinds[0], 1)) + name + after.replace(*kinds, 1)
    hand.out.jenkins.configs[PATH] = typed
    assert read_pipeline(typed).typed == ("KEY",)
    assert (await hand.bring(BUILD)).ready
    assert hand.out.jenkins.triggers[0]["KEY"] == "value"
    assert hand.out.jenkins.configs[PATH] == typed


@pytest.mark.parametrize(("choices", "stays"), [(("dev", "value"), True), ((), True), (("dev", "values"), False)])
async def test_a_choice_stays_where_it_offers_the_value_or_cannot_be_read(
    choices: tuple[str, ...], stays: bool
) -> None:
    hand = await with_job()
    config = offer(hand, "KEY", *choices)
    assert (await hand.bring(BUILD)).ready
    assert hand.out.jenkins.triggers == [hand.out.jenkins.triggers[0]]
    assert hand.out.jenkins.triggers[0]["KEY"] == "value"
    assert (hand.out.jenkins.configs[PATH] == config) is stays


async def test_parameters_that_are_there_are_not_written_again() -> None:
    hand = await with_job()
    mark = len(hand.out.line.calls)
    await hand.bring(BUILD)
    assert "jenkins.update_config" not in hand.out.line.since(mark)


async def test_a_job_that_is_not_there_yet_is_waited_for() -> None:
    hand = Hand()
    outcome = await hand.once(BUILD)
    assert outcome.failure is None
    assert hand.reason(outcome) == "DependencyNotReady"
    await Hand(hand.out).bring(FOLDER)
    await Hand(hand.out).bring(JOB)
    assert (await hand.bring(BUILD)).ready
    assert len(hand.out.jenkins.triggers) == 1


@pytest.mark.parametrize("result", ["FAILURE", "UNSTABLE", "ABORTED", "NOT_BUILT"])
async def test_a_build_that_ends_badly_quotes_the_end_of_its_log(result: str) -> None:
    hand = await with_job()
    hand.out.jenkins.result = result
    outcome = await hand.bring(BUILD)
    assert hand.reason(outcome) == "BuildFailed"
    for words in (result, "pushing failed: no space", "/1/console"):
        assert words in hand.message(outcome)


async def test_a_failure_is_told_also_when_the_log_cannot_be_read() -> None:
    hand = await with_job()
    hand.out.jenkins.result = "FAILURE"
    hand.out.line.fail("jenkins.log_tail", ExternalServiceError("503", service="jenkins"), times=9)
    outcome = await hand.bring(BUILD)
    assert hand.reason(outcome) == "BuildFailed"


async def test_a_finished_build_is_never_looked_at_again() -> None:
    hand = await with_job()
    await hand.bring(BUILD)
    hand.out.jenkins.history.clear()
    mark = len(hand.out.line.calls)
    assert (await hand.once(BUILD)).ready
    assert hand.out.line.since(mark) == []


async def test_a_build_that_vanished_is_not_made_a_second_time() -> None:
    hand = await with_job()
    hand.out.jenkins.build_time = timedelta(hours=1)
    await hand.once(BUILD)
    await hand.once(BUILD)
    hand.out.jenkins.history.clear()
    outcome = await hand.bring(BUILD, most=100)
    assert hand.reason(outcome) == "CreateResultUnknown"
    assert len(hand.out.jenkins.triggers) == 1


async def test_removal_stops_what_runs_and_leaves_what_has_ended() -> None:
    hand = await with_job()
    hand.out.jenkins.build_time = timedelta(hours=1)
    await hand.once(BUILD)
    await hand.once(BUILD)
    await hand.remove()
    assert hand.out.jenkins.stopped == [1]
    finished = await with_job()
    await finished.bring(BUILD)
    await finished.remove()
    assert finished.out.jenkins.stopped == []


async def test_removal_does_not_read_the_log_of_what_has_failed() -> None:
    hand = await with_job()
    hand.out.jenkins.result = "FAILURE"
    await hand.bring(BUILD)
    mark = len(hand.out.line.calls)
    await hand.remove()
    assert hand.out.line.since(mark)
    assert "jenkins.log_tail" not in hand.out.line.since(mark)


async def test_removal_takes_a_waiting_build_out_of_the_queue() -> None:
    hand = await with_job()
    hand.out.jenkins.queue_time = timedelta(hours=1)
    await hand.once(BUILD)
    await hand.remove()
    assert len(hand.out.jenkins.cancelled) == 1


@pytest.mark.parametrize(("request_timeout", "lease"), [(10, 15), (2, 3)])
async def test_a_trigger_that_may_be_on_its_way_is_waited_for_as_long_as_the_time_outs_allow_it_to_be(
    request_timeout: int, lease: int
) -> None:
    times = {"request_timeout": timedelta(seconds=request_timeout), "lease_duration": timedelta(seconds=lease)}
    assert BUILD.settles_in(outside(**times, lease_renew_interval=timedelta(seconds=1)).world) == timedelta(
        seconds=5 + request_timeout + lease + 15
    )


# Progress


def stage(name: str, status: str) -> Stage:
    return Stage(name, status, datetime(2026, 1, 1, tzinfo=UTC), timedelta(0))


@pytest.mark.parametrize(
    ("spent", "estimated", "percent", "left"),
    [(0, 100, 0, 100), (25, 100, 25, 75), (99, 100, 99, 1), (100, 100, 99, 0), (500, 100, 99, 0)],
)
def test_progress_by_jenkins_own_estimate(spent: int, estimated: int, percent: int, left: int) -> None:
    found = progress(timedelta(seconds=spent), timedelta(seconds=estimated), [])
    assert found == (percent, timedelta(seconds=left))


def test_progress_by_stages_where_there_is_no_estimate() -> None:
    stages = [stage("a", "SUCCESS"), stage("b", "IN_PROGRESS"), stage("c", "NOT_EXECUTED"), stage("d", "NOT_EXECUTED")]
    assert progress(timedelta(seconds=5), None, stages) == (25, None)
    assert progress(timedelta(seconds=5), timedelta(0), stages) == (25, None)


def test_progress_is_unknown_without_both() -> None:
    assert progress(timedelta(seconds=5), None, []) == (None, None)
