"""A Secret of the project, copied to where the application runs: to pull images, or for TLS.

Projects of one watched namespace that run in one destination share the copy of a Secret: it has the name of the Secret,
so there is but one that it can be a copy of. It has the mark of one of them; the last one takes it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from ..api.deployment_record import PRODUCTION
from ..api.errors import ConflictError, Waiting
from ..api.names import mark_for
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import DEVOPS_PROJECT, SECRET, SERVICE_ACCOUNT
from .believing import not_credible
from .environment import find, production_namespace
from .marks import ANNOTATION, PROJECT_LABEL, mark_of, of_one_installation
from .polling import SHORTEST
from .world import ExternalResource, World

VERSION_ANNOTATION = "freeleaps.com/source-version"
TYPE = "type"
HEIR = "heir"
"""The fact of a look before removal: mark and name of the project that goes on with it."""


class SecretCopy(ExternalResource):
    """Secret `<name>` in `<namespace>`; with `pull`, also an imagePullSecret of its default ServiceAccount."""

    service: ClassVar[str] = "kubernetes"

    namespace: str
    name: str
    project: str
    type: str
    version: str
    """UID and resourceVersion of the source."""
    pull: bool
    home: str | None = None
    """The watched namespace of the source. None where nobody shares the copy: in the namespace of a preview, and where
    it was made before any was shared."""
    data: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.kubernetes.get(SECRET, self.namespace, self.name)
        if found is None:
            return ABSENT
        seen = await self._as_it_is(world, found)
        return replace(seen, owner=me) if await self._is_shared(world, me, found) else seen

    async def _as_it_is(self, world: World, found: Mapping[str, Any]) -> Observation:
        annotations = found["metadata"].get("annotations") or {}
        drift = [] if annotations.get(VERSION_ANNOTATION) == self.version else ["data"]
        if found.get("type") != self.type:
            drift.append(TYPE)
        if self.pull and not await self._is_used(world):
            drift.append("imagePullSecrets")
        return Observation(
            exists=True,
            owner=mark_of(annotations),
            drift=tuple(drift),
            deleting=bool(found["metadata"].get("deletionTimestamp")),
            external_id=found["metadata"]["uid"],
        )

    async def _is_shared(self, world: World, me: str, found: Mapping[str, Any]) -> bool:
        """Whether it is a copy of our Secret with the mark of another project, which may be gone.

        It says what it was copied from. Where that was made again since, whose the mark is tells it.
        """
        annotations = found["metadata"].get("annotations") or {}
        owner = mark_of(annotations)
        if self.home is None or owner in (None, me) or not of_one_installation(me, str(owner)):
            return False
        if _source(annotations.get(VERSION_ANNOTATION, "")) == _source(self.version):
            return True
        return any(each.mark == owner for each in await _users(world, self.home))

    async def _is_used(self, world: World) -> bool:
        account = await world.kubernetes.get(SERVICE_ACCOUNT, self.namespace, "default")
        return account is not None and self.name in _names(account)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        annotations = {ANNOTATION: me, VERSION_ANNOTATION: self.version}
        metadata = {"name": self.name, "labels": {PROJECT_LABEL: self.project}, "annotations": annotations}
        secret = {"metadata": metadata, "type": self.type, "data": self.data}
        await world.kubernetes.apply(SECRET, self.namespace, secret)
        if self.pull:
            await self._use(world)

    async def update(self, world: World, me: str, seen: Observation) -> None:
        """A type never changes: a copy of ours of another one goes, and is made anew when it does not show any more."""
        if TYPE in seen.drift and seen.owner == me:
            await world.kubernetes.delete(SECRET, self.namespace, self.name, uid=seen.external_id)
        else:
            await self.create(world, me, seen)

    async def _use(self, world: World) -> None:
        """Add it to the default ServiceAccount, which Kubernetes makes a moment after the namespace."""
        account = await world.kubernetes.get(SERVICE_ACCOUNT, self.namespace, "default")
        if account is not None and self.name not in _names(account):
            await self._set_names(world, account, (*_names(account), self.name))

    async def _set_names(self, world: World, account: dict[str, Any], names: tuple[str, ...]) -> None:
        patch: dict[str, Any] = {
            "metadata": {"resourceVersion": account["metadata"]["resourceVersion"]},
            "imagePullSecrets": [{"name": name} for name in names],
        }
        try:
            await world.kubernetes.merge_patch(SERVICE_ACCOUNT, self.namespace, "default", patch)
        except ConflictError as error:
            text = f"ServiceAccount {self.namespace}/default changed meanwhile; {self.name} is looked for in it again"
            raise Waiting(text, after=SHORTEST) from error

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        # A name that is left behind is a warning at each Pod that is started there.
        if self.pull:
            account = await world.kubernetes.get(SERVICE_ACCOUNT, self.namespace, "default")
            if account is not None and self.name in _names(account):
                await self._set_names(world, account, tuple(name for name in _names(account) if name != self.name))
        await world.kubernetes.delete(SECRET, self.namespace, self.name, uid=seen.external_id)


class SecretCopyRemoval(SecretCopy):
    """The same copy, looked at for its removal: it stays for others who use it, with the mark of one of them."""

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.kubernetes.get(SECRET, self.namespace, self.name)
        if found is None:
            return ABSENT
        seen = await self._as_it_is(world, found)
        if seen.owner != me and not await self._is_shared(world, me, found):
            return seen
        heirs = [] if self.home is None else await self._heirs(world, me, self.home)
        holder = next((each for each in heirs if each.mark == seen.owner), None)
        if holder is not None:
            return replace(seen, owner=me, wanted_by=f"DevOpsProject {holder.name}")
        facts = {HEIR: [heirs[0].mark, heirs[0].name]} if heirs else {}
        return replace(seen, owner=me, facts=facts)

    async def _heirs(self, world: World, me: str, home: str) -> list[_User]:
        """The other projects whose production uses it.

        Raises ExternalServiceError for a list without our own project, which is there: it may lack others. Another one
        may have its name by now.
        """
        users = await _users(world, home)
        listed = any(each.mark == me for each in users)
        there = None if listed else await world.kubernetes.get(DEVOPS_PROJECT, home, self.project)
        if there is not None and mark_for(world.cluster_id, there) == me:
            raise not_credible(f"the list of DevOpsProjects lacks {home}/{self.project}")
        return [each for each in users if each.mark != me and each.pulls_with == (self.namespace, self.name)]

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        """Where others go on with it, it gets the mark of one of them instead."""
        heir = seen.facts.get(HEIR)
        if heir is None:
            await super().delete(world, me, seen)
            return
        found = await world.kubernetes.get(SECRET, self.namespace, self.name)
        if found is not None and found["metadata"]["uid"] == seen.external_id:
            annotations, (mark, project) = found["metadata"].get("annotations") or {}, heir
            version, data = annotations.get(VERSION_ANNOTATION, ""), found.get("data") or {}
            fields = {"project": project, "type": found.get("type"), "version": version, "data": data}
            await self.model_copy(update=fields).create(world, mark, seen)


@dataclass(frozen=True, slots=True)
class _User:
    """A project. `pulls_with`: namespace and name of the copy that its production pulls with, by its spec."""

    mark: str
    name: str
    pulls_with: tuple[str | None, str | None] | None


async def _users(world: World, home: str) -> Sequence[_User]:
    return await world.kubernetes.kept(DEVOPS_PROJECT, home, partial(_user, world))


def _user(world: World, obj: dict[str, Any]) -> _User:
    metadata, registry = obj["metadata"], (obj.get("spec") or {}).get("registry") or {}
    runs = find(obj, PRODUCTION) is not None and not metadata.get("deletionTimestamp")
    pulls_with = production_namespace(obj), (registry.get("pullSecretRef") or {}).get("name")
    return _User(mark_for(world.cluster_id, obj), metadata["name"], pulls_with if runs else None)


def _source(version: str) -> str:
    """The UID of the Secret that was copied."""
    return version.partition("/")[0]


def _names(account: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item["name"] for item in account.get("imagePullSecrets") or () if "name" in item)
