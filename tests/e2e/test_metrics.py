"""Every metric that is promised counts in the operator as it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from testbed.stage_cluster import NAMESPACE
from testbed.waiting import eventually

from .play import DEADLINE, PROJECTS, Play

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREFIX = "devops_reconciler_"
parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families


class Scrape:
    """All samples at one moment."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in parse(text) for sample in family.samples]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            float(sample.value)
            for sample in self._samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        )


async def scrape(play: Play) -> Scrape:
    status, text = await play.operator.answer("/metrics")
    assert status == 200, text
    return Scrape(text)


async def grown(play: Play, before: Scrape, name: str, by: float = 1, **labels: str) -> None:
    """Wait until a metric is higher than before."""

    async def enough() -> bool:
        return (await scrape(play)).sum(name, **labels) >= before.sum(name, **labels) + by

    await eventually(enough, f"{name} {labels} has grown by {by:g}", DEADLINE)


async def looked_at_again(play: Play, plural: str) -> None:
    """The operator has compared a part of the project with what it wants, on request."""
    when = datetime.now(UTC).isoformat()
    change = {"metadata": {"annotations": {"freeleaps.com/requestedAt": when}}}
    await play.stage.kube.patch(f"/apis/freeleaps.com/v1alpha1/namespaces/{NAMESPACE}/{plural}/{play.project}", change)
    await play.stage.kube.until(
        plural,
        play.project,
        lambda it: it["status"].get("lastHandledReconcileAt") == when,
        f"it is looked at again {when}",
        DEADLINE,
    )


async def test_a_deployment_counts_in_messages_passes_calls_steps_and_results(play: Play) -> None:
    before = await scrape(play)
    await play.set_up()
    await play.deploy()
    await grown(play, before, "messages_total", type="DevOpsInitialize", outcome="applied")
    await grown(play, before, "messages_total", type="DevOpsReconcile", outcome="created")
    await grown(play, before, "deployments_total", result="Succeeded")
    await grown(play, before, "project_deployments_total", project=play.project, result="Succeeded")
    await grown(play, before, "project_lead_seconds_count", project=play.project)
    for kind in ("DevOpsProject", "JenkinsSettings", "RegistrySettings", "ArgoSettings", "IngressResource"):
        await grown(play, before, "reconciles_total", kind=kind, outcome="done")
    await grown(play, before, "reconcile_seconds_count", kind="DeploymentRecord")
    for step in ("revision", "build", "image", "sync", "health"):
        await grown(play, before, "step_seconds_count", step=step)
    for service in ("jenkins", "argocd", "dockerhub", "registry", "godaddy", "git"):
        await grown(play, before, "vendor_calls_total", service=service)
        await grown(play, before, "vendor_seconds_count", service=service)
    await grown(play, before, "heartbeats_sent_total", by=5)


async def test_a_message_that_is_refused_counts_as_dead_lettered(play: Play) -> None:
    before = await scrape(play)
    await play.stage.publish(b"no json")
    await grown(play, before, "messages_total", type="unknown", outcome="dead-lettered")


async def test_what_somebody_changes_counts_as_drift_found_and_repaired(play: Play) -> None:
    await play.set_up()
    before = await scrape(play)
    play.stage.hub.store.delete(f"acme/{play.project}")
    await looked_at_again(play, "registrysettings")
    await grown(play, before, "drift_found_total", kind="RegistrySettings")
    await grown(play, before, "drift_repaired_total", kind="RegistrySettings")

    async def all_repaired() -> bool:
        """The project of another test may drift too: what is found is repaired a moment later."""
        after = await scrape(play)
        found, repaired = (
            after.sum(name, kind="RegistrySettings") - before.sum(name, kind="RegistrySettings")
            for name in ("drift_found_total", "drift_repaired_total")
        )
        return found == repaired

    await eventually(all_repaired, "each drift that was found is repaired", DEADLINE)


async def test_a_deployment_that_waits_for_another_shows_its_age(play: Play) -> None:
    await play.set_up()
    source = "// standin: slow 6\npipeline {}\n"
    await (await play.sample()).commit("Take time", {"Jenkinsfile": source})
    first = await play.send("deploy")
    await first.heard("build", "Running")
    second = await play.send("deploy", concurrency_policy="Queue")

    async def waits() -> bool:
        return (await scrape(play)).sum("queue_age_seconds", queue="deployments") > 0

    await eventually(waits, "the second one waits", DEADLINE)
    await first.ended()
    await second.ended()

    async def over() -> bool:
        shown = await scrape(play)
        return all(shown.sum("queue_age_seconds", queue=queue) == 0 for queue in ("deployments", "messages"))

    await eventually(over, "none waits", DEADLINE)


async def test_a_clean_up_counts_its_failures_and_its_end_and_the_breaker_shows(play: Play) -> None:
    await play.set_up()
    before = await scrape(play)
    play.stage.jenkins.controls.down = True
    await play.stage.kube.delete(f"/apis/freeleaps.com/v1alpha1/namespaces/{NAMESPACE}/{PROJECTS}/{play.project}")
    await grown(play, before, "cleanup_results_total", kind="JenkinsJob", result="cleanup_failed")
    await grown(play, before, "breaker_state", by=2, service="jenkins")
    play.stage.jenkins.controls.down = False
    await play.stage.kube.wait_gone(PROJECTS, play.project, DEADLINE)
    for kind in ("JenkinsJob", "JenkinsFolder", "ArgoProject", "DnsRecord"):
        await grown(play, before, "cleanup_results_total", kind=kind, result="cleaned")
    await grown(play, before, "cleanup_results_total", kind="HubRepository", result="left")
