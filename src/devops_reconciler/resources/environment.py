"""Who holds an environment: the one record that may act on its application, namespace, Ingress, DNS record and image.

Kept in `DevOpsProject.status.environments` and switched under resourceVersion, so that of two records that reach for it
one loses and looks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from ..api.blocks import IN_CLUSTER
from ..api.conditions import Reason
from ..api.deployment_record import LAST_HEALTHY, PRODUCTION
from ..api.errors import ConflictError, Waiting
from ..api.names import destination_namespace
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from .believing import not_credible
from .marks import PROJECT_LABEL, order_of
from .polling import SHORTEST
from .world import ExternalResource, World

MANIFESTS = ("repoURL", "path")
"""Where the manifests of an environment are, which its entry may not say."""


class EnvironmentClaim(ExternalResource):
    """`<environment>` of project `<project>`, held by `<record>` with what it runs there."""

    service: ClassVar[str] = "kubernetes"
    owned_by_mark: ClassVar[bool] = False

    namespace: str
    project: str
    environment: str
    record: str
    commit: str
    image: str
    image_digest: str
    repo_url: str | None = None
    path: str | None = None
    """Repository and folder of the manifests, where they go with the commit."""
    url: str | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.project}/{self.environment}#{self.record}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        project = await world.kubernetes.get(DEVOPS_PROJECT, self.namespace, self.project)
        held = find(project, self.environment)
        if held is None or held.get("holder") != self.record:
            return ABSENT
        # What the CRD of before does not know is not kept: that is no drift.
        wanted = {name: value for name, value in self._entry().items() if name in held or name not in MANIFESTS}
        drift = tuple(name for name, value in wanted.items() if held.get(name) != value)
        return Observation(exists=True, drift=drift, facts={"holder": self.record})

    def _entry(self) -> dict[str, Any]:
        entry = {
            "name": self.environment,
            "holder": self.record,
            "commit": self.commit,
            "digest": self.image_digest,
            "image": self.image,
            "repoURL": self.repo_url,
            "path": self.path,
            "url": self.url,
            "expiresAt": self.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ") if self.expires_at else None,
        }
        return {name: value for name, value in entry.items() if value is not None}

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await self._switch(world, self._entry(), taking=True)

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await self._switch(world, self._entry())

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await self._switch(world, None)

    async def _switch(self, world: World, entry: dict[str, Any] | None, *, taking: bool = False) -> None:
        """Write our entry, or take it out. Unless it is `taking`, only while we hold the environment."""
        project = await world.kubernetes.get(DEVOPS_PROJECT, self.namespace, self.project)
        if project is None:
            if entry is None:
                return
            raise Waiting(
                f"DevOpsProject {self.project} is not there", after=SHORTEST * 20, reason=Reason.PROJECT_NOT_FOUND
            )
        if not taking and (find(project, self.environment) or {}).get("holder") != self.record:
            return  # another record has taken it since it was looked at
        there = list((project.get("status") or {}).get("environments") or [])
        rest = [item for item in there if item.get("name") != self.environment]
        changed = rest if entry is None else [*rest, entry]
        try:
            await world.kubernetes.patch_status(
                DEVOPS_PROJECT,
                self.namespace,
                self.project,
                {"environments": changed},
                resource_version=project["metadata"]["resourceVersion"],
            )
        except ConflictError as error:
            raise Waiting(
                f"DevOpsProject {self.project} changed meanwhile; its environments are written again", after=SHORTEST
            ) from error


def find(project: dict[str, Any] | None, environment: str) -> dict[str, Any] | None:
    """The entry of an environment in a project's status."""
    for item in ((project or {}).get("status") or {}).get("environments") or []:
        if item.get("name") == environment:
            return dict(item)
    return None


def production_namespace(project: Mapping[str, Any]) -> str | None:
    """Where production runs, by the spec as the API server has it; None in another cluster."""
    destination = ((project.get("spec") or {}).get("argo") or {}).get("destination") or {}
    if destination.get("server", IN_CLUSTER) != IN_CLUSTER:
        return None
    return destination_namespace(project["metadata"]["name"], PRODUCTION, destination.get("namespace"))


@dataclass(frozen=True)
class Running:
    """An image, `<repository>@<digest>`, that Kubernetes may be running in an environment, or is soon to run there."""

    environment: str
    image: str
    record: str
    """The deployment that has put it there, or is to."""
    own: bool
    """The deployment is known to have built it: the image has a tag of its own, besides those of other builds."""


async def running(world: World, namespace: str, project: dict[str, Any]) -> list[Running]:
    """The images that the environments of a project may be running: what the holder of each has put there, and what
    was last healthy in it. A deployment that fails takes nothing down, so that one runs on. With them, what rollbacks
    that have not ended go back to.

    Raises ExternalServiceError for a list without a holder who is there: it may lack others.
    """
    labels = f"{PROJECT_LABEL}={project['metadata']['name']}"
    records = {
        record["metadata"]["name"]: record
        for record in await world.kubernetes.list(DEPLOYMENT_RECORD, namespace, labels=labels)
    }
    environments = {str(held["name"]): held for held in (project.get("status") or {}).get("environments") or ()}
    found = []
    for environment, held in environments.items():
        holder = str(held.get("holder"))
        record = records.get(holder) or await _unlisted(world, namespace, holder)
        found.append(Running(environment, f"{held.get('image')}@{held.get('digest')}", holder, _has_built(record)))
    for environment in {PRODUCTION, *environments}:  # production is never given up, whatever the status has forgotten
        healthy = last_healthy(records.values(), environment)
        if healthy is not None and healthy["status"].get("image"):
            image, name = str(healthy["status"]["image"]), healthy["metadata"]["name"]
            found.append(Running(environment, image, name, _has_built(healthy)))
    for back, target in targets_of_rollbacks(list(records.values())):
        if (target.get("status") or {}).get("image"):
            environment, name = _environment_of(back), back["metadata"]["name"]
            found.append(Running(environment, str(target["status"]["image"]), name, own=False))
    return found


async def _unlisted(world: World, namespace: str, holder: str) -> dict[str, Any] | None:
    record = await world.kubernetes.get(DEPLOYMENT_RECORD, namespace, holder)
    if record is not None and PROJECT_LABEL in (record["metadata"].get("labels") or {}):
        raise not_credible(f"the list of deployments lacks {holder}")
    return record


def _has_built(record: dict[str, Any] | None) -> bool:
    return record is not None and not (record.get("spec") or {}).get("rollbackTo")


def last_healthy(records: Iterable[dict[str, Any]], environment: str) -> dict[str, Any] | None:
    """The record of an environment that was the last one to succeed in it, and has not expired."""
    return next(iter(_healthy(records, environment)), None)


def _healthy(records: Iterable[dict[str, Any]], environment: str) -> list[dict[str, Any]]:
    """Those of an environment that have succeeded in it and have not expired, the last one first.

    They have their turns in the order in which they came; when each has ended is told by the clock of who acted then.
    """
    mine = [r for r in records if _environment_of(r) == environment and stands(r)]
    return sorted(mine, key=lambda record: order_of(record["metadata"]), reverse=True)


def targets_of_rollbacks(records: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each rollback that has not ended, with each record that it may go back to.

    What `lastHealthy` means is not known before its turn: the last healthy one, or the one before where that holds the
    environment by then.
    """
    found = []
    for record in records:
        wanted = (record.get("spec") or {}).get("rollbackTo")
        if wanted is None or "Finished" in true_conditions(record):
            continue
        if wanted == LAST_HEALTHY:
            targets = _healthy(records, _environment_of(record))[:2]
        else:
            targets = [each for each in records if each["metadata"]["name"] == wanted]
        found += [(record, target) for target in targets]
    return found


def stands(record: dict[str, Any]) -> bool:
    """Whether what it deployed must be there: it has succeeded, and has not expired."""
    true = true_conditions(record)
    return true.get("Finished") == Reason.SUCCEEDED and "Expired" not in true


def _environment_of(record: dict[str, Any]) -> str:
    return str((record.get("spec") or {}).get("environment", PRODUCTION))


def true_conditions(record: dict[str, Any]) -> dict[str, str]:
    """The conditions that are True, with the reason of each."""
    conditions = (record.get("status") or {}).get("conditions") or ()
    return {c["type"]: c["reason"] for c in conditions if c["status"] == "True"}
