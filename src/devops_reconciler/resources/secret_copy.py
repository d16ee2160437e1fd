"""A Secret of the project, copied to where the application runs: to pull images, or for TLS."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..api.errors import ConflictError, Waiting
from ..engine.resource import ABSENT, Intent, Observation
from ..services.kubernetes import SECRET, SERVICE_ACCOUNT
from .marks import ANNOTATION, PROJECT_LABEL, mark_of
from .polling import SHORTEST
from .world import ExternalResource, World

VERSION_ANNOTATION = "freeleaps.com/source-version"
TYPE = "type"


class SecretCopy(ExternalResource):
    """Secret `<name>` in `<namespace>`; with `pull`, also an imagePullSecret of its default ServiceAccount."""

    service: ClassVar[str] = "kubernetes"

    namespace: str
    name: str
    project: str
    type: str
    version: str
    """The source's resourceVersion."""
    pull: bool
    data: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.kubernetes.get(SECRET, self.namespace, self.name)
        if found is None:
            return ABSENT
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


def _names(account: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item["name"] for item in account.get("imagePullSecrets") or () if "name" in item)
