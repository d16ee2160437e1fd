"""What the client of Jenkins assumes of builds: what they do, how they end, their logs and stages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.logs import Redactor
from devops_reconciler.services.http import AiohttpTransport
from devops_reconciler.services.jenkins import UsernamePassword
from devops_reconciler.services.jenkins_xml import merge_pipeline, pipeline_xml, read_pipeline
from standins.jenkins import JenkinsStandin
from standins.registry import RegistryStandin
from standins.registry_accounts import Account, Secret
from testbed.sample import JENKINSFILE, SampleProject
from testbed.waiting import eventually

from .jenkins_target import FOLDER, JOB, Builds, JenkinsTarget, basic, pipeline

WORK = timedelta(seconds=60)
EXECUTORS = "currentExecutable[number,building,queueId]"
EVERYTHING = f"computer[executors[{EXECUTORS}],oneOffExecutors[{EXECUTORS}]]"


@pytest.fixture
async def builds(jenkins: JenkinsTarget, sample: SampleProject, registry: RegistryStandin) -> Builds:
    """Builds that take no time."""
    return await Builds.create(jenkins, sample, registry)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def held(
    transport: AiohttpTransport, clock: FakeClock, sample: SampleProject, registry: RegistryStandin
) -> AsyncIterator[Builds]:
    """Builds that stay in their stage Build until the clock is moved by `WORK`."""
    async with JenkinsStandin(clock=clock, build_seconds=WORK.total_seconds()) as standin:
        yield await Builds.create(JenkinsTarget(standin, transport), sample, registry)


async def start(held: Builds, uid: str = "uid-1") -> int:
    """Trigger, and wait for the stage Build; the number of the build."""
    known = {build.number for build in held.target.standin.builds_of(JOB)}
    await held.client.trigger(JOB, await held.parameters(uid))

    async def working() -> int | None:
        for build in held.target.standin.builds_of(JOB):
            if build.number not in known and build.log.endswith(b"+ ./build.sh\n"):
                return build.number
        return None

    number = await eventually(working, "a build at work")
    assert number is not None
    return number


async def finish(held: Builds, clock: FakeClock, number: int) -> None:
    async def ended() -> bool:
        clock.advance(WORK / 4)
        build = await held.client.build(JOB, number)
        return build is not None and build.finished

    await eventually(ended, "the end of the build")


# What a build does


async def test_a_build_clones_the_revision_and_pushes_the_image(builds: Builds) -> None:
    build = await builds.run()
    head = await builds.sample.head()
    assert (build.result, build.building, build.parameters) == ("SUCCESS", False, await builds.parameters())
    pushed = builds.registry.tags_of("acme/shop")
    (done,) = builds.target.standin.builds_of(JOB)
    assert pushed == {"tag-1": done.digest}
    assert done.revision == head


async def test_the_digest_belongs_to_the_commit_not_to_the_tag(builds: Builds) -> None:
    await builds.run(uid="1", IMAGE_TAG="a")
    await builds.run(uid="2", IMAGE_TAG="b")
    commit = await builds.sample.commit("Change a text", {"greeting.txt": "Hello.\n"})
    await builds.run(uid="3", IMAGE_TAG="c", GIT_REVISION=commit)
    tags = builds.registry.tags_of("acme/shop")
    assert tags["a"] == tags["b"] != tags["c"]


async def test_an_older_commit_is_built_as_it_was(builds: Builds) -> None:
    old = await builds.sample.head()
    await builds.commit(JENKINSFILE + "// standin: fail\n")
    assert (await builds.run(uid="1")).result == "FAILURE"
    assert (await builds.run(uid="2", GIT_REVISION=old)).result == "SUCCESS"


async def test_a_revision_that_does_not_exist_fails_the_build(builds: Builds) -> None:
    build = await builds.run(GIT_REVISION="f" * 40)
    assert build.result == "FAILURE"
    assert "Couldn't find any revision to build" in (await builds.client.log(JOB, build.number, 0)).text


async def test_a_missing_jenkinsfile_fails_the_build(builds: Builds) -> None:
    config = await builds.client.config(JOB)
    assert config is not None
    job = pipeline(git_url=builds.sample.url, script_path="ci/Jenkinsfile")
    await builds.client.update_config(JOB, merge_pipeline(config, job))
    build = await builds.run()
    assert build.result == "FAILURE"
    assert "Unable to find ci/Jenkinsfile" in (await builds.client.log(JOB, build.number, 0)).text


async def test_a_wrong_git_credential_fails_the_build(builds: Builds) -> None:
    await builds.client.update_credential(FOLDER, UsernamePassword("git", "", "git-reader", "wrong"))
    build = await builds.run()
    assert build.result == "FAILURE"
    log = (await builds.client.log(JOB, build.number, 0)).text
    assert "Error cloning remote repo" in log
    assert "wrong" not in log


async def test_a_missing_git_credential_is_a_warning_and_then_a_failure(builds: Builds) -> None:
    await builds.client.delete_credential(FOLDER, "git")
    build = await builds.run()
    assert build.result == "FAILURE"
    assert 'CredentialId "git" could not be found' in (await builds.client.log(JOB, build.number, 0)).text


async def test_a_refused_push_fails_the_build(
    jenkins: JenkinsTarget, sample: SampleProject, registry: RegistryStandin
) -> None:
    async with RegistryStandin([Account("acme", [Secret("push-token")])], auth="token") as guarded:
        builds = await Builds.create(jenkins, sample, guarded)
        assert (await builds.run(uid="1")).result == "FAILURE"
        assert guarded.tags_of("acme/shop") == {}
        await builds.client.update_credential(FOLDER, UsernamePassword("registry", "", "acme", "push-token"))
        assert (await builds.run(uid="2")).result == "SUCCESS"
        assert list(guarded.tags_of("acme/shop")) == ["tag-1"]


@pytest.mark.parametrize(
    ("line", "result", "pushed"),
    [("fail", "FAILURE", False), ("no-push", "SUCCESS", False), ("unstable", "UNSTABLE", True)],
)
async def test_a_jenkinsfile_steers_the_result(builds: Builds, line: str, result: str, pushed: bool) -> None:
    await builds.commit(f"{JENKINSFILE}// standin: {line}\n")
    assert (await builds.run()).result == result
    assert bool(builds.registry.tags_of("acme/shop")) is pushed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("// standin: parameters\n", ()),
        ("// standin: parameters FLAVOUR=plain\n", ("FLAVOUR",)),
        ("parameters { string(name: 'FLAVOUR', defaultValue: 'plain') }\n", ("FLAVOUR",)),
    ],
)
async def test_parameters_of_a_jenkinsfile_erase_ours_when_it_runs(
    builds: Builds, text: str, left: tuple[str, ...]
) -> None:
    await builds.commit(JENKINSFILE + text)
    first = await builds.run()
    assert first.parameters == await builds.parameters()
    config = await builds.client.config(JOB)
    assert config is not None
    assert tuple(each.name for each in read_pipeline(config).parameters) == left
    await builds.client.update_config(JOB, merge_pipeline(config, pipeline(git_url=builds.sample.url)))
    second = await builds.run(uid="uid-2")
    assert second.parameters["DEPLOYMENT_UID"] == "uid-2"


# How it is seen


async def test_a_build_at_work_has_no_result_and_no_duration(held: Builds, clock: FakeClock) -> None:
    number = await start(held)
    build = await held.client.build(JOB, number)
    assert build is not None
    assert (build.building, build.result, build.duration, build.estimated) == (True, None, timedelta(0), None)
    assert build.started_at == clock.now()
    assert not build.finished
    assert await held.client.build(JOB, number + 1) is None


async def test_the_estimate_comes_from_earlier_builds(held: Builds, clock: FakeClock) -> None:
    first = await start(held, "1")
    await finish(held, clock, first)
    second = await start(held, "2")
    build, earlier = await held.client.build(JOB, second), await held.client.build(JOB, first)
    assert build is not None
    assert earlier is not None
    assert build.estimated == earlier.duration >= WORK


async def test_a_result_may_be_there_before_the_end(held: Builds) -> None:
    number = await start(held)
    stored = held.target.standin.builds_of(JOB)[0]
    stored.result = "UNSTABLE"
    build = await held.client.build(JOB, number)
    assert build is not None
    assert (build.result, build.building, build.finished) == ("UNSTABLE", True, False)


async def test_only_the_newest_hundred_builds_are_listed(held: Builds, clock: FakeClock) -> None:
    job = held.target.standin.find(JOB)
    assert job is not None
    number = await start(held)
    one = job.builds.pop(number)
    for index in range(1, 106):
        job.builds[index] = type(one)(JOB, index, index, {}, clock.now(), building=False, result="SUCCESS")
    listed = await held.client.builds(JOB)
    assert [build.number for build in listed] == list(range(105, 5, -1))


async def test_what_executors_work_on_is_seen_in_one_answer(held: Builds, clock: FakeClock) -> None:
    foreign = ("web",)
    await held.client.create_item((), "web", pipeline_xml(pipeline(git_url=held.sample.url, credentials_id=None)))
    await held.client.trigger(foreign, await held.parameters("foreign"))
    first, second = await start(held, "1"), await start(held, "2")
    calls = held.target.standin.controls.calls
    before = len(calls)
    ours, theirs = await asyncio.gather(held.client.executing(JOB), held.client.executing(foreign))
    assert [(call.path, call.status) for call in calls[before:]] == [("/computer/api/json", 200)]
    assert ours == [await held.client.build(JOB, number) for number in (first, second)]
    assert {build.parameters["DEPLOYMENT_UID"] for build in theirs} <= {"foreign"}
    await finish(held, clock, first)
    await finish(held, clock, second)
    assert await held.client.executing(JOB) == []


async def test_a_node_block_of_a_pipeline_is_no_build(held: Builds) -> None:
    number = await start(held)
    login = {"Authorization": basic(held.target.standin.username, held.target.standin.token)}
    async with (
        aiohttp.ClientSession(headers=login, cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.get(f"{held.target.standin.url}/computer/api/json?tree={EVERYTHING}") as reply,
    ):
        built_in, agent = (await reply.json())["computer"]
    assert built_in["oneOffExecutors"][0]["currentExecutable"]["number"] == number
    placeholder, idle = (each["currentExecutable"] for each in agent["executors"])
    assert (placeholder["number"], "building" in placeholder, idle) == (number, False, None)
    assert [build.number for build in await held.client.executing(JOB)] == [number]


async def test_what_our_account_may_not_read_is_not_seen_on_executors(held: Builds) -> None:
    await start(held)
    denied = held.target.standin.users[held.target.standin.username].denied
    denied.add("hudson.model.Item.Read")
    assert await held.client.executing(JOB) == []
    denied.add("hudson.model.Hudson.Read")  # the page itself is refused: 403
    assert await held.client.executing(JOB) == []


async def test_the_log_comes_in_pieces_counted_in_raw_bytes(held: Builds, clock: FakeClock) -> None:
    number = await start(held)
    first = await held.client.log(JOB, number, 0)
    assert first.more
    assert first.text.startswith("Started by user operator\n[Pipeline] Start of Pipeline\n")
    assert first.next > len(first.text)
    again = await held.client.log(JOB, number, first.next)
    assert (again.text, again.next, again.more) == ("", first.next, True)
    await finish(held, clock, number)
    rest = await held.client.log(JOB, number, first.next)
    assert rest.text.startswith("built 25%\n")
    assert rest.text.endswith("Finished: SUCCESS\n")
    assert not rest.more
    whole = await held.client.log(JOB, number, 0)
    assert whole.text == first.text + rest.text
    assert "\r" not in whole.text


async def test_a_start_past_the_end_of_the_log_begins_again(builds: Builds) -> None:
    build = await builds.run()
    whole = await builds.client.log(JOB, build.number, 0)
    assert await builds.client.log(JOB, build.number, whole.next + 1) == whole
    assert (await builds.client.log(JOB, 99, 5)).more is False


async def test_the_end_of_a_log_of_any_length_is_read_as_a_stream(builds: Builds) -> None:
    build = await builds.run()
    stored = builds.target.standin.builds_of(JOB)[0]
    stored.log[:0] = b"filler line of the log\n" * 800_000
    with pytest.raises(ExternalServiceError, match="longer than"):
        await builds.client.log(JOB, build.number, 0)
    assert await builds.client.log_tail(JOB, build.number, 2) == ["[Pipeline] End of Pipeline", "Finished: SUCCESS"]
    assert await builds.client.log_tail(JOB, 99, 2) == []


async def test_of_the_longest_lines_of_a_log_little_is_kept(builds: Builds) -> None:
    build = await builds.run()
    stored = builds.target.standin.builds_of(JOB)[0]
    long = ("\N{PILE OF POO}" * (15 * 1024 * 1024 // 4) + "\n").encode()
    stored.log[:] = long * 3
    (one,) = await builds.client.log_tail(JOB, build.number, 3)
    assert len(one.encode()) <= 1024
    stored.log += b"a" * 5000 + b"\nFinished: FAILURE\n"
    assert await builds.client.log_tail(JOB, build.number, 3) == ["a" * 250 + "…", "Finished: FAILURE"]


async def test_the_end_of_a_log_is_quoted_without_our_secrets(builds: Builds) -> None:
    build = await builds.run()
    stored = builds.target.standin.builds_of(JOB)[0]
    header = basic("operator", "s3cret-value")
    stored.log += f"curl -H 'Authorization: {header}' -u operator:s3cret-value\n".encode()
    client = builds.target.client(hidden=Redactor(lambda: ["s3cret-value", header.removeprefix("Basic ")]))
    assert await client.log_tail(JOB, build.number, 1) == ["curl -H 'Authorization: Basic ****' -u operator:****"]


async def test_stages_follow_the_build(held: Builds, clock: FakeClock) -> None:
    number = await start(held)
    stages = await held.client.stages(JOB, number)
    assert stages is not None
    assert [(stage.name, stage.status) for stage in stages] == [("Checkout", "SUCCESS"), ("Build", "IN_PROGRESS")]
    await finish(held, clock, number)
    stages = await held.client.stages(JOB, number)
    assert stages is not None
    assert [stage.status for stage in stages] == ["SUCCESS"] * 3
    assert stages[1].duration == WORK


async def test_a_failed_stage_is_failed_where_the_build_is_a_failure(builds: Builds) -> None:
    await builds.commit(f"{JENKINSFILE}// standin: fail\n")
    build = await builds.run()
    stages = await builds.client.stages(JOB, build.number)
    assert stages is not None
    assert (build.result, stages[-1].status) == ("FAILURE", "FAILED")


async def test_without_the_plugin_there_are_no_stages(builds: Builds) -> None:
    build = await builds.run()
    builds.target.standin.wfapi = False
    assert await builds.client.stages(JOB, build.number) is None


# How it is stopped, and how builds queue


async def test_a_stopped_build_is_aborted(held: Builds) -> None:
    number = await start(held)
    await held.client.stop_build(JOB, number)
    build = await held.finished(lambda each: each.number == number)
    assert build.result == "ABORTED"
    assert held.registry.tags_of("acme/shop") == {}
    stages = await held.client.stages(JOB, number)
    assert stages is not None
    assert stages[-1].status == "ABORTED"


async def test_stopping_what_has_finished_or_is_absent_changes_nothing(builds: Builds) -> None:
    build = await builds.run()
    await builds.client.stop_build(JOB, build.number)
    await builds.client.stop_build(JOB, 99)
    assert (await builds.client.build(JOB, build.number)) == build


async def test_a_stubborn_build_goes_on_after_a_stop(held: Builds, clock: FakeClock) -> None:
    await held.commit(f"{JENKINSFILE}// standin: stubborn\n")
    number = await start(held)
    await held.client.stop_build(JOB, number)
    await finish(held, clock, number)
    build = await held.client.build(JOB, number)
    assert build is not None
    assert build.result == "SUCCESS"


async def test_a_job_without_concurrency_blocks_its_next_build(held: Builds, clock: FakeClock) -> None:
    config = await held.client.config(JOB)
    assert config is not None
    kind = b"org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty"
    await held.client.update_config(JOB, config.replace(b"<properties>", b"<properties><" + kind + b"/>"))
    first = await start(held, "1")
    await held.client.trigger(JOB, await held.parameters("2"))
    (item,) = await held.client.queued(JOB)
    assert item.why == "A build is already in progress"
    await finish(held, clock, first)

    async def second() -> bool:
        return len(await held.client.builds(JOB)) == 2

    await eventually(second, "the second build")


async def test_builds_wait_for_an_executor(held: Builds, clock: FakeClock) -> None:
    held.target.standin.queue.executors = 1
    first = await start(held, "1")
    await held.client.trigger(JOB, await held.parameters("2"))
    (item,) = await held.client.queued(JOB)
    assert item.why == "Waiting for next available executor"
    await finish(held, clock, first)

    async def gone() -> bool:
        return await held.client.queued(JOB) == []

    await eventually(gone, "the start of the second build")


async def test_a_running_build_is_no_reason_to_fold(held: Builds) -> None:
    first = await held.client.queue_item(1)
    assert first is None
    number = await start(held, "same")
    again = await start(held, "same")
    assert (number, again) == (1, 2)


async def test_deleting_a_job_stops_its_builds(held: Builds) -> None:
    await start(held)
    stored = held.target.standin.builds_of(JOB)[0]
    await held.client.delete_item(JOB)

    async def ended() -> bool:
        return stored.ended.is_set()

    await eventually(ended, "the end of the build")
    assert stored.result == "ABORTED"
    assert await held.client.builds(JOB) == []
