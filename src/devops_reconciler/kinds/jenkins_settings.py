"""JenkinsSettings: folder, credentials, job; and the poll of `.freeleaps.yaml`."""

from __future__ import annotations

from typing import Any

from ..api.base import EffectivePolicy, effective
from ..api.conditions import Reason
from ..api.jenkins_settings import JenkinsSettingsSpec, JenkinsSettingsStatus, ProjectFileStatus
from ..api.policies import ComponentName
from ..engine.conditions import CREDENTIALS_READY, Conditions
from ..engine.ledger import Ledger
from ..engine.outcome import Facts, Outcome
from ..engine.pipeline import Step
from ..inputs.logins import Login, git_login, push_login
from ..inputs.plan import Plan
from ..inputs.project_file import read_project_file
from ..inputs.push_check import PushCheck, check_push
from ..inputs.subject import REQUESTED_ANNOTATION, Subject
from ..resources.jenkins_credentials import JenkinsCredentials
from ..resources.jenkins_folder import JenkinsFolder
from ..resources.jenkins_job import JenkinsJob
from ..resources.world import ExternalResource, World
from ..services.git import check_url
from .step_conditions import step_condition

Jenkins = Subject[JenkinsSettingsSpec, JenkinsSettingsStatus]

FOLDER_STEP = "folder"
GIT_CREDENTIALS = "git"
REGISTRY_CREDENTIALS = "registry"
DEFAULT_SCRIPT = "Jenkinsfile"


async def poll_project_config(world: World, subject: Jenkins, login: Login | None) -> ProjectFileStatus | None:
    """The project's own configuration file, looked for once per `POLL_INTERVAL`; what was found last in between.

    A new `login` of the project is tried out by this at once, before Jenkins has it.
    """
    known, git = subject.status.project_file, subject.spec.git
    # With the commit: a branch that is left and come back to finds another branch's file in the status.
    key = f"{subject.uid} {git.url} {git.branch} {known and known.commit}"
    requested = subject.annotations.get(REQUESTED_ANNOTATION) != subject.status.last_handled_reconcile_at
    new_login = git.credentials_ref is not None and login is not None and _held(subject) not in (None, login.version)
    if known is not None and not requested and not new_login and not world.project_files.due(key):
        return known
    own = login if git.credentials_ref is not None else None  # the operator's account at Jenkins is another one
    found = await read_project_file(world, subject.namespace, git, known, own)
    if found == known:  # what is new is found again until the status has it: a pass that only acts saves no fields
        world.project_files.forget(f"{subject.uid} ")
        world.project_files.done(key)
    return found


def _held(subject: Jenkins) -> str | None:
    """The version of the Git login that Jenkins has."""
    entry = Ledger.load(subject.status.applied).current("git-credentials")
    return None if entry is None else str(entry.value.get("password_version"))


async def plan(world: World, subject: Jenkins) -> Plan:
    """Steps of one JenkinsSettings. Raises Refused for a repository or Secret that cannot be used."""
    spec = subject.spec
    check_url(spec.git.url, world.settings.git_allowed_hosts)
    git = await git_login(world, subject.namespace, spec.git.credentials_ref, spec.git.url, jenkins=True)
    file = await poll_project_config(world, subject, git)
    push = await push_login(world, subject.namespace, spec.registry.credentials_ref)
    checked = await check_push(world, spec.registry.credentials_ref, push)
    folder = spec.folder or subject.name
    policy = effective(spec, None, ComponentName.JENKINS)
    job = JenkinsJob(
        folder=folder,
        name=subject.name,
        git_url=spec.git.url,
        credentials_id=GIT_CREDENTIALS if git else None,
        script_path=spec.script_path or (file and file.jenkins.script_path) or DEFAULT_SCRIPT,
        parameters=parameters_of(spec, file),
    )
    steps = (
        _step(FOLDER_STEP, JenkinsFolder(folder=folder), policy, within=None),
        _step("git-credentials", _credentials(folder, GIT_CREDENTIALS, git), policy),
        _step("registry-credentials", _credentials(folder, REGISTRY_CREDENTIALS, push), policy),
        _step("job", job, policy),
    )
    url = f"{world.settings.jenkins_endpoint}/job/{folder}/job/{subject.name}/"

    def fields(outcome: Outcome) -> dict[str, Any]:
        dumped = file.model_dump(mode="json", by_alias=True, exclude_none=True) if file else None
        return {"projectFile": dumped, "url": url}

    def conditions(into: Conditions, outcome: Outcome) -> None:
        _say_credentials(into, outcome, spec, git, checked)

    return Plan(steps, fields, conditions)


def _say_credentials(
    into: Conditions, outcome: Outcome, spec: JenkinsSettingsSpec, git: Login | None, push: PushCheck | None
) -> None:
    """`CredentialsReady`: the logins of the project's own Secrets are good, and Jenkins has them."""
    kind, refs = CREDENTIALS_READY, (spec.git.credentials_ref, spec.registry.credentials_ref)
    if refs == (None, None):
        into.drop(kind)
        return
    step_condition(into, kind, outcome, ("git-credentials", "registry-credentials"))
    found = into.get(kind)
    if push is not None and push.refusal is not None:
        into.put(kind, "False", Reason.CREDENTIALS_INVALID, push.refusal)
    elif found is not None and found.status == "True":
        said = [f"Git takes {refs[0].name} (version {git.version})"] if refs[0] and git else []
        said += [f"the registry takes {refs[1].name} (version {push.version})"] if refs[1] and push else []
        into.put(kind, "True", Reason.SUCCEEDED, f"Jenkins has the logins: {', '.join(said) or 'not tried yet'}")


def parameters_of(spec: JenkinsSettingsSpec, file: ProjectFileStatus | None) -> dict[str, str]:
    """The project's own build parameters: the spec's, else those of `.freeleaps.yaml`."""
    if spec.parameters is not None:
        return dict(spec.parameters)
    return dict(file.jenkins.parameters or {}) if file else {}


def _credentials(folder: str, name: str, login: Login | None) -> JenkinsCredentials | None:
    if login is None:
        return None
    return JenkinsCredentials(
        folder=folder,
        name=name,
        username=login.username,
        password=login.password,
        password_version=login.version,
    )


def _step(
    name: str, resource: ExternalResource | None, policy: EffectivePolicy, within: str | None = FOLDER_STEP
) -> Step[World]:
    def build(facts: Facts) -> ExternalResource | None:
        return resource

    return Step(name, build, policy, within=within)
