"""Gathers what a deployment needs: the spec with defaults in place, `.freeleaps.yaml`, Secrets, a rollback target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..api.base import EffectivePolicy, SecretRef, effective
from ..api.blocks import IN_CLUSTER
from ..api.deployment_record import (
    LAST_HEALTHY,
    PRODUCTION,
    DeploymentRecordSpec,
    DeploymentRecordStatus,
    StepState,
)
from ..api.errors import SecretNotFoundError, ValidationError
from ..api.jenkins_settings import JenkinsSettingsSpec, ProjectFileStatus
from ..api.names import application_name, default_preview_template, destination_namespace, preview_host
from ..api.policies import ComponentName, DeletionPolicy
from ..api.project import DevOpsProjectSpec
from ..deployment import AbsentSecret, Deployment, RollbackTarget
from ..engine.ledger import Ledger
from ..inputs.blocks import (
    Place,
    Route,
    image_repository,
    preview_place,
    production_place,
    route,
    source,
)
from ..inputs.logins import Login, git_login, project_secret, pull_secret
from ..inputs.subject import Subject
from ..resources.environment import find, stands
from ..resources.marks import order_of
from ..resources.secret_copy import SecretCopy
from ..resources.world import World
from ..services.git import check_url
from ..services.kubernetes import JENKINS_SETTINGS
from .jenkins_settings import parameters_of

Record = Subject[DeploymentRecordSpec, DeploymentRecordStatus]


async def deployment_of(
    world: World, record: Record, owner: dict[str, Any], spec: DevOpsProjectSpec, rivals: Sequence[dict[str, Any]]
) -> Deployment:
    """Everything that the steps need, by the spec of now. What has begun keeps what it began with (`deployment.py`).

    `owner` is the project, and `spec` its spec. Raises Refused where that asks for what it cannot or may not have.
    """
    project, holder = record.spec.project_ref.name, (find(owner, record.spec.environment) or {}).get("holder")
    preview = record.spec.environment != PRODUCTION
    settings, namespace = world.settings, record.namespace
    check_url(spec.git.url, settings.git_allowed_hosts)
    file = await _project_file(world, namespace, project)
    image = image_repository(settings, namespace, project, spec.registry.namespace, spec.registry.repository)
    place = _place(world, record, project, spec, preview=preview)
    path = file.argo.path if file else None
    return Deployment(
        record=record.name,
        uid=record.uid,
        namespace=namespace,
        project=project,
        environment=record.spec.environment,
        preview=preview,
        revision=record.spec.revision or spec.git.branch,
        git_url=spec.git.url,
        git=await _login_for_commit(world, record, spec),
        folder=spec.jenkins.folder or project,
        parameters=parameters_of(JenkinsSettingsSpec.from_project(spec), file),
        image=image,
        source=source(spec.argo, project, spec.git.url, spec.git.branch, path),
        place=place,
        application=application_name(project, record.spec.environment),
        route=_route(world, record, project, spec, preview=preview),
        rollback=_rollback_target(record, rivals, holder),
        secrets=await _secrets(world, namespace, project, spec, place, preview=preview),
        policies=policies_of(spec, preview=preview),
    )


async def _login_for_commit(world: World, record: Record, spec: DevOpsProjectSpec) -> Login | None:
    """None once the commit is known: a Secret that cannot be had any more ends no deployment that needs none."""
    if Ledger.load(record.status.applied).begun("revision") is not None:
        return None
    return await git_login(world, record.namespace, spec.git.credentials_ref, spec.git.url, jenkins=False)


async def _project_file(world: World, namespace: str, project: str) -> ProjectFileStatus | None:
    settings = await world.kubernetes.get(JENKINS_SETTINGS, namespace, project)
    found = ((settings or {}).get("status") or {}).get("projectFile")
    return ProjectFileStatus.model_validate(found) if found else None


def _place(world: World, record: Record, project: str, spec: DevOpsProjectSpec, *, preview: bool) -> Place:
    if not preview:
        return production_place(world.settings, record.namespace, project, spec.argo.destination)
    if spec.argo.destination.server != IN_CLUSTER:
        raise ValidationError("previews on remote clusters are not supported: deploy to production, or to this cluster")
    target = destination_namespace(project, record.spec.environment)
    if target == destination_namespace(project, PRODUCTION, spec.argo.destination.namespace):
        raise _is_productions(record, f"namespace {target}", "argo.destination.namespace")
    return preview_place(world.settings, record.namespace, project, target)


def _route(world: World, record: Record, project: str, spec: DevOpsProjectSpec, *, preview: bool) -> Route:
    block = spec.ingress
    if not preview:
        return route(world.settings, record.namespace, project, block, block.host)
    template = spec.previews.host or default_preview_template(block.host, block.zone)
    try:
        host = preview_host(template, project, record.spec.environment)
    except ValueError as error:
        raise ValidationError(str(error)) from error
    if host.lower() == block.host.lower():
        raise _is_productions(record, f"host {host}", "ingress.host or previews.host")
    found = route(world.settings, record.namespace, project, block.model_copy(update={"zone": None}), host)
    tls = spec.previews.tls_secret_ref
    return Route(**{**found.__dict__, "tls_secret": tls.name if tls else None})


def _is_productions(record: Record, what: str, field: str) -> ValidationError:
    """A preview is removed with all that it has, so it never gets what production has."""
    environment = record.spec.environment
    return ValidationError(
        f"{what} is production's, so preview {environment!r} may not have it; give the preview another name, change "
        f"{field}, or deploy to environment {PRODUCTION!r} if that was meant"
    )


async def _secrets(
    world: World, namespace: str, project: str, spec: DevOpsProjectSpec, place: Place, *, preview: bool
) -> tuple[SecretCopy | AbsentSecret, ...]:
    if not place.local:
        return ()
    wanted: list[tuple[SecretRef, bool]] = []
    if spec.registry.pull_secret_ref is not None:
        wanted.append((spec.registry.pull_secret_ref, True))
    if preview and spec.previews.tls_secret_ref is not None:
        wanted.append((spec.previews.tls_secret_ref, False))
    copies: list[SecretCopy | AbsentSecret] = []
    for ref, pull in wanted:
        try:
            found = await (pull_secret if pull else project_secret)(world, namespace, ref)
        except SecretNotFoundError as error:
            copies.append(AbsentSecret(ref.name, error))
            continue
        copies.append(
            SecretCopy(
                namespace=place.namespace,
                name=ref.name,
                home=None if preview else namespace,
                project=project,
                type=found.get("type", "Opaque"),
                version=f"{found['metadata']['uid']}/{found['metadata']['resourceVersion']}",
                pull=pull,
                data=found.get("data") or {},
            )
        )
    return tuple(copies)


def _rollback_target(record: Record, rivals: Sequence[dict[str, Any]], holder: str | None) -> RollbackTarget | None:
    wanted = record.spec.rollback_to
    if wanted is None:
        return None
    begun = _begun(record, wanted)
    if begun is not None:
        return begun
    if wanted == LAST_HEALTHY:
        target = _last_healthy(record, rivals, holder)
    else:
        by_name = next((r for r in rivals if r["metadata"]["name"] == wanted), None)
        if by_name is None:
            raise ValidationError(f"rollbackTo: there is no DeploymentRecord {wanted} of this project; name another")
        target = by_name
    status = target.get("status") or {}
    if not status.get("commit") or not status.get("image"):
        raise ValidationError(f"rollbackTo: {target['metadata']['name']} never came to an image; name another record")
    ledger = Ledger.load(status.get("applied") or [])
    gone = (entry for entry in reversed(ledger.entries) if entry.step == "release")  # with a preview that has expired
    release = ledger.current("release") or next(gone, None)
    path = release.value.get("path") if release is not None else None
    return RollbackTarget(target["metadata"]["name"], status["commit"], status["image"], path)


def _begun(record: Record, wanted: str) -> RollbackTarget | None:
    """What a rollback has begun with, once it has reached for its environment.

    Who ran there before is not told any more, and the record that it goes back to may be deleted meanwhile.
    """
    ledger = Ledger.load(record.status.applied)
    revision, image, claim = (ledger.begun(step) for step in ("revision", "image", "claim"))
    if revision is None or image is None or claim is None:
        return None
    pinned = f"{image.value['form']}@{image.value['image_digest']}"
    return RollbackTarget(wanted, revision.value["revision"], pinned, claim.value.get("path"))


def _last_healthy(record: Record, rivals: Sequence[dict[str, Any]], holder: str | None) -> dict[str, Any]:
    """The newest healthy deployment besides the holder's, which is what runs now, healthy or not.

    Not one that has expired: its image may be gone already, or be about to go.

    Newest by the order in which they came, which is that of their turns: when each has ended is told by the clock of
    the replica that acted then. Where nobody holds the environment, the last that has held it is what runs.
    """
    held = sorted((r for r in rivals if _has_held(r, record)), key=lambda r: order_of(r["metadata"]))
    if holder in (None, record.name):
        held = held[:-1]
    healthy = [r for r in held if stands(r) and r["metadata"]["name"] != holder]
    if not healthy:
        raise ValidationError("rollbackTo lastHealthy: there is no earlier healthy deployment of this environment")
    return healthy[-1]


def _has_held(obj: dict[str, Any], record: Record) -> bool:
    """Whether another record of our environment has held it."""
    same = (obj.get("spec") or {}).get("environment", PRODUCTION) == record.spec.environment
    steps = (obj.get("status") or {}).get("steps") or ()
    claimed = any(step["name"] == "claim" and step.get("state") == StepState.SUCCEEDED for step in steps)
    return same and claimed and obj["metadata"]["name"] != record.name


def policies_of(spec: DevOpsProjectSpec, *, preview: bool) -> dict[str, EffectivePolicy]:
    """By component. What a preview makes is always removed with it, whatever the project's own things do."""
    found = {c.value: effective(spec, spec.components, c) for c in ComponentName}
    if preview:
        found = {
            name: EffectivePolicy(policy.management, DeletionPolicy.DELETE, policy.adoption, policy.drift)
            for name, policy in found.items()
        }
    return found
