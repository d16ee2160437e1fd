"""What a test orders of Argo CD: of the stand-in by its controls, of the real one by what makes it so.

The manifests do both: an annotation tells the stand-in, and what it tells is true of them on a real cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devops_reconciler.services.argocd import ArgoCD
from standins.argocd_controller import FINALIZER
from testbed.argocd_settings import NAMESPACE as ARGOCD
from testbed.sample import SampleProject

from .argocd_target import Target, until

GROUP = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD}"
HOLD = "example.com/hold"
HELD = "held"
"""The branch whose sync does not end by itself."""
REFUSAL = (
    'Deployment.apps "bad" is invalid: spec.template.metadata.labels: Invalid value: {"app":"bad"}: '
    "`selector` does not match template `labels`"
)
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, annotations: {{{annotation}}}}}
spec:
  progressDeadlineSeconds: 1
  selector: {{matchLabels: {{app: {selected}}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{{pod_annotation}}}}}
    spec: {{containers: [{{name: {name}, image: '{image}'}}]}}
"""
# A hook that never ends: nothing runs its pod to the end.
_HOOK = """\
apiVersion: batch/v1
kind: Job
metadata: {name: never, annotations: {argocd.argoproj.io/hook: PreSync}}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: never, image: acme/never}]}
"""
ENDLESS = {"deploy/hook.yaml": _HOOK, "deploy/kustomization.yaml": "resources: [hook.yaml, service.yaml]\n"}
"""The files that make a sync run for ever."""


def deployment(name: str, image: str, *, annotation: str = "", pod_annotation: str = "", selected: str = "") -> str:
    """The manifest of a Deployment with one container."""
    return _DEPLOYMENT.format(
        name=name, image=image, annotation=annotation, pod_annotation=pod_annotation, selected=selected or name
    )


def refused() -> str:
    """A Deployment that the API server refuses, with REFUSAL."""
    said = REFUSAL.replace("'", "''")
    return deployment("bad", "acme/bad", annotation=f"standin/sync-fails: '{said}'", selected="another")


def never_ready(reason: str) -> str:
    """A Deployment whose pod waits for ever, and which so becomes Degraded."""
    return deployment(
        "shop", "acme/shop", annotation=f"standin/degraded: {reason}", pod_annotation=f"testbed/waiting: {reason}"
    )


async def keep_busy(argocd: Target, client: ArgoCD, sample: SampleProject) -> None:
    """An operation of the application "shop" runs, until :func:`release`."""
    if argocd.fake is not None:
        argocd.fake.hold_operation("shop")
        await client.sync("shop", "shop")
    else:
        await sample.commit("Wait for ever", ENDLESS, branch=HELD)
        await client.sync("shop", "shop", revision=HELD)
    await until(client, lambda view: view.operation_phase == "Running")


async def stick_deletion(argocd: Target) -> None:
    """A deletion of the application "shop" does not end, until :func:`release`."""
    if argocd.fake is not None:
        argocd.fake.stick_deletion("shop")
    else:
        await _patch(argocd, "applications", {"metadata": {"finalizers": [FINALIZER, HOLD]}})


async def release(argocd: Target, client: ArgoCD) -> None:
    """What was held goes on."""
    if argocd.fake is not None:
        argocd.fake.release("shop")
        return
    await client.terminate_operation("shop", "shop")
    if await client.application("shop", "shop") is not None:
        await _patch(argocd, "applications", {"metadata": {"finalizers": None}})


async def close_window(argocd: Target) -> None:
    """No sync may start in the project "shop", until :func:`open_window`."""
    if argocd.fake is not None:
        argocd.fake.close_window("shop")
    else:
        always = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
        await _patch(argocd, "appprojects", {"spec": {"syncWindows": [always]}})


async def open_window(argocd: Target) -> None:
    if argocd.fake is not None:
        argocd.fake.open_window("shop")
    else:
        await _patch(argocd, "appprojects", {"spec": {"syncWindows": None}})


async def _patch(argocd: Target, plural: str, patch: Mapping[str, Any]) -> None:
    assert argocd.real is not None
    await argocd.real.control_plane.api().patch(f"{GROUP}/{plural}/shop", dict(patch))
