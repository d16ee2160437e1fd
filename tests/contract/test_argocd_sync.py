"""What the Argo CD client assumes of syncs, of the health that follows them, and of the images that show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ExternalServiceError, ValidationError, Waiting
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.argocd import ArgoCD
from devops_reconciler.services.argocd_view import ApplicationView, failing_resources
from testbed.argocd import RealArgoCD

from .argocd_orders import (
    REFUSAL,
    close_window,
    deployment,
    keep_busy,
    never_ready,
    open_window,
    refused,
    release,
    stick_deletion,
)
from .argocd_target import (
    DIGEST,
    IMAGE,
    OTHER_DIGEST,
    QUICK,
    Source,
    Target,
    compared,
    pin,
    settled,
    source,
    target,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
OLD, NEW = f"{IMAGE}@{DIGEST}", f"{IMAGE}@{OTHER_DIGEST}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def repository() -> AsyncIterator[Source]:
    async with source() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def argocd(repository: Source, real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    async with target(repository.sample, real=real_argocd) as found:
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture(loop_scope="module")
async def slow(repository: Source, clock: FakeClock, real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    """Time passes in the stand-in only as the test lets it."""
    if real_argocd is not None:
        pytest.skip("orders the time of the stand-in")
    async with target(repository.sample, clock) as found:
        yield found


def passing(clock: FakeClock, seconds: float = 0.02) -> Callable[[], None]:
    """Lets so much time pass between two looks."""
    return lambda: clock.advance(timedelta(seconds=seconds))


async def repin(client: ArgoCD, digest: str) -> None:
    await client.patch_application("shop", "shop", {"spec": {"source": {"kustomize": pin(digest)}}})


async def make(argocd: Target, client: ArgoCD, **source: Any) -> None:
    await argocd.make_project()
    await client.create_application(argocd.application(**source))


async def test_a_sync_deploys_the_pinned_image_and_names_the_commit(argocd: Target, repository: Source) -> None:
    view = await argocd.deployed(argocd.client())
    assert view.operation_revision == view.sync_revision == await repository.sample.head()
    assert view.images == (OLD,)
    assert await argocd.running("shop", "shop") == OLD


async def test_nothing_runs_and_health_is_missing_before_the_first_sync(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    view = await until(client, lambda view: view.reconciled_at is not None)
    assert (view.sync_status, view.health, view.images) == ("OutOfSync", "Missing", ())
    assert await argocd.running("shop", "shop") is None


async def test_the_answer_of_a_sync_has_the_operation_and_no_old_state(argocd: Target) -> None:
    client = argocd.client()
    await argocd.deployed(client)
    answer = await client.sync("shop", "shop", infos={"deployment": "uid-1"})
    assert answer is not None
    assert answer["operation"]["sync"]["prune"] is True
    assert "operationState" not in answer["status"]
    view = ApplicationView(answer)
    assert view.operation_running
    assert view.operation_phase == ""
    assert view.operation_infos == {"deployment": "uid-1"}


async def test_the_infos_of_an_operation_stay_when_it_is_over(argocd: Target) -> None:
    client = argocd.client()
    await argocd.deployed(client)
    await client.sync("shop", "shop", infos={"deployment": "uid-1"})
    assert (await settled(client)).operation_infos == {"deployment": "uid-1"}


async def test_a_second_sync_while_one_runs_is_a_reason_to_wait(argocd: Target, repository: Source) -> None:
    client = argocd.client()
    await make(argocd, client)
    await keep_busy(argocd, client, repository.sample)
    with pytest.raises(Waiting, match="another operation is already in progress"):
        await client.sync("shop", "shop")
    await release(argocd, client)
    await until(client, lambda view: not view.operation_running)
    assert await client.sync("shop", "shop") is not None
    await settled(client)


async def test_a_closed_sync_window_is_a_reason_to_wait_and_no_lack_of_rights(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    await close_window(argocd)
    with pytest.raises(Waiting, match="blocked by sync window"):
        await client.sync("shop", "shop")
    await open_window(argocd)
    assert await client.sync("shop", "shop") is not None


async def test_a_sync_of_what_is_being_deleted_is_a_reason_to_wait(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    await stick_deletion(argocd)
    await client.delete_application("shop", "shop")
    with pytest.raises(Waiting, match="application is deleting"):
        await client.sync("shop", "shop")
    await release(argocd, client)


async def test_with_automated_sync_only_the_target_revision_may_be_synced(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    await compared(client)
    await client.patch_application("shop", "shop", {"spec": {"syncPolicy": {"automated": {"prune": True}}}})
    await settled(client)
    with pytest.raises(ValidationError, match="auto-sync currently set to main") as refused:
        await client.sync("shop", "shop", revision="release-1")
    assert refused.value.code == 9


async def test_an_unknown_revision_is_refused_at_once(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    with pytest.raises(ValidationError, match="unable to resolve 'nowhere' to a commit SHA") as refused:
        await client.sync("shop", "shop", revision="nowhere")
    assert refused.value.reason is Reason.REVISION_NOT_FOUND


async def test_git_down_is_no_fault_of_the_spec(argocd: Target, repository: Source) -> None:
    client = argocd.client()
    await make(argocd, client)
    repository.sample.repository.fail_with = 503
    try:
        with pytest.raises(ExternalServiceError, match="failed to list refs"):
            await client.sync("shop", "shop")
        with pytest.raises(ExternalServiceError, match="repository not accessible"):
            await client.patch_application("shop", "shop", {"metadata": {"labels": {"a": "b"}}})
    finally:
        repository.sample.repository.fail_with = None
    assert await client.sync("shop", "shop") is not None


async def test_the_old_health_and_images_stay_for_a_while_after_a_sync(slow: Target, clock: FakeClock) -> None:
    client, a_moment, a_second = slow.client(), passing(clock), passing(clock, 1.0)
    await slow.deployed(client, a_moment)
    slow.standin.controller.times = replace(QUICK, health_lag=100.0, healthy=100.0)
    await repin(client, OTHER_DIGEST)
    await client.sync("shop", "shop")
    after = await until(client, lambda view: view.operation_phase == "Succeeded", step=a_moment)
    assert (after.health, after.images) == ("Healthy", (OLD,))
    rolling = await until(client, lambda view: view.health == "Progressing", step=a_second)
    assert rolling.images == (OLD, NEW)
    assert await slow.running("shop", "shop") == OLD
    healthy = await until(client, lambda view: view.health == "Healthy", step=a_second)
    assert healthy.images == (NEW,)
    assert await slow.running("shop", "shop") == NEW


async def test_the_status_is_compared_anew_only_some_time_after_the_operation(slow: Target, clock: FakeClock) -> None:
    client, a_moment, a_second = slow.client(), passing(clock), passing(clock, 1.0)
    await slow.deployed(client, a_moment)
    await repin(client, OTHER_DIGEST)
    await until(client, lambda view: view.sync_status == "OutOfSync", step=a_moment)
    slow.standin.controller.times = replace(QUICK, sync=10.0, compare=100.0)
    await client.sync("shop", "shop")
    over = await until(client, lambda view: view.operation_phase == "Succeeded", step=a_second)
    assert over.sync_status == "OutOfSync"
    judged = await until(client, lambda view: view.sync_status == "Synced", step=a_second)
    assert judged.reconciled_at is not None
    assert over.reconciled_at is not None
    assert over.operation_finished_at is not None
    assert over.reconciled_at < over.operation_finished_at < judged.reconciled_at


async def test_times_are_whole_seconds_so_that_an_operation_may_seem_older_than_its_request(argocd: Target) -> None:
    client = argocd.client()
    asked = argocd.clock.now()
    view = await argocd.deployed(client)
    times = (view.operation_started_at, view.operation_finished_at, view.reconciled_at)
    assert all(time is not None and time.microsecond == 0 for time in times)
    assert view.operation_started_at is not None
    assert view.operation_started_at >= asked.replace(microsecond=0)


async def test_a_sync_without_changes_does_not_touch_health(argocd: Target) -> None:
    client = argocd.client()
    await argocd.deployed(client)
    argocd.standin.controller.times = replace(QUICK, healthy=60.0)
    await client.sync("shop", "shop")
    view = await until(client, lambda view: view.operation_phase == "Succeeded")
    assert view.health == "Healthy"


async def test_terminating_takes_its_time_and_ends_as_failed(slow: Target, clock: FakeClock) -> None:
    client = slow.client()
    await make(slow, client)
    slow.standin.controller.times = replace(QUICK, terminate=100.0)
    slow.standin.hold_operation("shop")
    await client.sync("shop", "shop")
    await until(client, lambda view: view.operation_phase == "Running", step=passing(clock))
    assert await client.terminate_operation("shop", "shop") is True
    view = await until(client, lambda view: view.operation_phase == "Terminating")
    assert view.operation_running
    with pytest.raises(Waiting):
        await client.sync("shop", "shop")
    view = await until(client, lambda view: not view.operation_running, step=passing(clock, 1.0))
    assert (view.operation_phase, view.operation_message) == ("Failed", "Operation terminated")


async def test_terminating_when_nothing_runs_is_fine(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    assert await client.terminate_operation("shop", "shop") is False
    assert await client.terminate_operation("missing", "shop") is False


async def test_an_operation_that_has_not_begun_cannot_be_terminated(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    argocd.standin.pause()
    await client.sync("shop", "shop")
    assert await client.terminate_operation("shop", "shop") is False
    argocd.standin.resume()
    await settled(client)


async def test_a_failed_sync_names_the_object_and_the_cause(argocd: Target, repository: Source) -> None:
    await repository.sample.commit("Break it", {"broken/bad.yaml": refused()}, branch="broken")
    client = argocd.client()
    await make(argocd, client, path="broken", targetRevision="broken", directory={"recurse": True})
    await client.sync("shop", "shop")
    view = await until(client, lambda view: view.operation_phase == "Failed")
    assert not view.operation_running
    assert f"one or more objects failed to apply, reason: {REFUSAL}" in view.operation_message
    assert f"Deployment shop/bad: {REFUSAL}" in view.operation_message
    assert view.health == "Missing"


async def test_a_path_that_is_not_there_ends_the_sync_as_an_error(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client, path="nowhere")
    await client.sync("shop", "shop")
    view = await until(client, lambda view: view.operation_phase == "Error")
    assert "nowhere: app path does not exist" in view.operation_message
    view = await until(client, lambda view: bool(view.conditions))
    assert view.conditions[0].startswith("ComparisonError: ")
    assert view.sync_status == "Unknown"


async def test_retries_are_part_of_the_running_operation(slow: Target, clock: FakeClock, repository: Source) -> None:
    broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, annotations: {standin/sync-fails: not now}}\n"
    await repository.sample.commit("Break it again", {"retried/bad.yaml": broken}, branch="retried")
    client = slow.client()
    await make(slow, client, path="retried", targetRevision="retried")
    await client.sync("shop", "shop", retry={"limit": 1, "backoff": {"duration": "2m"}})
    view = await until(client, lambda view: "Retrying attempt #1" in view.operation_message, step=passing(clock))
    assert view.operation_running
    view = await until(client, lambda view: not view.operation_running, step=passing(clock, 1.0))
    assert view.operation_phase == "Failed"


async def test_what_is_degraded_is_named_with_its_pod(argocd: Target, repository: Source) -> None:
    crash = {"crash/deployment.yaml": never_ready("ImagePullBackOff")}
    await repository.sample.commit("Crash", crash, branch="crash")
    client = argocd.client()
    await make(argocd, client, path="crash", targetRevision="crash")
    await client.sync("shop", "shop")
    view = await until(client, lambda view: view.health == "Degraded")
    assert view.operation_phase == "Succeeded"
    tree = await client.resource_tree("shop", "shop")
    assert tree is not None
    first = failing_resources(tree)[0]
    assert first.startswith("Pod shop/shop-")
    assert "ImagePullBackOff" in first


async def test_an_override_for_a_name_that_the_manifests_lack_changes_nothing(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client, kustomize={"images": [f"acme/other={NEW}"]})
    await client.sync("shop", "shop")
    view = await settled(client)
    assert view.health == "Healthy"
    assert view.images == (IMAGE,)


async def test_automated_sync_deploys_a_changed_image_by_itself(argocd: Target) -> None:
    client = argocd.client()
    await argocd.deployed(client)
    change = {"source": {"kustomize": pin(OTHER_DIGEST)}, "syncPolicy": {"automated": {"prune": True}}}
    await client.patch_application("shop", "shop", {"spec": change})
    view = await until(client, lambda view: view.images == (NEW,))
    assert view.app["status"]["operationState"]["operation"]["initiatedBy"] == {"automated": True}


async def test_pruning_removes_what_git_no_longer_has(argocd: Target, repository: Source) -> None:
    sample = repository.sample
    extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"
    await sample.commit("Add", {"prune/a.yaml": extra, "prune/b.yaml": extra.replace("extra", "kept")}, branch="prune")
    client = argocd.client()
    await make(argocd, client, path="prune", targetRevision="prune")
    await client.sync("shop", "shop")
    await settled(client)
    await sample.commit("Remove", {"prune/a.yaml": None}, branch="prune")
    await client.sync("shop", "shop", prune=False)
    view = await until(client, lambda view: view.sync_status == "OutOfSync" and not view.operation_running)
    assert [item["name"] for item in view.app["status"]["resources"] if item.get("requiresPruning")] == ["extra"]
    await client.sync("shop", "shop", prune=True)
    view = await settled(client)
    assert [item["name"] for item in view.app["status"]["resources"]] == ["kept"]


async def test_helm_takes_its_image_from_parameters(argocd: Target, repository: Source) -> None:
    template = deployment("'{{ .Release.Name }}'", "{{ .Values.image.repository }}@{{ .Values.image.digest }}")
    files: dict[str, str | None] = {"chart/Chart.yaml": "name: shop\nversion: 1.0.0\n"}
    files |= {"chart/values.yaml": "image: {repository: x, digest: y}\n", "chart/templates/deployment.yaml": template}
    await repository.sample.commit("Chart", files, branch="chart")
    client = argocd.client()
    parameters = [{"name": "image.repository", "value": IMAGE}, {"name": "image.digest", "value": DIGEST}]
    await make(argocd, client, path="chart", targetRevision="chart", helm={"parameters": parameters})
    await client.sync("shop", "shop")
    assert (await settled(client)).images == (OLD,)


async def test_a_sync_in_the_middle_of_which_the_client_gave_up_has_had_its_effect(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    argocd.standin.controls.fault("POST", "/sync", "reset", after_effect=True)
    with pytest.raises(Exception, match="sync application") as lost:
        await client.sync("shop", "shop", infos={"deployment": "uid-1"})
    assert getattr(lost.value, "maybe_applied", False)
    assert (await settled(client)).operation_infos == {"deployment": "uid-1"}


async def test_two_syncs_at_once_make_one_operation(argocd: Target) -> None:
    client = argocd.client()
    await make(argocd, client)
    results = await asyncio.gather(*(client.sync("shop", "shop") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, dict) for result in results) == 1
    assert sum(isinstance(result, Waiting) for result in results) == 4
