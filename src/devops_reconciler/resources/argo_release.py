"""What a deployment sets in an application: the image by digest, the commit, and automated sync from the first on."""

from __future__ import annotations

from typing import Any, ClassVar

from ..api.blocks import SourceKind
from ..engine.resource import Intent, Observation
from ..services.argocd_view import ApplicationView
from .marks import mark_of
from .polling import LOOK_AGAIN
from .world import ExternalResource, World


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
        source = spec.get("source") or {}
        drift = [name for name, patched in self.source_patch(source).items() if source.get(name) != patched]
        automated = (spec.get("syncPolicy") or {}).get("automated")
        if self.auto_sync != (automated is not None):
            drift.append("automated")
        return tuple(drift)

    def source_patch(self, source: dict[str, Any]) -> dict[str, Any]:
        """The owned fields of the source, merged into what `source` has: images and parameters of others stay."""
        patch: dict[str, Any] = {}
        if self.target_revision is not None:
            patch["targetRevision"] = self.target_revision
        if self.kind is SourceKind.KUSTOMIZE:
            there = source.get("kustomize") or {}
            images, wanted = list(there.get("images") or ()), f"{self.image_name}={self.image}"
            others = [i for i in images if image_name(i) != self.image_name]
            as_wanted = len(images) == len(others) + 1 and wanted in images
            patch["kustomize"] = {**there, "images": images if as_wanted else [*others, wanted]}
        elif self.kind is SourceKind.HELM:
            repository, _, digest = self.image.partition("@")
            ours = {self.image_parameter: repository, self.digest_parameter: digest}
            there = source.get("helm") or {}
            parameters = list(there.get("parameters") or ())
            others = [p for p in parameters if p.get("name") not in ours]
            mine = [{"name": name, "value": value} for name, value in ours.items()]
            as_wanted = len(parameters) == len(others) + len(mine) and all(p in parameters for p in mine)
            patch["helm"] = {**there, "parameters": parameters if as_wanted else [*others, *mine]}
        return patch

    @property
    def sync_policy(self) -> dict[str, Any]:
        """Merge patch of `spec.syncPolicy`."""
        return {"automated": {"prune": True, "selfHeal": True} if self.auto_sync else None}

    async def update(self, world: World, me: str, seen: Observation) -> None:
        found = await world.argocd.application(self.name, self.project)
        if found is not None:
            source = (found.get("spec") or {}).get("source") or {}
            patch = {"spec": {"source": self.source_patch(source), "syncPolicy": self.sync_policy}}
            await world.argocd.patch_application(self.name, self.project, patch)


def image_name(override: str) -> str:
    """The name that a Kustomize image override (`name=new:tag`, `name@digest`) replaces."""
    if "=" in override:
        return override.partition("=")[0]
    name = override.partition("@")[0]
    path, _, tag = name.rpartition(":")
    return path if path and "/" not in tag else name  # a colon before a slash is that of a port
