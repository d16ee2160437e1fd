"""Table of contents: each kind, its spec and status, and the pipeline that makes it true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..api.argo_settings import ArgoSettingsSpec, ArgoSettingsStatus
from ..api.deployment_record import DeploymentRecordSpec, DeploymentRecordStatus
from ..api.ingress_resource import IngressResourceSpec, IngressResourceStatus
from ..api.jenkins_settings import JenkinsSettingsSpec, JenkinsSettingsStatus
from ..api.policies import ComponentName
from ..api.project import DevOpsProjectSpec, DevOpsProjectStatus
from ..api.registry_settings import RegistrySettingsSpec, RegistrySettingsStatus
from ..services.kubernetes import (
    ARGO_SETTINGS,
    DEPLOYMENT_RECORD,
    DEVOPS_PROJECT,
    INGRESS_RESOURCE,
    JENKINS_SETTINGS,
    REGISTRY_SETTINGS,
)
from . import argo_settings, devops_project, ingress_resource, jenkins_settings, registry_settings
from .deployment_record import DeploymentReconciliation, plan_of_record
from .kind import KindOfResource
from .project_reconcile import ProjectReconciliation
from .reconcile import Context, Reconciliation, Store, Verdict

__all__ = ["KINDS", "Context", "KindOfResource", "Store", "Verdict", "reconciliation"]

_J, _R, _A = ComponentName.JENKINS, ComponentName.REGISTRY, ComponentName.ARGO
_I, _D = ComponentName.INGRESS, ComponentName.DNS

KINDS: dict[str, KindOfResource] = {
    what.kind.kind: what
    for what in (
        KindOfResource(
            DEVOPS_PROJECT, DevOpsProjectSpec, DevOpsProjectStatus, devops_project.on_devops_proj_created, {}
        ),
        KindOfResource(
            JENKINS_SETTINGS,
            JenkinsSettingsSpec,
            JenkinsSettingsStatus,
            jenkins_settings.plan,
            {"folder": _J, "git-credentials": _J, "registry-credentials": _J, "job": _J},
        ),
        KindOfResource(
            REGISTRY_SETTINGS, RegistrySettingsSpec, RegistrySettingsStatus, registry_settings.plan, {"repository": _R}
        ),
        KindOfResource(
            ARGO_SETTINGS,
            ArgoSettingsSpec,
            ArgoSettingsStatus,
            argo_settings.plan,
            {"repository": _A, "project": _A, "application": _A},
        ),
        KindOfResource(
            INGRESS_RESOURCE,
            IngressResourceSpec,
            IngressResourceStatus,
            ingress_resource.plan,
            {"namespace": _I, "ingress": _I, "dns": _D, "published": _D},
        ),
        KindOfResource(DEPLOYMENT_RECORD, DeploymentRecordSpec, DeploymentRecordStatus, plan_of_record, {}),
    )
}

_LIVES: dict[str, type[Reconciliation[Any, Any]]] = {
    DEVOPS_PROJECT.kind: ProjectReconciliation,
    DEPLOYMENT_RECORD.kind: DeploymentReconciliation,
}


def reconciliation(context: Context, obj: dict[str, Any]) -> Reconciliation[Any, Any]:
    """One pass over an object as read."""
    what = KINDS[obj["kind"]]
    context = replace(context, kinds=KINDS)
    return _LIVES.get(what.kind.kind, Reconciliation)(context, what, obj)
