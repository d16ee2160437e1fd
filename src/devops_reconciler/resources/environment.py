"""Who holds an environment: the one record that may act on its application, namespace, Ingress, DNS record and image.

Kept in `DevOpsProject.status.environments` and switched under resourceVersion, so that of two records that reach for it
one loses and looks again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from ..api.conditions import Reason
from ..api.errors import ConflictError, Waiting
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import DEVOPS_PROJECT
from .polling import SHORTEST
from .world import ExternalResource, World


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
        drift = tuple(name for name, value in self._entry().items() if held.get(name) != value)
        return Observation(exists=True, drift=drift, facts={"holder": self.record})

    def _entry(self) -> dict[str, Any]:
        entry = {
            "name": self.environment,
            "holder": self.record,
            "commit": self.commit,
            "digest": self.image_digest,
            "image": self.image,
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
