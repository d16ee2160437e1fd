"""DevOpsProject: its four children, and what their state means for the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..api.argo_settings import ArgoSettingsSpec
from ..api.base import Model, effective
from ..api.conditions import Reason
from ..api.ingress_resource import IngressResourceSpec
from ..api.jenkins_settings import JenkinsSettingsSpec
from ..api.policies import ComponentName
from ..api.project import DevOpsProjectSpec, DevOpsProjectStatus
from ..api.registry_settings import RegistrySettingsSpec
from ..engine.conditions import Conditions
from ..engine.outcome import Facts, Outcome, StepResult
from ..engine.pipeline import Step
from ..inputs.plan import Plan
from ..inputs.subject import REQUESTED_ANNOTATION, Subject
from ..resources.address import address_of
from ..resources.child import ProjectChild
from ..resources.world import World

Project = Subject[DevOpsProjectSpec, DevOpsProjectStatus]

CHILDREN: tuple[tuple[str, ComponentName, str, Callable[[DevOpsProjectSpec], Model]], ...] = (
    ("RegistrySettings", ComponentName.REGISTRY, "RegistryReady", RegistrySettingsSpec.from_project),
    ("JenkinsSettings", ComponentName.JENKINS, "JenkinsReady", JenkinsSettingsSpec.from_project),
    ("ArgoSettings", ComponentName.ARGO, "ArgoReady", ArgoSettingsSpec.from_project),
    ("IngressResource", ComponentName.INGRESS, "IngressReady", IngressResourceSpec.from_project),
)
"""In the order of creation; deletion goes the other way round: the DNS record first, the images last."""
PROJECT_PARTS = ("RegistryReady", "JenkinsReady", "ArgoReady")
"""What of the project must be set up before a deployment may begin."""
ROLLBACK_PARTS = ("ArgoReady",)
"""Those of a rollback. It builds and pushes nothing, and it is the way out where Jenkins or Docker Hub fails."""
REMOVAL_POLICIES = ("managementPolicies", "deletionPolicy", "components")
"""What of a child's spec counts when it is deleted."""


async def on_devops_proj_created(world: World, subject: Project) -> Plan:
    """Set a project up: one child per external service, each a resource of its own that comes to be by itself.

    Called on every pass, so that a project whose creation was missed or interrupted is no special case.
    """
    # The children carry their policies in their own specs; the children themselves always follow the project.
    whole = DevOpsProjectSpec.model_validate({"git": {"url": subject.spec.git.url}, "ingress": {"host": "x.invalid"}})
    policy = effective(whole, None, ComponentName.ARGO)
    steps = tuple(
        Step(kind, _child(subject, kind, build(subject.spec)), policy, gate=False) for kind, _, _, build in CHILDREN
    )
    spec = subject.spec.ingress
    url = address_of(spec.host, tls=spec.tls is not None)

    def fields(outcome: Outcome) -> dict[str, Any]:
        known = {child.kind: child.model_dump(exclude_none=True) for child in subject.status.children}
        return {"children": [_status(subject.name, result, known) for result in outcome.results], "url": url}

    def conditions(into: Conditions, outcome: Outcome) -> None:
        for kind, _, condition, _ in CHILDREN:
            result = next(r for r in outcome.results if r.step == kind)
            _copy(into, condition, result)
        _copy(into, "DNSReady", next(r for r in outcome.results if r.step == "IngressResource"))

    return Plan(steps, fields, conditions)


def removal_policies_of_children(spec: DevOpsProjectSpec) -> dict[str, dict[str, Any]]:
    """By kind, the part of each child's spec that counts when it is deleted."""
    specs = {kind: build(spec).manifest() for kind, _, _, build in CHILDREN}
    return {kind: {name: whole[name] for name in REMOVAL_POLICIES if name in whole} for kind, whole in specs.items()}


def _child(subject: Project, kind: str, spec: Model) -> Callable[[Facts], ProjectChild]:
    child = ProjectChild(
        child_kind=kind,
        namespace=subject.namespace,
        name=subject.name,
        owner_uid=subject.uid,
        spec=spec.manifest(),
        requested_at=subject.annotations.get(REQUESTED_ANNOTATION),
    )
    return lambda facts: child


def _status(name: str, result: StepResult, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if result.seen is None and result.step in known:
        return known[result.step]  # it could not be read: what was last known of it still counts
    facts = result.seen.facts if result.seen is not None else {}
    status = {"kind": result.step, "name": name, "ready": facts.get("ready", "Unknown")}
    for key in ("reason", "message"):
        if facts.get(key):
            status[key] = facts[key]
    return status


def _copy(into: Conditions, condition: str, result: StepResult) -> None:
    if result.seen is None and into.get(condition) is not None:
        return
    facts = result.seen.facts if result.seen is not None else {}
    ready, reason, message = facts.get("ready", "Unknown"), facts.get("reason"), facts.get("message", "")
    known = isinstance(reason, str) and reason in set(Reason)
    into.put(condition, ready, Reason(str(reason)) if known else Reason.PROGRESSING, message)
