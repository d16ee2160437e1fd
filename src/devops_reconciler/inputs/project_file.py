"""`.freeleaps.yaml` at the head of the branch: read every `POLL_INTERVAL`, kept in the status of JenkinsSettings."""

from __future__ import annotations

from datetime import datetime

from ..api.conditions import Reason
from ..api.errors import ValidationError
from ..api.git import GitSpec
from ..api.jenkins_settings import ProjectFileStatus
from ..api.project_file import FILE, parse_project_file
from ..resources.world import World
from ..services.git import GitCredentials
from .logins import Login, git_login


async def read_project_file(
    world: World, namespace: str, git: GitSpec, known: ProjectFileStatus | None, own: Login | None = None
) -> ProjectFileStatus:
    """What the file says now; `known` unchanged while the branch has not moved.

    `own` is the login of the project's Secret, where that has been read already.

    Raises Refused when the repository or the branch cannot be read, ValidationError when the file is not usable.
    """
    login = own or await git_login(world, namespace, git.credentials_ref, git.url, jenkins=False)
    credentials = GitCredentials(login.username, login.password.get_secret_value(), ours=login.ours) if login else None
    commit = await world.git.resolve(git.url, git.branch, credentials)
    if commit is None:
        text = f"{git.url} has no branch {git.branch!r}; push it, or set git.branch"
        raise ValidationError(text, reason=Reason.REVISION_NOT_FOUND)
    if known is not None and known.commit == commit:
        return known
    body = await world.git.read_file(git.url, commit, FILE, credentials)
    return _status(body, commit, world.clock.now(), git)


def _status(body: bytes | None, commit: str, now: datetime, git: GitSpec) -> ProjectFileStatus:
    if body is None:
        return ProjectFileStatus(commit=commit, found=False, read_at=now)
    content = parse_project_file(body, f"{FILE} of {git.url} at {commit[:12]}")
    return ProjectFileStatus(commit=commit, found=True, read_at=now, jenkins=content.jenkins, argo=content.argo)
