"""Many builds at a time, with the real client: who asks Jenkins for what, and what an old answer may not do."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.resource import Intent, Observation
from devops_reconciler.resources import jenkins_build
from devops_reconciler.resources.jenkins_build import JenkinsBuild, JenkinsBuildStop
from devops_reconciler.resources.world import World
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins, item_url, path_of
from tests.unit.world import ME, outside

MANY = 20
URL = "https://jenkins.test"
SOON = timedelta(seconds=1)


@dataclass
class Controller:
    """What a Jenkins says of queue, executors and builds; `hold` keeps the next answer of a page back."""

    clock: FakeClock
    queue: dict[int, str] = field(default_factory=dict)
    builds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    broken: str = "nothing"

    def run(self, name: str, number: int = 1, uid: str | None = None) -> dict[str, Any]:
        build = {
            "number": number,
            "url": f"{URL}{item_url(('shop', name))}/{number}/",
            "queueId": number,
            "building": True,
            "result": None,
            "timestamp": int(self.clock.now().timestamp() * 1000),
            "duration": 0,
            "estimatedDuration": 600_000,
            "actions": parameters(uid or name),
        }
        self.builds.setdefault(name, []).insert(0, build)
        return build

    def hold(self, page: str) -> asyncio.Event:
        """The next answer of this page is given when the event is set, and tells of now."""
        self.held[page] = asyncio.Event()
        return self.held[page]

    async def send(self, request: Request) -> Response:
        page = request.url.removeprefix(URL).partition("?")[0]
        if request.method == "POST":
            self.stopped.append(page)
            return Response(302)
        kind = page.rpartition("/api/json")[0].replace("/wfapi/describe", "/stages")
        self.asked.append("stages" if kind == "" else kind)
        if self.broken in page:
            raise TimeoutError
        answer = json.dumps(self._answer(page)).encode()
        event = self.held.pop(page, None)
        if event is not None:
            await event.wait()
        return Response(200, {}, answer)

    def _answer(self, page: str) -> object:
        if page == "/queue/api/json":
            return {"items": [self._item(id, name) for id, name in self.queue.items()]}
        if page == "/computer/api/json":
            running = [{"currentExecutable": b} for builds in self.builds.values() for b in builds if b["building"]]
            return {"computer": [{"executors": [{"currentExecutable": None}], "oneOffExecutors": running}]}
        if page.endswith("/wfapi/describe"):
            return {"stages": []}
        return {"builds": self.builds.get(path_of(page.removesuffix("/api/json"))[-1], [])}

    def _item(self, id: int, name: str) -> dict[str, Any]:
        since = int(self.clock.now().timestamp() * 1000)
        task = {"name": name, "url": f"{URL}{item_url(('shop', name))}/"}
        return {"id": id, "why": "busy", "inQueueSince": since, "task": task, "actions": parameters(name)}

    def stream(self, request: Request) -> Any:
        raise TimeoutError  # a log is not to be had

    async def close(self) -> None: ...


def parameters(uid: str) -> list[dict[str, Any]]:
    return [{"parameters": [{"name": "DEPLOYMENT_UID", "value": uid}]}]


def build(name: str, kind: type[JenkinsBuild] = JenkinsBuild) -> JenkinsBuild:
    """The build of the job `name`, whose UID is that too."""
    return kind(folder="shop", name=name, uid=name, commit="0" * 40, image_repository="r", image_tag="t", parameters={})


class Flight:
    """Builds of many jobs at one Jenkins, each looked at by a pass of its own."""

    def __init__(self, count: int = MANY) -> None:
        out = outside()
        self.clock = out.clock
        self.jenkins = Controller(out.clock)
        http = Http("jenkins", URL, self.jenkins, out.clock)
        client = Jenkins(http, username=lambda: "operator", token=lambda: "token")
        self.world: World = replace(out.world, jenkins=client)
        self.names = [f"web-{index}" for index in range(count)]
        self.intent = Intent(op="create", at=out.clock.now())

    async def look(self, name: str, kind: type[JenkinsBuild] = JenkinsBuild) -> Observation:
        return await build(name, kind).observe(self.world, ME, self.intent)

    async def look_at_all(self) -> tuple[list[Observation], Counter[str]]:
        """What each look saw, and what was asked for that."""
        self.jenkins.asked.clear()
        seen = await asyncio.gather(*(self.look(name) for name in self.names))
        asked = Counter("builds" if each.startswith("/job/") else each for each in self.jenkins.asked)
        return list(seen), asked


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_builds_that_run_share_one_request_a_round_besides_their_stages() -> None:
    flight = Flight()
    for name in flight.names:
        flight.jenkins.run(name)
    _, asked = await flight.look_at_all()
    assert asked == {"/queue": 1, "builds": MANY, "stages": MANY}
    for _ in range(3):
        flight.clock.advance(timedelta(seconds=10))
        seen, asked = await flight.look_at_all()
        assert asked == {"/computer": 1, "stages": MANY}
        assert [each.facts["number"] for each in seen] == [1] * MANY


async def test_builds_that_wait_share_one_request_for_the_queue() -> None:
    flight = Flight()
    flight.jenkins.queue = dict(enumerate(flight.names, start=40))
    _, asked = await flight.look_at_all()
    assert asked == {"/queue": 1, "builds": MANY}
    flight.clock.advance(timedelta(seconds=10))
    seen, asked = await flight.look_at_all()
    assert asked == {"/queue": 1}
    assert [each.facts["queue"] for each in seen] == list(flight.jenkins.queue)


async def test_looks_that_do_not_come_at_one_time_share_an_answer_for_a_second() -> None:
    flight = Flight()
    for name in flight.names:
        flight.jenkins.run(name)
    await flight.look_at_all()
    flight.clock.advance(timedelta(minutes=1))
    flight.jenkins.asked.clear()
    for name in flight.names:
        await flight.look(name)
        flight.clock.advance(timedelta(seconds=0.1))
    assert Counter(flight.jenkins.asked)["/computer"] == 2


async def test_the_end_is_searched_for_and_an_answer_from_before_it_only_delays_it() -> None:
    flight = Flight(1)
    first = flight.jenkins.run("web-0")
    await flight.look("web-0")
    flight.clock.advance(timedelta(minutes=1))
    assert not (await flight.look("web-0")).ready
    first.update(building=False, result="SUCCESS", duration=60_000)
    assert not (await flight.look("web-0")).ready
    flight.clock.advance(SOON)
    flight.jenkins.asked.clear()
    seen = await flight.look("web-0")
    assert (seen.ready, seen.percent) == (True, 100)
    assert flight.jenkins.asked == ["/computer", "/queue", "/job/shop/job/web-0"]
    assert flight.world.builds == {}


async def test_what_leaves_the_queue_is_found_among_the_builds() -> None:
    flight = Flight(1)
    flight.jenkins.queue = {41: "web-0"}
    assert (await flight.look("web-0")).facts["queue"] == 41
    flight.jenkins.queue.clear()
    flight.jenkins.run("web-0")
    flight.clock.advance(SOON)
    assert (await flight.look("web-0")).facts["number"] == 1


async def test_an_answer_on_its_way_is_no_proof_of_absence_for_who_asks_later() -> None:
    flight = Flight(1)
    held = flight.jenkins.hold("/queue/api/json")
    early = asyncio.create_task(flight.look("web-0"))
    await settle()
    flight.jenkins.queue = {41: "web-0"}  # after the answer was made that hangs
    flight.clock.advance(timedelta(seconds=9))
    late = asyncio.create_task(flight.look("web-0"))
    await settle()
    held.set()
    assert not (await early).exists
    assert (await late).facts["queue"] == 41


async def test_a_build_that_runs_is_not_believed_before_the_list_has_said_that_it_is_the_first() -> None:
    flight = Flight(1)
    finished = flight.jenkins.run("web-0", 3)
    finished.update(building=False, result="SUCCESS", duration=1)
    flight.jenkins.run("web-0", 5)
    seen = await flight.look("web-0")
    assert (seen.facts["number"], seen.ready, seen.surplus) == (3, True, ("5",))


async def test_a_second_build_beside_the_known_one_is_surplus_and_one_of_others_is_not() -> None:
    flight = Flight(1)
    flight.jenkins.run("web-0", 3)
    await flight.look("web-0")
    flight.jenkins.run("web-0", 4, uid="another")
    flight.jenkins.run("web-0", 5)
    flight.clock.advance(SOON)
    flight.jenkins.asked.clear()
    seen = await flight.look("web-0")
    assert (seen.facts["number"], seen.surplus) == (3, ("5",))
    assert flight.jenkins.asked == ["/computer", "stages"]
    await build("web-0").update(flight.world, ME, seen)
    assert flight.jenkins.stopped == ["/job/shop/job/web-0/5/stop"]


async def test_a_second_build_that_runs_alone_does_not_take_the_place_of_the_first_one() -> None:
    flight = Flight(1)
    first = flight.jenkins.run("web-0", 3)
    await flight.look("web-0")
    flight.jenkins.run("web-0", 5)
    first.update(building=False, result="SUCCESS", duration=1)
    flight.clock.advance(SOON)
    seen = await flight.look("web-0")
    assert (seen.facts["number"], seen.ready, seen.surplus) == (3, True, ("5",))


async def test_a_number_that_is_another_deployments_now_is_not_ours() -> None:
    flight = Flight(1)
    flight.jenkins.run("web-0", 1)
    await flight.look("web-0")
    flight.jenkins.builds["web-0"] = []  # the job was made anew, and counts from 1 again
    flight.jenkins.run("web-0", 1, uid="another")
    flight.clock.advance(SOON)
    assert not (await flight.look("web-0")).exists


async def test_after_a_restart_what_is_under_way_is_searched_for_once() -> None:
    flight = Flight()
    for name in flight.names:
        flight.jenkins.run(name)
    await flight.look_at_all()
    flight.world.builds.clear()
    flight.clock.advance(timedelta(minutes=1))
    _, asked = await flight.look_at_all()
    assert asked == {"/queue": 1, "builds": MANY, "stages": MANY}
    _, asked = await flight.look_at_all()
    assert asked == {"/computer": 1, "stages": MANY}


async def test_a_removal_asks_anew_after_it_has_stopped_a_build() -> None:
    flight = Flight(2)
    first = flight.jenkins.run("web-0")
    flight.jenkins.run("web-1")
    await flight.look_at_all()
    flight.clock.advance(timedelta(minutes=1))
    assert (await flight.look("web-0", JenkinsBuildStop)).exists
    first.update(building=False, result="ABORTED", duration=60_000)
    await flight.look("web-1")
    assert not (await flight.look("web-0", JenkinsBuildStop)).exists


@pytest.mark.parametrize("page", ["/queue/", "/computer/", "/job/"])
async def test_a_page_that_cannot_be_had_is_an_error_and_no_absence(page: str) -> None:
    flight = Flight(2)
    flight.jenkins.run("web-0")
    await flight.look("web-0")
    flight.clock.advance(timedelta(minutes=1))
    flight.jenkins.broken = page
    with pytest.raises(ExternalServiceError):
        await flight.look("web-0" if page == "/computer/" else "web-1")
    flight.jenkins.broken = "nothing"
    assert (await flight.look("web-0")).facts["number"] == 1


async def test_what_is_remembered_has_a_bound_and_what_is_forgotten_is_searched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jenkins_build, "MOST_KNOWN", 2)
    flight = Flight(3)
    for name in flight.names:
        flight.jenkins.run(name)
        await flight.look(name)
    assert [key.partition("#")[2] for key in flight.world.builds] == ["web-1", "web-2"]
    flight.clock.advance(timedelta(minutes=1))
    assert (await flight.look("web-0")).facts["number"] == 1
