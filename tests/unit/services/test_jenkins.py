"""Answers of Jenkins in every odd shape: never a crash, never taken for an absence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins, item_url
from devops_reconciler.services.jenkins_types import Build, path_of, read_stage

JOB = ("shop", "web")
BUILD = {
    "number": 7,
    "url": "https://ci.example.com/job/shop/job/web/7/",
    "queueId": 41,
    "building": False,
    "result": "SUCCESS",
    "timestamp": 1767225600000,
    "duration": 61000,
    "estimatedDuration": 59000,
    "actions": [{}, {"parameters": [{"name": "A", "value": "1"}, {"name": "FLAG", "value": True}, {"name": "FILE"}]}],
}


class One:
    """A transport with one answer."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.asked: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        return self._response

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def jenkins(transport: One) -> Jenkins:
    http = Http("jenkins", "https://ci.example.com", transport, FakeClock())
    return Jenkins(http, username=lambda: "operator", token=lambda: "t0ken")


def answering(value: object) -> Jenkins:
    return jenkins(One(Response(200, {"content-type": "application/json"}, json.dumps(value).encode())))


CALLS: dict[str, Callable[[Jenkins], Awaitable[object]]] = {
    "item": lambda client: client.item(JOB),
    "descriptions": lambda client: client.descriptions(JOB[:1]),
    "queued": lambda client: client.queued(JOB),
    "queue_item": lambda client: client.queue_item(1),
    "executing": lambda client: client.executing(JOB),
    "builds": lambda client: client.builds(JOB),
    "build": lambda client: client.build(JOB, 1),
    "stages": lambda client: client.stages(JOB, 1),
}
ODD: list[object] = [None, [], "text", 7, True, {}, {"items": 1, "builds": {}, "stages": "x"}]
ODD += [
    {
        "items": ["x"],
        "computer": [{"executors": 3}],
        "builds": [None],
        "stages": [3],
        "_class": 4,
        "number": "1",
        "id": "1",
    }
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", ODD, ids=lambda value: json.dumps(value)[:20])
async def test_an_answer_of_another_shape_is_an_error_of_the_service(call: str, value: object) -> None:
    with pytest.raises(ExternalServiceError, match="not usable"):
        await CALLS[call](answering(value))


NO_NUMBER: list[object] = [None, "x", [], {}, 1.5, "absent"]
NO_TIME: list[object] = [None, "x", [], {}, True, 10**30, "absent"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("number", "queueId", "building") for value in NO_NUMBER),
        *((key, value) for key in ("timestamp", "duration") for value in NO_TIME),
    ],
)
async def test_a_field_of_a_build_with_another_type_is_an_error_of_the_service(key: str, value: object) -> None:
    build = {**BUILD, key: value}
    if value == "absent":
        del build[key]
    with pytest.raises(ExternalServiceError, match="not usable"):
        await answering(build).build(JOB, 7)


@pytest.mark.parametrize(
    "actions", [{"x": 1}, "text", [1], [{"parameters": 3}], [{"parameters": [4]}], [{"parameters": [{"value": 1}]}]]
)
async def test_actions_of_another_shape_are_an_error_of_the_service(actions: object) -> None:
    with pytest.raises(ExternalServiceError, match="not usable"):
        await answering({**BUILD, "actions": actions}).build(JOB, 7)


PLACEHOLDER = {
    "_class": "org.jenkinsci.plugins.workflow.support.steps."
    "ExecutorStepExecution$PlaceholderTask$PlaceholderExecutable",
    **{name: BUILD[name] for name in ("number", "url", "timestamp", "estimatedDuration")},
}


def nodes(*executables: object) -> dict[str, object]:
    """The built-in node with an idle executor, and the executables on one-off executors."""
    working = [{"currentExecutable": each} for each in executables]
    return {"computer": [{"executors": [{}, {"currentExecutable": None}], "oneOffExecutors": working}]}


async def test_of_what_executors_work_on_only_builds_of_the_job_are_read() -> None:
    foreign = {"number": "x", "url": "https://ci.example.com/job/other/7/", "building": 3, "actions": "odd"}
    branch = {**BUILD, "url": "https://ci.example.com/job/shop/job/web/job/main/7/"}
    other = {**BUILD, "number": 8, "url": "https://ci.example.com/job/shop/job/web/8/"}
    client = answering(nodes(PLACEHOLDER, None, {}, foreign, branch, BUILD, other, BUILD))
    assert [build.number for build in await client.executing(JOB)] == [7, 8]
    assert await client.executing(("shop", "other")) == []


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_where_the_executors_may_not_be_seen_no_build_is_among_them(status: int) -> None:
    """A build that is not among them is looked for in its job, where a refusal of our account shows."""
    assert await jenkins(One(Response(status, {}, b""))).executing(JOB) == []


async def test_a_build_of_the_job_that_makes_no_sense_is_an_error_of_the_service() -> None:
    with pytest.raises(ExternalServiceError, match=r"list executors: .*not usable"):
        await answering(nodes({**BUILD, "number": None})).executing(JOB)


async def test_all_who_ask_at_one_time_share_one_answer_of_queue_and_executors() -> None:
    transport = One(Response(200, {}, json.dumps({**nodes(BUILD), "items": []}).encode()))
    client = jenkins(transport)
    jobs = [("shop", f"web-{index}") for index in range(20)]
    await asyncio.gather(*(client.executing(job) for job in jobs), *(client.queued(job) for job in jobs))
    assert sorted(request.url.partition("?")[0] for request in transport.asked) == [
        "https://ci.example.com/computer/api/json",
        "https://ci.example.com/queue/api/json",
    ]


async def test_a_build_is_read_with_its_times_in_milliseconds() -> None:
    build = await answering(BUILD).build(JOB, 7)
    assert build == Build(
        number=7,
        url="https://ci.example.com/job/shop/job/web/7/",
        queue_id=41,
        parameters={"A": "1", "FLAG": "true"},
        building=False,
        result="SUCCESS",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration=timedelta(seconds=61),
        estimated=timedelta(seconds=59),
    )


@pytest.mark.parametrize("value", [-1, 0, None, "absent"])
async def test_an_unknown_estimate_is_none(value: object) -> None:
    build = {**BUILD, "estimatedDuration": value}
    if value == "absent":
        del build["estimatedDuration"]
    read = await answering(build).build(JOB, 7)
    assert read is not None
    assert read.estimated is None


@pytest.mark.parametrize(
    ("building", "result", "finished"),
    [(True, None, False), (True, "UNSTABLE", False), (False, None, False), (False, "ABORTED", True)],
)
async def test_finished_is_not_building_and_a_result(building: bool, result: str | None, finished: bool) -> None:
    read = await answering({**BUILD, "building": building, "result": result}).build(JOB, 7)
    assert read is not None
    assert read.finished is finished


@pytest.mark.parametrize(
    ("location", "queue_id"),
    [
        ("https://ci.example.com/queue/item/41/", 41),
        ("http://internal:8080/jenkins/queue/item/42", 42),
        ("/queue/item/43/api/", 43),
        ("https://ci.example.com/job/shop/", None),
        ("https://ci.example.com/queue/item/x/", None),
        ("", None),
    ],
)
async def test_the_queue_id_is_in_the_location_whatever_host_it_names(location: str, queue_id: int | None) -> None:
    client = jenkins(One(Response(201, {"location": location})))
    assert await client.trigger(JOB, {"A": "1"}) == queue_id


async def test_a_location_beside_another_status_is_no_queue_item() -> None:
    client = jenkins(One(Response(302, {"location": "https://ci.example.com/queue/item/9/"})))
    assert await client.trigger(JOB, {}) is None


async def test_each_request_carries_the_account_and_the_language() -> None:
    transport = One(Response(404, {"x-jenkins": "2.579"}))
    await jenkins(transport).item(JOB)
    assert transport.asked[0].headers == {"Authorization": "Basic b3BlcmF0b3I6dDBrZW4=", "Accept-Language": "en"}


async def test_xml_goes_out_as_utf8_and_says_so() -> None:
    transport = One(Response(200))
    await jenkins(transport).update_config(JOB, "<a>ü</a>".encode())
    assert transport.asked[0].headers["Content-Type"] == "application/xml; charset=utf-8"
    assert transport.asked[0].body == b"<a>\xc3\xbc</a>"


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ((), ""),
        (("shop",), "/job/shop"),
        (("a b", "c/d", "e%2Ff", "ü?#"), "/job/a%20b/job/c%2Fd/job/e%252Ff/job/%C3%BC%3F%23"),
    ],
)
def test_each_name_is_one_encoded_segment(path: tuple[str, ...], url: str) -> None:
    assert item_url(path) == url
    assert path_of(f"https://ci.example.com/prefix{url}/") == path


def test_a_job_that_is_named_job_is_found_by_its_address() -> None:
    assert path_of("https://ci.example.com/job/job/job/job/") == ("job", "job")


def test_the_name_of_a_stage_does_nothing_to_a_terminal() -> None:
    stage = {"name": "\x1b[31mBuild\x1b[0m\nimage", "status": "SUCCESS", "durationMillis": 1}
    assert read_stage(stage).name == "Build image"
