"""One trace from a message to its record, the passes over it, what they ask of the services, and its heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractIncomingMessage
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from devops_reconciler.host.loop import Loop
from devops_reconciler.host.queue import Key
from devops_reconciler.messages.deliveries import Deliveries, Lane
from devops_reconciler.messages.inbox import Inbox
from devops_reconciler.messages.sender import HeartbeatSender
from devops_reconciler.resources.marks import TRACEPARENT
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.kubernetes import Object
from tests.unit.messages.broker import FakeDelivery, FakeGrave, turns, until
from tests.unit.messages.fake_broker import FakeBroker, Published
from tests.unit.messages.samples import initialize, reconcile
from tests.unit.traces import Kept, id_of, parent_of, said, trace_of, traces_kept
from tests.unit.world import GIT_URL, TEAM, Outside, outside

PROJECT_TRACE, DEPLOY_TRACE = "a" * 32, "b" * 32
SENDER = "00f067aa0ba902b7"
RECORD = "DeploymentRecord"
OURS = ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource", RECORD)
READING = (
    "get",
    "list",
    "item",
    "config",
    "credential",
    "queued",
    "executing",
    "builds",
    "log",
    "stages",
    "application",
)
READING += (
    "shows",
    "project",
    "repositor",
    "zone",
    "records",
    "resolve",
    "read_file",
    "digest",
    "tag",
    "resource_tree",
    "gone",
)


class Wire:
    """A service that answers everything."""

    async def send(self, request: Request) -> Response:
        return Response(200)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None: ...


class Process:
    """All of an operator that a message passes through, in a world that outlives it."""

    def __init__(self, out: Outside, broker: FakeBroker) -> None:
        self.out = out
        metrics = Metrics()
        self.sender = HeartbeatSender(out.world.settings, broker.connect, out.clock, metrics, lambda *_: None)
        self.loop = Loop(out.world, self.sender, metrics)
        inbox = Inbox(cast(Any, out.kubernetes), out.world.settings, out.clock)
        lane = Lane(inbox, FakeGrave().bury, out.clock, metrics, timedelta(minutes=10), queue="devops.reconciler")
        self.deliveries = Deliveries(lane)
        self.sending = asyncio.create_task(self.sender.run())
        self._tell()

    def _tell(self) -> list[Object]:
        """What the watch tells of."""
        found = [obj for (kind, _, _), obj in self.out.kubernetes.objects.items() if kind in OURS]
        for obj in found:
            self.loop.noticed(obj, deleted=False)
        return found

    async def take(self, body: bytes, headers: dict[str, Any]) -> None:
        delivery = FakeDelivery(body, headers=headers)
        self.deliveries.take(cast(AbstractIncomingMessage, delivery))
        await until(lambda: delivery.acks == 1)
        await turns()

    async def round(self) -> None:
        """One pass over every object."""
        for obj in self._tell():
            await self.loop._run(Key(obj["kind"], TEAM, obj["metadata"]["name"]))
            await turns()
        self.out.clock.advance(timedelta(seconds=4))

    async def until_true(self, kind: str, condition: str) -> Object:
        for _ in range(60):
            await self.round()
            for obj in self._tell():
                conditions = (obj.get("status") or {}).get("conditions") or ()
                if obj["kind"] == kind and any(c["type"] == condition and c["status"] == "True" for c in conditions):
                    return obj
        raise AssertionError(f"no {kind} becomes {condition}")

    async def end(self) -> None:
        self.sending.cancel()
        await asyncio.wait({self.sending})
        await self.deliveries.stop(timedelta(0))


@pytest.fixture
def kept() -> Iterator[Kept]:
    with traces_kept() as kept:
        yield kept


@pytest.fixture
async def stage(kept: Kept) -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    await made.process.end()


class Stage:
    """A world whose calls go out as real requests do, and an operator in it."""

    def __init__(self) -> None:
        self.out = outside()
        self.out.git.commit(GIT_URL, "main", "0123456789abcdef0123456789abcdef01234567")
        self.out.line.wire = self._ask
        self.broker = FakeBroker()
        self.process = Process(self.out, self.broker)

    async def _ask(self, name: str) -> None:
        service, _, operation = name.partition(".")
        method = "GET" if operation.startswith(READING) else "POST"
        await Http(service, f"https://{service}.test", Wire(), self.out.clock).request(operation, method, "/x")

    async def restart(self) -> None:
        await self.process.end()
        self.process = Process(self.out, self.broker)

    async def set_up(self) -> None:
        await self.process.take(initialize(namespace=TEAM), {"traceparent": f"00-{PROJECT_TRACE}-{SENDER}-01"})
        await self.process.until_true("DevOpsProject", "Ready")

    async def deploy(self, headers: dict[str, Any]) -> None:
        await self.process.take(reconcile("deploy", namespace=TEAM), headers)

    def record(self) -> Object:
        (found,) = [obj for (kind, _, _), obj in self.out.kubernetes.objects.items() if kind == RECORD]
        return found

    def header_of(self, beat: Published) -> str:
        return str((beat.message.headers or {}).get("traceparent"))


def in_trace(kept: Kept, trace: str) -> list[ReadableSpan]:
    return [span for span in kept.spans if f"{trace_of(span):032x}" == trace]


def named(spans: list[ReadableSpan], start: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name.startswith(start)]


def assert_deployment_is_a_tree(kept: Kept, stage: Stage) -> None:
    """Message → record → passes → requests, and heartbeats: nothing beside it, and each below the right one."""
    spans = in_trace(kept, DEPLOY_TRACE)
    (message,) = named(spans, "process ")
    passes, beats = named(spans, f"reconcile {RECORD}"), named(spans, "send ")
    calls = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert len(spans) == 1 + len(passes) + len(beats) + len(calls)
    assert f"{parent_of(message):016x}" == SENDER
    carried = stage.record()["metadata"]["annotations"][TRACEPARENT]
    assert carried == f"00-{DEPLOY_TRACE}-{id_of(message):016x}-01"
    assert {parent_of(span) for span in (*passes, *beats)} == {id_of(message)}
    above = {id_of(span) for span in passes}
    created = [span.name for span in calls if parent_of(span) == id_of(message)]
    assert created == ["kubernetes get DevOpsProject", f"kubernetes create {RECORD}"]
    assert {parent_of(span) for span in calls} == {*above, id_of(message)}
    assert len(named(calls, "jenkins trigger")) == len(stage.out.jenkins.triggers) == 1
    assert {str(said(span)["peer.service"]) for span in calls} >= {"kubernetes", "jenkins", "argocd", "git"}
    sent = [stage.header_of(beat) for beat in stage.broker.published]
    assert sent == [f"00-{DEPLOY_TRACE}-{id_of(span):016x}-01" for span in beats]


async def test_a_deployment_is_one_trace(kept: Kept, stage: Stage) -> None:
    await stage.set_up()
    await stage.deploy({"traceparent": f"00-{DEPLOY_TRACE}-{SENDER}-01"})
    await stage.process.until_true(RECORD, "Finished")
    assert_deployment_is_a_tree(kept, stage)
    assert stage.broker.published[-1].payload["result"] == "Succeeded"
    beats = named(in_trace(kept, DEPLOY_TRACE), "send devops.heartbeat")
    changes = [beat for beat in beats if "freeleaps.tick" not in said(beat)]
    assert [said(beat)["freeleaps.sequence"] for beat in changes] == list(range(1, len(changes) + 1))


@pytest.mark.parametrize("rounds", [0, 1, 3, 5])
async def test_a_deployment_is_one_trace_across_a_restart_wherever_it_comes(
    kept: Kept, stage: Stage, rounds: int
) -> None:
    await stage.set_up()
    await stage.deploy({"traceparent": f"00-{DEPLOY_TRACE}-{SENDER}-01"})
    for _ in range(rounds):
        await stage.process.round()
    await stage.restart()
    await stage.process.until_true(RECORD, "Finished")
    assert_deployment_is_a_tree(kept, stage)
    bodies: dict[str, set[bytes]] = {}
    for beat in stage.broker.published:
        bodies.setdefault(beat.message_id, set()).add(beat.message.body)
    assert {len(each) for each in bodies.values()} == {1}


async def test_a_project_and_its_children_are_one_trace(kept: Kept, stage: Stage) -> None:
    await stage.set_up()
    spans = in_trace(kept, PROJECT_TRACE)
    assert len(spans) == len(kept.spans)
    (message,) = named(spans, "process ")
    passes = named(spans, "reconcile DevOpsProject")
    assert {parent_of(span) for span in passes} == {id_of(message)}
    children = [span for span in named(spans, "reconcile ") if span not in passes]
    assert {said(span)["freeleaps.kind"] for span in children} == set(OURS[1:5])
    assert {parent_of(span) for span in children} <= {id_of(span) for span in passes}
    calls = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert {parent_of(span) for span in calls} <= {id_of(span) for span in (message, *passes, *children)}
    assert {str(said(span)["peer.service"]) for span in calls} >= {"jenkins", "argocd", "dockerhub", "godaddy"}


async def test_a_message_without_a_trace_begins_one(kept: Kept, stage: Stage) -> None:
    await stage.set_up()
    await stage.deploy({"traceparent": 7})
    (message,) = [span for span in kept.named("process ") if said(span)["freeleaps.event_type"] == "DevOpsReconcile"]
    assert parent_of(message) is None
    assert TRACEPARENT in stage.record()["metadata"]["annotations"]


async def test_a_record_that_nobody_traced_is_one_trace_all_the_same(kept: Kept, stage: Stage) -> None:
    await stage.set_up()
    await stage.deploy({})
    del stage.record()["metadata"]["annotations"][TRACEPARENT]
    await stage.restart()
    await stage.process.until_true(RECORD, "Finished")
    of_record = [*kept.named(f"reconcile {RECORD}"), *kept.named("send devops.heartbeat")]
    assert len({trace_of(span) for span in of_record}) == 1
    assert {parent_of(span) for span in of_record} == {None}


async def test_passes_that_change_nothing_leave_no_spans(kept: Kept, stage: Stage) -> None:
    await stage.set_up()
    for _ in range(3):
        await stage.process.round()
    before = len(kept.spans)
    calls = len(stage.out.line.calls)
    for _ in range(3):
        await stage.process.round()
    assert len(stage.out.line.calls) > calls
    assert len(kept.spans) == before


async def test_a_pass_with_a_fault_of_our_own_in_a_step_has_failed(kept: Kept, stage: Stage) -> None:
    stage.out.line.fail("dockerhub.create_repository", KeyError("oops"))
    await stage.set_up()
    (failed,) = [span for span in kept.named("reconcile RegistrySettings") if "error.type" in said(span)]
    assert said(failed)["freeleaps.outcome"] == "error"
    assert said(failed)["error.type"] == "InternalError"
    assert failed.status.status_code is StatusCode.ERROR


async def test_traces_make_no_write_of_their_own() -> None:
    async def writes() -> list[tuple[str, str, str]]:
        stage = Stage()
        await stage.set_up()
        await stage.deploy({})
        await stage.process.until_true(RECORD, "Finished")
        await stage.process.end()
        return stage.out.kubernetes.writes

    without = await writes()
    with traces_kept() as kept:
        assert await writes() == without
    assert kept.spans != []
