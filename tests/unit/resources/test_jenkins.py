"""Jenkins: folder, credentials, job, and the one build of a record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from devops_reconciler.api.base import Adoption, ManagementPolicy
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.pipeline import Step
from devops_reconciler.engine.preview import preview
from devops_reconciler.resources.catalog import REMOVALS
from devops_reconciler.resources.jenkins_build import JenkinsBuild, progress
from devops_reconciler.resources.jenkins_credentials import JenkinsCredentials
from devops_reconciler.resources.jenkins_folder import JenkinsFolder
from devops_reconciler.resources.jenkins_job import JenkinsJob
from devops_reconciler.resources.world import World
from devops_reconciler.services.jenkins_types import Stage, UsernamePassword
from devops_reconciler.services.jenkins_xml import Parameter, PipelineJob, folder_xml, pipeline_xml, read_pipeline
from tests.unit.fakes.line import Crash
from tests.unit.world import ME, OTHER, outside

from .hand import Hand, changed, policy

FOLDER = JenkinsFolder(folder="shop")
CREDENTIALS = JenkinsCredentials(
    folder="shop", name="git", username="git", password=SecretStr("secret"), password_version="v1"
)
JOB = JenkinsJob(
    folder="shop",
    name="shop",
    git_url="https://git.example.com/shop.git",
    credentials_id="git",
    script_path="Jenkinsfile",
    parameters={"KEY": "value"},
)
BUILD = JenkinsBuild(
    folder="shop",
    name="shop",
    uid="uid-of-one",
    commit="0" * 40,
    image_repository="acme/shop",
    image_tag="000000000000-1",
    parameters={"KEY": "value"},
)
PATH = ("shop", "shop")
UID = {"DEPLOYMENT_UID": "uid-of-one"}


async def with_job() -> Hand:
    """A hand whose only step is the build, in a Jenkins with folder and job."""
    hand = Hand()
    await Hand(hand.out).bring(FOLDER)
    await Hand(hand.out).bring(JOB)
    hand.out.clock.advance(timedelta(minutes=1))
    return hand


# Folder, credentials, job


async def test_a_folder_is_made_with_its_mark_and_removed() -> None:
    hand = Hand()
    assert (await hand.bring(FOLDER)).ready
    assert ME in hand.out.jenkins.folders[("shop",)]
    await hand.remove()
    assert hand.out.jenkins.folders == {}


async def test_a_folder_with_jobs_of_others_is_not_deleted_until_they_are_gone() -> None:
    hand = Hand()
    assert (await hand.bring(FOLDER)).ready
    hand.out.jenkins.configs[("shop", "nightly")] = folder_xml("The team's job")
    with pytest.raises(AssertionError, match=r"no end.*nightly"):
        await hand.remove()
    assert ("shop",) in hand.out.jenkins.folders
    assert ("shop", "nightly") in hand.out.jenkins.configs

    del hand.out.jenkins.configs[("shop", "nightly")]
    hand.out.clock.advance(timedelta(hours=1))
    await hand.remove()
    assert hand.out.jenkins.folders == {}


@pytest.mark.parametrize("description", ["", "The team's folder", f"Folder shop ({OTHER})"])
async def test_a_foreign_folder_is_a_conflict_and_stays(description: str) -> None:
    hand = Hand()
    hand.out.jenkins.folders[("shop",)] = description
    hand.out.jenkins.configs[("shop",)] = folder_xml(description)
    assert hand.reason(await hand.bring(FOLDER)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.jenkins.folders == {("shop",): description}


async def test_a_description_that_people_have_added_to_keeps_the_mark() -> None:
    hand = Hand()
    await hand.bring(FOLDER)
    hand.out.jenkins.folders[("shop",)] += " - ask Ann before deleting"
    writes = len(hand.out.line.calls)
    assert (await hand.bring(FOLDER)).ready
    assert hand.out.line.since(writes) == ["jenkins.item"]


async def test_an_unmarked_folder_is_taken_over_where_that_is_asked_for() -> None:
    hand = Hand()
    hand.out.jenkins.folders[("shop",)] = "mine"
    hand.out.jenkins.configs[("shop",)] = folder_xml("mine")
    assert (await hand.bring(FOLDER, policy(Adoption.IF_UNOWNED))).ready
    assert ME in hand.out.jenkins.folders[("shop",)]


async def test_a_job_where_a_folder_should_be_is_refused_with_what_to_do() -> None:
    hand = Hand()
    job = PipelineJob(description="", git_url="x", credentials_id=None, script_path="J", parameters=())
    hand.out.jenkins.configs[("shop",)] = pipeline_xml(job)
    outcome = await hand.bring(FOLDER)
    assert hand.reason(outcome) == "OwnershipConflict"
    assert "jenkins.folder" in hand.message(outcome)


async def test_a_credential_is_written_again_when_its_password_changes() -> None:
    hand = Hand()
    assert (await hand.bring(CREDENTIALS)).ready
    writes = len(hand.out.line.calls)
    assert (await hand.bring(CREDENTIALS)).ready
    assert hand.out.line.since(writes) == ["jenkins.credential"]
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(changed(CREDENTIALS, password=SecretStr("new"), password_version="v2"))
    stored = hand.out.jenkins.stored[("shop",), "git"]
    assert (stored.password, ME in stored.description) == ("new", True)


async def test_a_changed_user_name_is_repaired() -> None:
    hand = Hand()
    await hand.bring(CREDENTIALS)
    await hand.out.jenkins.update_credential(("shop",), changed_user(hand))
    assert (await hand.see(CREDENTIALS)).drift == ("username",)
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(CREDENTIALS)
    assert hand.out.jenkins.stored[("shop",), "git"].username == "git"


def changed_user(hand: Hand) -> UsernamePassword:
    return replace(hand.out.jenkins.stored[("shop",), "git"], username="theirs")


async def test_a_foreign_credential_of_that_name_gets_no_password_of_ours() -> None:
    hand = Hand()
    await hand.bring(CREDENTIALS)
    there = replace(hand.out.jenkins.stored[("shop",), "git"], description="theirs", password="theirs")
    hand.out.jenkins.stored[("shop",), "git"] = there
    fresh = Hand(hand.out)
    assert fresh.reason(await fresh.bring(CREDENTIALS)) == "OwnershipConflict"
    await fresh.remove()
    assert hand.out.jenkins.stored[("shop",), "git"] == there


async def test_a_job_is_a_pipeline_of_the_revision_with_our_parameters() -> None:
    hand = await with_job()
    job = read_pipeline(hand.out.jenkins.configs[PATH])
    assert (job.git_url, job.credentials_id, job.script_path) == (JOB.git_url, "git", "Jenkinsfile")
    assert (job.branch, job.lightweight) == ("${GIT_REVISION}", False)
    names = [p.name for p in job.parameters]
    assert names == ["DEPLOYMENT_UID", "GIT_REVISION", "IMAGE_REPOSITORY", "IMAGE_TAG", "KEY"]


@pytest.mark.parametrize(
    "fields",
    [
        {"git_url": "https://git.example.com/x.git"},
        {"credentials_id": None},
        {"script_path": "ci/J"},
    ],
)
async def test_each_owned_field_of_a_job_is_repaired(fields: dict[str, str | None]) -> None:
    hand = Hand()
    await Hand(hand.out).bring(FOLDER)
    await hand.bring(changed(JOB, **fields))
    assert (await hand.see(JOB)).drift == tuple(fields)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(JOB)).ready
    assert (await hand.see(JOB)).drift == ()


async def test_what_others_have_put_into_the_job_survives_a_change() -> None:
    hand = Hand()
    await Hand(hand.out).bring(FOLDER)
    await hand.bring(JOB)
    theirs = b"<disabled>true</disabled></flow-definition>"
    hand.out.jenkins.configs[PATH] = hand.out.jenkins.configs[PATH].replace(b"</flow-definition>", theirs)
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(changed(JOB, script_path="ci/Jenkinsfile"))
    assert b"<disabled>true</disabled>" in hand.out.jenkins.configs[PATH]


async def test_erased_parameters_are_no_drift_of_the_job() -> None:
    hand = await with_job()
    erase(hand)
    assert (await hand.see(JOB)).drift == ()


def erase(hand: Hand, *keep: Parameter) -> None:
    """A Jenkinsfile with `parameters {}` has run."""
    job = read_pipeline(hand.out.jenkins.configs[PATH])
    hand.out.jenkins.configs[PATH] = pipeline_xml(replace(job, parameters=keep))


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
    calls = await preview([step], Ledger([]), hand.out.world, hand.out.clock, ME, REMOVALS)

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
