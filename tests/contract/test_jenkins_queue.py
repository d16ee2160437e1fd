"""What the client of Jenkins assumes of triggers and of the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import AiohttpTransport
from devops_reconciler.services.jenkins import QueueItem
from devops_reconciler.services.jenkins_xml import Parameter, pipeline_xml, read_pipeline
from standins.jenkins import JenkinsStandin

from .jenkins_target import FOLDER, JOB, JenkinsTarget, basic, pipeline

PARAMETERS = {"DEPLOYMENT_UID": "u-1", "GIT_REVISION": "0" * 40}
ALL = {**PARAMETERS, "IMAGE_REPOSITORY": "", "IMAGE_TAG": ""}
OFFERED = b"<string>dev</string><string>staging</string>"
OFFERED_AT_ONCE = b"<choices>" + OFFERED + b"</choices>"
OFFERED_IN_ARRAY = b'<choices class="java.util.Arrays$ArrayList"><a class="string-array">' + OFFERED + b"</a></choices>"
"""How Jenkins writes what a choice offers: by the class of the list that it was given."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def busy(transport: AiohttpTransport, clock: FakeClock) -> AsyncIterator[JenkinsTarget]:
    """A Jenkins whose time stands still and that has no executor: everything stays in the queue."""
    async with JenkinsStandin(clock=clock, executors=0) as standin:
        yield JenkinsTarget(standin, transport)


async def test_a_trigger_gives_the_id_of_the_queue_item(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    queue_id = await client.trigger(JOB, PARAMETERS)
    assert queue_id is not None
    item = await client.queue_item(queue_id)
    assert item == QueueItem(
        id=queue_id,
        why="Waiting for next available executor",
        parameters=ALL,
        cancelled=False,
        executable=None,
        since=busy.standin.clock.now(),
    )
    assert await client.queued(JOB) == [item]


async def test_a_trigger_asks_for_no_quiet_period(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    await client.trigger(JOB, PARAMETERS)
    assert busy.standin.controls.calls[-1].query == "delay=0sec"


async def test_without_that_an_item_waits_for_the_quiet_period(busy: JenkinsTarget, clock: FakeClock) -> None:
    client = await busy.with_job()
    login = {"Authorization": basic(busy.standin.username, busy.standin.token)}
    reply = await busy.send("POST", "/job/shop/job/web/buildWithParameters", headers=login)
    assert reply.status == 201
    assert reply.headers["Location"] == f"{busy.standin.url}/queue/item/1/"
    (item,) = await client.queued(JOB)
    assert item.why == "In the quiet period. Expires in 5.0 sec"
    clock.advance(timedelta(seconds=5))
    (item,) = await client.queued(JOB)
    assert item.why == "Waiting for next available executor"


async def test_the_bare_address_of_a_queue_item_has_no_page(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    queue_id = await client.trigger(JOB, PARAMETERS)
    login = {"Authorization": basic(busy.standin.username, busy.standin.token)}
    assert (await busy.get(f"/queue/item/{queue_id}/", headers=login)).status == 404


async def test_equal_parameters_are_folded_into_the_waiting_item(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    first = await client.trigger(JOB, PARAMETERS)
    second = await client.trigger(JOB, PARAMETERS)
    assert busy.standin.controls.calls[-1].status == 303
    assert first == second
    third = await client.trigger(JOB, {**PARAMETERS, "DEPLOYMENT_UID": "u-2"})
    assert busy.standin.controls.calls[-1].status == 201
    assert third != first
    assert [item.parameters["DEPLOYMENT_UID"] for item in await client.queued(JOB)] == ["u-2", "u-1"]


async def test_parameters_that_the_job_does_not_define_are_dropped_silently(busy: JenkinsTarget) -> None:
    client = await busy.with_job(pipeline(parameters=(Parameter("GIT_REVISION"), Parameter("EXTRA", "default"))))
    queue_id = await client.trigger(JOB, PARAMETERS)
    assert queue_id is not None
    item = await client.queue_item(queue_id)
    assert item is not None
    assert item.parameters == {"GIT_REVISION": "0" * 40, "EXTRA": "default"}


@pytest.mark.parametrize("form", [OFFERED_AT_ONCE, OFFERED_IN_ARRAY], ids=["list", "array"])
async def test_what_a_choice_does_not_offer_is_a_fault_of_jenkins_and_its_config_tells_before(
    busy: JenkinsTarget, form: bytes
) -> None:
    client = await busy.with_job(pipeline(parameters=(*pipeline().parameters, Parameter("ENV", "dev"))))
    config = await client.config(JOB)
    assert config is not None
    before, name, after = config.partition(b"<name>ENV</name>")
    kinds = (b"hudson.model.StringParameterDefinition", b"hudson.model.ChoiceParameterDefinition")
    typed = kinds[1].join(before.rsplit(kinds[0], 1)) + name + form + after.replace(*kinds, 1)
    await client.update_config(JOB, typed.replace(b"<defaultValue>dev</defaultValue>", b""))
    stored = await client.config(JOB)
    assert stored is not None
    assert read_pipeline(stored).choices == {"ENV": ("dev", "staging")}
    with pytest.raises(ExternalServiceError, match="500") as caught:
        await client.trigger(JOB, {**PARAMETERS, "ENV": "prod"})
    assert caught.value.status == 500
    assert await client.queued(JOB) == []
    await client.trigger(JOB, {**PARAMETERS, "ENV": "staging"})
    await client.trigger(JOB, PARAMETERS)
    assert [item.parameters["ENV"] for item in await client.queued(JOB)] == ["dev", "staging"]


async def test_hostile_values_arrive_as_they_are(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    value = "a&b=c +%41 ü\n'\";${X}"
    await client.trigger(JOB, {**PARAMETERS, "IMAGE_TAG": value})
    (item,) = await client.queued(JOB)
    assert item.parameters["IMAGE_TAG"] == value


async def test_a_job_without_parameters_refuses_them(busy: JenkinsTarget) -> None:
    client = await busy.with_job(pipeline(parameters=()))
    with pytest.raises(ValidationError, match="400"):
        await client.trigger(JOB, PARAMETERS)
    assert await client.queued(JOB) == []


async def test_a_disabled_job_says_so(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    login = {"Authorization": basic(busy.standin.username, busy.standin.token)}
    await busy.send("POST", "/job/shop/job/web/disable", headers=login)
    with pytest.raises(ValidationError, match="the job shop/web is disabled"):
        await client.trigger(JOB, PARAMETERS)


async def test_a_schedule_that_jenkins_refuses_silently_names_no_item(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    busy.standin.refuse_scheduling = True
    assert await client.trigger(JOB, PARAMETERS) is None
    assert busy.standin.controls.calls[-1].status == 302
    assert await client.queued(JOB) == []


async def test_a_trigger_by_get_is_refused(busy: JenkinsTarget) -> None:
    await busy.with_job()
    login = {"Authorization": basic(busy.standin.username, busy.standin.token)}
    assert (await busy.get("/job/shop/job/web/buildWithParameters", headers=login)).status == 405


async def test_a_trigger_of_an_absent_job_is_an_error(busy: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="shop/web is absent") as caught:
        await busy.client().trigger(JOB, PARAMETERS)
    assert not caught.value.maybe_applied


async def test_a_trigger_is_sent_once_and_found_again_when_its_answer_is_lost(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    busy.standin.controls.fault("POST", "buildWithParameters", "reset", after_effect=True)
    with pytest.raises(ExternalServiceError) as caught:
        await client.trigger(JOB, PARAMETERS)
    assert caught.value.maybe_applied
    assert len(busy.standin.controls.seen("POST", "buildWithParameters")) == 1
    (item,) = await client.queued(JOB)
    assert item.parameters["DEPLOYMENT_UID"] == "u-1"


async def test_only_items_of_the_job_are_listed(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    await client.create_item((), "web", pipeline_xml(pipeline()))
    await client.create_item(FOLDER, "other", pipeline_xml(pipeline()))
    await client.trigger(("web",), PARAMETERS)
    await client.trigger(("shop", "other"), PARAMETERS)
    assert await client.queued(JOB) == []
    assert len(await client.queued(("web",))) == 1
    await client.trigger(JOB, PARAMETERS)
    assert len(await client.queued(JOB)) == 1


async def test_a_cancelled_item_leaves_the_queue_without_a_build(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    queue_id = await client.trigger(JOB, PARAMETERS)
    assert queue_id is not None
    await client.cancel_queued(queue_id)
    await client.cancel_queued(queue_id)
    assert await client.queued(JOB) == []
    item = await client.queue_item(queue_id)
    assert item is not None
    assert (item.cancelled, item.executable, item.why) == (True, None, None)


async def test_an_item_that_may_not_be_cancelled_says_so(busy: JenkinsTarget) -> None:
    client = await busy.with_job()
    queue_id = await client.trigger(JOB, PARAMETERS)
    assert queue_id is not None
    busy.standin.users[busy.standin.username].denied = {"hudson.model.Item.Cancel"}
    with pytest.raises(ValidationError, match="422"):
        await client.cancel_queued(queue_id)


async def test_an_item_that_left_is_forgotten_after_five_minutes_but_its_build_knows_it(
    busy: JenkinsTarget, clock: FakeClock
) -> None:
    client = await busy.with_job(pipeline(credentials_id=None, git_url="http://127.0.0.1:9/gone.git"))
    queue_id = await client.trigger(JOB, PARAMETERS)
    assert queue_id is not None
    busy.standin.queue.executors = 1
    busy.standin.queue.maintain()
    item = await client.queue_item(queue_id)
    assert item is not None
    assert item.executable == 1
    clock.advance(timedelta(minutes=4, seconds=59))
    assert await client.queue_item(queue_id) is not None
    clock.advance(timedelta(seconds=1))
    assert await client.queue_item(queue_id) is None
    (build,) = await client.builds(JOB)
    assert (build.number, build.queue_id, build.parameters) == (1, queue_id, ALL)


async def test_what_is_new_is_seen_late_with_lag(busy: JenkinsTarget, clock: FakeClock) -> None:
    client = await busy.with_job()
    busy.standin.lag = timedelta(seconds=3)
    await client.trigger(JOB, PARAMETERS)
    assert await client.queued(JOB) == []
    clock.advance(timedelta(seconds=3))
    assert len(await client.queued(JOB)) == 1
