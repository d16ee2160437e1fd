"""A stage whose Argo CD is the real one, on a cluster with a node, so that what is deployed becomes ready."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.argocd import RealArgoCD
from testbed.argocd_settings import NAMESPACE, OPERATOR
from testbed.kubernetes import ControlPlane
from testbed.nodes import Nodes
from testbed.stage import Ground, Stage
from testbed.stage_inventory import Thing, mark_in
from testbed.stage_pace import Pace

KINDS = {"application": "applications", "project": "appprojects"}
GROUP = "/apis/argoproj.io/v1alpha1"
REPOSITORIES = "argocd.argoproj.io/secret-type=repository"


class RealGround(Ground):
    """The real services, Argo CD among them."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = Nodes(self.control_plane)
        self.argocd = RealArgoCD(self.control_plane)

    async def _enter(self) -> None:
        await super()._enter()
        await self._stack.enter_async_context(self.nodes)
        await self._stack.enter_async_context(self.argocd)


class RealStage(Stage):
    """As :class:`Stage`. The operator's account at Argo CD has the documented rights and no more.

    The stand-in of Argo CD is there too, and nobody asks it.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        ground = RealGround()
        super().__init__(pace, ground=ground)
        self._own_ground = True
        self.real = ground.argocd

    @property
    def token_file(self) -> Path:
        """What holds the operator's token at Argo CD; it is read again when it changes."""
        return self.folder / "argocd-token"

    def use_token(self, token: str) -> None:
        """From now on."""
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token)

    async def _start(self) -> None:
        await super()._start()
        self.use_token(await self.real.token(OPERATOR))

    def argocd_variables(self) -> dict[str, str]:
        return {"ARGOCD_ENDPOINT": self.real.url, "ARGOCD_TOKEN_FILE": str(self.token_file)}

    async def running(self, namespace: str, service: str) -> str | None:
        return await self.real.running(namespace, service)

    @property
    def argocd_told(self) -> str:
        return f"real: {self.real.url}"

    @property
    def nodes_told(self) -> str:
        return "with a node of KWOK's, which runs nothing"

    async def argocd_things(self) -> list[Thing]:
        return await in_real_argocd(self.control_plane)

    async def application(self, name: str) -> dict[str, Any] | None:
        """The Application as the cluster has it, or None."""
        return await self.kube.find(f"{GROUP}/namespaces/{NAMESPACE}/applications/{name}")


async def in_real_argocd(control_plane: ControlPlane) -> list[Thing]:
    """Applications, projects but the built-in one, and repositories, as the cluster has them."""
    things = []
    for kind, plural in KINDS.items():
        for each in (await control_plane.get(f"{GROUP}/namespaces/{NAMESPACE}/{plural}"))["items"]:
            if (kind, each["metadata"]["name"]) != ("project", "default"):
                things.append(Thing("argocd", kind, each["metadata"]["name"], mark_in(str(each["metadata"]))))
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector={REPOSITORIES}"
    for each in (await control_plane.get(path))["items"]:
        data = each.get("data") or {}
        things.append(Thing("argocd", "repository", _text(data, "url"), mark_in(_text(data, "name"))))
    return things


def _text(data: Mapping[str, str], key: str) -> str:
    return base64.b64decode(data.get(key, "")).decode()
