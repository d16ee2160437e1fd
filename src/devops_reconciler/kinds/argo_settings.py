"""ArgoSettings: repository, project and main application in Argo CD."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..api.argo_settings import ArgoSettingsSpec, ArgoSettingsStatus
from ..api.base import Mode, effective
from ..api.blocks import IN_CLUSTER
from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.errors import Waiting
from ..api.names import application_name
from ..api.policies import ComponentName
from ..api.references import SecretRef
from ..engine.conditions import CREDENTIALS_READY, Conditions
from ..engine.outcome import Outcome
from ..engine.pipeline import Step
from ..inputs.blocks import (
    ImageRepository,
    Place,
    Source,
    image_repository,
    preview_namespaces,
    production_place,
    source,
)
from ..inputs.logins import Login, git_login
from ..inputs.plan import Plan
from ..inputs.project_file import read_project_file
from ..inputs.subject import Subject, controller
from ..resources.argo_application import ArgoApplication
from ..resources.argo_memory import OPERATORS
from ..resources.argo_project import ArgoProject
from ..resources.argo_release import ArgoRelease
from ..resources.argo_repository import ArgoRepository
from ..resources.environment import find
from ..resources.namespace import DestinationNamespace
from ..resources.world import World
from ..services.git import check_url
from ..services.kubernetes import DEVOPS_PROJECT, JENKINS_SETTINGS
from .step_conditions import step_condition

Argo = Subject[ArgoSettingsSpec, ArgoSettingsStatus]

REPOSITORY_STEP = "repository"


async def plan(world: World, subject: Argo) -> Plan:
    """Steps of one ArgoSettings. Raises Waiting until `.freeleaps.yaml` has been read where the path depends on it."""
    spec, name = subject.spec, subject.name
    check_url(spec.git.url, world.settings.git_allowed_hosts)
    image = image_repository(world.settings, subject.namespace, name, spec.registry.namespace, spec.registry.repository)
    place = production_place(world.settings, subject.namespace, name, spec.destination)
    path = None if spec.source.path else await _path_of_project_file(world, subject)
    wanted = source(spec, name, spec.git.url, spec.git.branch, path)
    check_url(wanted.repo_url, world.settings.git_allowed_hosts)
    ref = spec.git.credentials_ref if wanted.pinned else None
    login = await git_login(world, subject.namespace, ref, wanted.repo_url, jenkins=False)
    repository = ArgoRepository(
        url=wanted.repo_url,
        username=login.username if login else "",
        password=login.password if login else "",
        password_version=login.version if login else "",
        secret=None if login is None else ref.name if ref is not None else OPERATORS,
        user=f"{subject.namespace}/{name}",
    )
    owner = await _owner(world, subject)
    project = ArgoProject(
        name=wanted.project,
        source_repos=_repositories(wanted, owner),
        destinations=_destinations(place, preview_namespaces(world.settings, subject.namespace, name)),
    )
    application = _application(subject, wanted, place, image, find(owner, PRODUCTION))
    policy = effective(spec, None, ComponentName.ARGO)
    url = f"{world.settings.argocd_endpoint}/applications/{world.settings.argocd_namespace}/{application.name}"

    def fields(outcome: Outcome) -> dict[str, Any]:
        return {"application": application.name, "url": url}

    steps = (
        Step(REPOSITORY_STEP, lambda facts: repository, policy),
        Step("project", lambda facts: project, policy),
        Step("application", lambda facts: application, policy),
    )

    def conditions(into: Conditions, outcome: Outcome) -> None:
        _say_credentials(into, outcome, login, ref)

    return Plan(steps, fields, conditions)


def _say_credentials(into: Conditions, outcome: Outcome, login: Login | None, ref: SecretRef | None) -> None:
    """`CredentialsReady`: Argo CD reads the repository with its login, as it found when it last tried.

    Told for a Secret of the project; for the operator's own login only where it is not so.
    """
    kind = CREDENTIALS_READY
    (result,) = (each for each in outcome.results if each.step == REPOSITORY_STEP)
    unreadable = result.seen.message if result.seen is not None else ""
    if login is None or (ref is None and not unreadable):
        into.drop(kind)
    elif result.done and unreadable:
        text = f"Argo CD has the login (version {login.version}), and cannot read the repository with it: {unreadable}"
        into.put(kind, "False", Reason.REPOSITORY_UNREADABLE, text)
    else:
        step_condition(into, kind, outcome, (REPOSITORY_STEP,))
        found = into.get(kind)
        if ref is not None and found is not None and found.status == "True":
            text = f"Argo CD reads the repository with {ref.name} (version {login.version})"
            into.put(kind, "True", Reason.SUCCEEDED, text)


def _destinations(place: Place, previews: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Production's namespace, and those of previews, which are always in this cluster."""
    return tuple(sorted({(place.server, place.namespace), *((IN_CLUSTER, pattern) for pattern in previews)}))


async def _path_of_project_file(world: World, subject: Argo) -> str | None:
    """`argo.path` of `.freeleaps.yaml`, as JenkinsSettings of the same name has read it."""
    if controller(subject.obj) is None:
        return None
    if subject.spec.mode is Mode.PLAN:
        # JenkinsSettings, which keeps what the file says, may not be there yet and is not written now.
        return (await read_project_file(world, subject.namespace, subject.spec.git, None)).argo.path
    sibling = await world.kubernetes.get(JENKINS_SETTINGS, subject.namespace, subject.name)
    file = ((sibling or {}).get("status") or {}).get("projectFile")
    if file is None:
        raise Waiting(
            f"waits for JenkinsSettings {subject.name} to read .freeleaps.yaml; set argo.source.path to go without",
            after=timedelta(seconds=5),
            reason=Reason.DEPENDENCY_NOT_READY,
        )
    path = (file.get("argo") or {}).get("path")
    return str(path) if path else None


async def _owner(world: World, subject: Argo) -> dict[str, Any] | None:
    """The DevOpsProject that it belongs to, where it does to any."""
    if controller(subject.obj) is None:
        return None
    return await world.kubernetes.get(DEVOPS_PROJECT, subject.namespace, subject.name)


def _repositories(wanted: Source, owner: dict[str, Any] | None) -> tuple[str, ...]:
    """That of the spec, and those that the environments were deployed from and may be made again from."""
    environments = ((owner or {}).get("status") or {}).get("environments") or ()
    deployed = [str(each["repoURL"]) for each in environments if each.get("repoURL")]
    return tuple(dict.fromkeys((wanted.repo_url, *(deployed if wanted.pinned else ()))))


def _application(
    subject: Argo, wanted: Source, place: Place, image: ImageRepository, held: dict[str, Any] | None
) -> ArgoApplication:
    release: dict[str, Any] = {}
    pin, enters = None, None
    if place.local:
        enters = DestinationNamespace(name=place.namespace, project=subject.name, environment=PRODUCTION)
    if held is not None:
        # Made again as it was: the image that runs may be of another repository than the spec names since.
        runs = str(held.get("image") or image.form)
        pin = release_of(application_name(subject.name), wanted, f"{runs}@{held['digest']}", held)
        release = {"source": pin.source_patch({}), "syncPolicy": pin.sync_policy}
    return ArgoApplication(
        name=application_name(subject.name),
        project=wanted.project,
        devops_project=subject.name,
        environment=PRODUCTION,
        repo_url=wanted.repo_url,
        path=wanted.path,
        target_revision=wanted.target_revision,
        server=place.server,
        namespace=place.namespace,
        release=release,
        pin=pin,
        released=held is not None and wanted.pinned,
        enters=enters,
    )


def release_of(application: str, wanted: Source, image: str, held: dict[str, Any]) -> ArgoRelease:
    """What the deployment that holds production has set in the application."""
    return ArgoRelease(
        name=application,
        project=wanted.project,
        kind=wanted.kind,
        image=image,
        image_name=wanted.name_of(image),
        image_parameter=wanted.image_parameter,
        digest_parameter=wanted.digest_parameter,
        target_revision=str(held["commit"]) if wanted.pinned else None,
        repo_url=held.get("repoURL") if wanted.pinned else None,
        path=held.get("path") if wanted.pinned else None,
        auto_sync=wanted.auto_sync,
    )
