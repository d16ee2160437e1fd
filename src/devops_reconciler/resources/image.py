"""The image that a build pushed: found by its tag in the registry, used by its digest, removed by its tag."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from ..api.errors import CredentialsError
from ..api.names import plain_name
from ..engine.resource import ABSENT, Intent, Observation
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

IMAGE_TIMEOUT = timedelta(minutes=2)
"""How long the registry may take to show what a finished build has pushed."""


class Image(ExternalResource):
    """Tag `<tag>` of `<namespace>/<repository>`. The tag is unique per record, so the image is that record's.

    Removed at Docker Hub by tag, never by digest: another tag may share the digest.
    """

    service: ClassVar[str] = "registry"
    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False

    namespace: str
    repository: str
    tag: str
    form: str
    """The repository as builds and manifests name it."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.repository}:{self.tag}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        digest = await world.registry.digest(f"{self.namespace}/{self.repository}", self.tag)
        if digest is None:
            return Observation(message=f"the registry does not show {self.key} yet", after=LOOK_AGAIN)
        return Observation(
            exists=True, facts={"digest": digest, "image": f"{self.form}@{digest}"}, external_id=f"{self.form}@{digest}"
        )

    def comes_in(self, world: World) -> timedelta:
        """Its step is waited for once its build has ended well: until then it may have pushed nothing at all."""
        return IMAGE_TIMEOUT

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.hub.delete_tag(self.namespace, self.repository, self.tag)


class ImageRemoval(Image):
    """The same image, looked at for its removal: a repository that is gone has taken it along."""

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        try:
            return await super().observe(world, me, intent)
        except CredentialsError:
            # The registry never tells a missing repository from a forbidden one; Docker Hub does where we may see it.
            if await world.hub.repository(self.namespace, self.repository) is None:
                return ABSENT
            raise


class PinnedImage(ExternalResource):
    """The image that an earlier deployment ran, by its digest: looked for again before it is rolled back to."""

    service: ClassVar[str] = "registry"
    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    form: str
    """The repository as it was named then: the project may have another one since."""
    image_digest: str

    @property
    def key(self) -> str:
        return f"{plain_name(self.form)}@{self.image_digest}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.registry.digest(plain_name(self.form), self.image_digest)
        if found is None:
            return Observation(message=f"the registry has no {self.key} any more", after=LOOK_AGAIN)
        image = f"{self.form}@{self.image_digest}"
        return Observation(exists=True, facts={"digest": self.image_digest, "image": image}, external_id=image)
