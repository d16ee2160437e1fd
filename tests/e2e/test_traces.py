"""A deployment as its collector sees it: one trace, from the command that sent the message to the last heartbeat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from testbed.otlp import Collector, Span
from testbed.stage_operator import Operator
from testbed.waiting import eventually

from .play import DEADLINE, Play, Trigger, check_heartbeats
from .test_commands import command

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRETS = ("TOKEN", "PASSWORD", "SECRET", "KEY", "HEADERS")
SLOW = "// standin: slow 4\npipeline {}\n"
LOGIN = "planted-in-the-login-of-the-collector"


@asynccontextmanager
async def traced(play: Play, collector: Collector) -> AsyncIterator[Play]:
    """The same project with an operator that sends traces, in place of the one without."""
    await play.operator.stop()
    operator = await play.stage.start_operator(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"x-login={LOGIN}",
        OTEL_BSP_SCHEDULE_DELAY="100",
    )
    try:
        yield Play(play.stage, operator, play.project)
    finally:
        await operator.stop()
        play.stage.operators.remove(operator)


async def there(collector: Collector, name: str, **attributes: object) -> Span:
    """The first span of this name with these attributes of ours, once it has come."""
    wanted = {f"freeleaps.{key}": value for key, value in attributes.items()}

    async def found() -> Span | None:
        fit = (span for span in collector.spans if span.name == name and wanted.items() <= span.attributes.items())
        return next(fit, None)

    return await eventually(found, f"a span {name} {wanted}", DEADLINE)


def assert_tree(spans: list[Span], killed: str) -> None:
    """What is below what. A process that was killed may have taken a few spans along, so theirs may hang in the air."""
    (root,) = [span for span in spans if span.name == "send devops"]
    (message,) = [span for span in spans if span.name == "process devops.reconciler"]
    passes = [span for span in spans if span.name == "reconcile DeploymentRecord"]
    beats = [span for span in spans if span.name == "send devops.heartbeat"]
    assert [span for span in spans if not span.parent] == [root]
    assert message.parent == root.id
    assert {span.parent for span in (*passes, *beats)} == {message.id}
    assert {span.process for span in (*passes, *beats)} == {killed, beats[-1].process}
    assert beats[-1].process != killed
    known = {span.id for span in spans}
    assert [span for span in spans if span.process != killed and span.parent not in known | {""}] == []
    services = {span.attributes["peer.service"] for span in spans if "peer.service" in span.attributes}
    assert services >= {"kubernetes", "git", "jenkins", "registry", "argocd", "dns", "address"}


async def test_a_deployment_is_one_trace_across_a_kill_and_holds_no_secret(play: Play) -> None:
    async with Collector() as collector, traced(play, collector) as it:
        await it.set_up()
        await (await it.sample()).commit("Take time", {"Jenkinsfile": SLOW})
        event_id = (await command(it, "send", "reconcile", it.project, "--revision", "main")).strip()
        trigger = Trigger(it, {"event_id": event_id})
        await trigger.heard("build", "Running", message="runs")
        taken = await there(collector, "process devops.reconciler", event_id=event_id)
        await there(collector, "send devops.heartbeat", deployment=await trigger.name(), step="build")

        await it.operator.restart(kill=True)

        last = await trigger.terminal()
        await trigger.ended()
        await there(collector, "send devops.heartbeat", deployment=await trigger.name(), sequence=last.sequence)
        assert await it.operator.stop() == 0, it.operator.logs()
        assert_tree(collector.of(taken.trace), taken.process)
        check_heartbeats(trigger.beats, repeats=True)
        assert taken.trace in log_of(it.operator)
        assert_no_secret(collector, it.operator)


def log_of(operator: Operator) -> str:
    return operator.logs(100_000)


def assert_no_secret(collector: Collector, operator: Operator) -> None:
    assert collector.headers[-1]["x-login"] == LOGIN
    seen = b"".join(collector.bodies)
    secrets = {name: value for name, value in operator.environment.items() if name.endswith(SECRETS)}
    assert [name for name, value in secrets.items() if value.encode() in seen] == []
    assert LOGIN not in log_of(operator)
