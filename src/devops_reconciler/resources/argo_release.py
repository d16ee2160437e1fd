"""What a deployment sets in an application: the image by digest, the commit, and automated sync from the first on."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from ..api.blocks import SourceKind
from ..api.errors import ValidationError, Waiting
from ..engine.resource import Intent, Observation
from ..services.argocd import outside_its_project
from ..services.argocd_view import ApplicationView
from .argo_project import check_ours
from .marks import mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ArgoRelease(ExternalResource):
    """The pin of application `<name>`. Only the holder of the environment writes it."""

    service: ClassVar[str] = "argocd"
    made_elsewhere: ClassVar[bool] = True
    removable: ClassVar[bool] = False

    name: str
    project: str
    kind: SourceKind
    image: str
    """`<repository>@<digest>`."""
    image_name: str
    image_parameter: str
    digest_parameter: str
    target_revision: str | None = None
    """The commit; None where the manifests come from another repository."""
    repo_url: str | None = None
    path: str | None = None
    """Repository and folder that go with the commit, since Argo CD refuses a source that it cannot render; None where
    there is no commit, or where it is not known with what it was deployed."""
    auto_sync: bool

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        found = await world.argocd.application(self.name, self.project)
        if found is None:
            return Observation(message=f"application {self.name} is not there yet", after=LOOK_AGAIN)
        view = ApplicationView(found)
        return Observation(
            exists=True,
            owner=mark_of(view.annotations),
            deleting=view.deleting,
            after=LOOK_AGAIN,
            drift=self._drift(found.get("spec") or {}),
            facts={"application": self.name},
            external_id=self.name,
        )

    def _drift(self, spec: dict[str, Any]) -> tuple[str, ...]:
        drift = self._source_drift(spec.get("source") or {})
        if self.turns_automated(spec):
            drift.append("automated")
        return tuple(drift)

    def turns_automated(self, spec: dict[str, Any]) -> bool:
        """Whether automated sync is to be turned on or off in the spec of an application."""
        return self.auto_sync != ((spec.get("syncPolicy") or {}).get("automated") is not None)

    def _source_drift(self, source: dict[str, Any]) -> list[str]:
        return [name for name, patched in self.source_patch(source).items() if source.get(name) != patched]

    def is_in(self, source: dict[str, Any]) -> bool:
        """Whether the deployment has set it there."""
        return not self._source_drift(source)

    @property
    def manifests(self) -> dict[str, str]:
        """Repository, folder and commit, as far as they are known."""
        pinned = {"repoURL": self.repo_url, "path": self.path, "targetRevision": self.target_revision}
        return {name: value for name, value in pinned.items() if value is not None}

    def source_patch(self, source: dict[str, Any]) -> dict[str, Any]:
        """The owned fields of the source, merged into what `source` has: images and parameters of others stay."""
        return {**self.manifests, **self.tools_patch(source)}

    def tools_patch(self, source: dict[str, Any]) -> dict[str, Any]:
        """The same of the blocks of the tools.

        Argo CD refuses a source that has two of them, so what a deployment has set for the tool of before goes, and
        its block where nothing else is in it.
        """
        kustomize, helm = source.get("kustomize") or {}, source.get("helm") or {}
        images, parameters = list(kustomize.get("images") or ()), list(helm.get("parameters") or ())
        patch: dict[str, Any] = {}
        if self.kind is SourceKind.KUSTOMIZE:
            others = [i for i in images if image_name(i) != self.image_name]
            patch["kustomize"] = {**kustomize, "images": _set(images, others, [f"{self.image_name}={self.image}"])}
        elif any(self._is_pin(i) for i in images):
            patch["kustomize"] = _without(kustomize, "images", [i for i in images if not self._is_pin(i)])
        names = (self.image_parameter, self.digest_parameter)
        others = [p for p in parameters if p.get("name") not in names]
        if self.kind is SourceKind.HELM:
            repository, _, digest = self.image.partition("@")
            mine = [{"name": name, "value": value} for name, value in zip(names, (repository, digest), strict=True)]
            patch["helm"] = {**helm, "parameters": _set(parameters, others, mine)}
        elif any(p.get("name") == names[1] and DIGEST.fullmatch(str(p.get("value"))) for p in parameters):
            patch["helm"] = _without(helm, "parameters", others)
        return patch

    def turns(self, source: dict[str, Any]) -> bool:
        """Whether a deployment has set something for another tool in it."""
        wanted = {SourceKind.KUSTOMIZE: "kustomize", SourceKind.HELM: "helm"}.get(self.kind)
        return any(block != wanted for block in self.tools_patch(source))

    def _is_pin(self, override: str) -> bool:
        """Whether a deployment has written it: a tag, or another image, is somebody else's."""
        name, _, image = override.partition("=")
        return name == self.image_name and DIGEST.fullmatch(image.partition("@")[2]) is not None

    @property
    def sync_policy(self) -> dict[str, Any]:
        """Merge patch of `spec.syncPolicy`."""
        return {"automated": {"prune": True, "selfHeal": True} if self.auto_sync else None}

    async def update(self, world: World, me: str, seen: Observation) -> None:
        await check_ours(world, self.project, me)
        found = await world.argocd.application(self.name, self.project)
        if found is not None:
            source = (found.get("spec") or {}).get("source") or {}
            patch = {"spec": {"source": self.source_patch(source), "syncPolicy": self.sync_policy}}
            try:
                await world.argocd.patch_application(self.name, self.project, patch)
            except ValidationError as error:
                if not outside_its_project(error):
                    raise
                # ArgoSettings is about to allow it, where somebody has just changed the repository.
                raise Waiting(error.message, after=LOOK_AGAIN) from error


def _set(there: list[Any], others: list[Any], mine: list[Any]) -> list[Any]:
    """The others and mine; as it is where that is so already, in whatever order."""
    as_wanted = len(there) == len(others) + len(mine) and all(each in there for each in mine)
    return there if as_wanted else [*others, *mine]


def _without(block: dict[str, Any], field: str, left: list[Any]) -> dict[str, Any] | None:
    """Merge patch of a block in which only this is left of a list; None takes away a block with nothing in it."""
    patch = {**block, field: left or None}
    return patch if any(patch.values()) else None


def image_name(override: str) -> str:
    """The name that a Kustomize image override (`name=new:tag`, `name@digest`) replaces."""
    if "=" in override:
        return override.partition("=")[0]
    name = override.partition("@")[0]
    path, _, tag = name.rpartition(":")
    return path if path and "/" not in tag else name  # a colon before a slash is that of a port
