"""A newcomer with a cluster and the five services, who types what the quickstart says.

The cluster is real, and its pods become ready and run nothing: what is in the pod of the operator runs as a process
beside it, with the environment, the Secrets and the account that the chart gives the pod.
"""

from __future__ import annotations

import base64
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed import build, chart
from testbed.argocd_settings import NAMESPACE as ARGOCD
from testbed.kube_api import Object
from testbed.kubernetes import ControlPlane
from testbed.nodes import Nodes
from testbed.processes import free_port
from testbed.reader_shell import ReaderShell, files, page
from testbed.rights import ACCOUNT
from testbed.stage import PUSHER, ZONE, Ground, Stage, exports

NAMESPACE = chart.NAMESPACE
PAGE = "quickstart.md"
NOT_TYPED = ("rabbitmqctl ", "argocd account ", "docker ")
"""Accounts that are there already, and an image for a registry that nobody has."""
ARGOCD_SETTINGS: list[Object] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ARGOCD}},
    *(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": ARGOCD}}
        for name in ("argocd-cm", "argocd-rbac-cm")
    ),
]
"""What Argo CD has in a cluster for its settings, before anybody has changed them."""
_LITERAL = re.compile(r"--from-literal=(\w+)=\S+")
_SHIM = """\
#!/bin/sh
# "kubectl exec deployment/devops-reconciler -- COMMAND": what the pod would run, as it would.
if [ "$1" != exec ]; then exec {kubectl} "$@"; fi
while [ "$1" != -- ]; do shift; done
shift
. {environment}
exec "$@"
"""


class BareGround(Ground):
    """A cluster that has never heard of us, whose pods become ready."""

    def __init__(self) -> None:
        super().__init__()
        self.control_plane = ControlPlane()

    async def _enter(self) -> None:
        await super()._enter()
        await self._stack.enter_async_context(Nodes(self.control_plane))


class BareStage(Stage):
    """All services, and no account of the operator in the cluster: the chart makes it."""

    def __init__(self) -> None:
        super().__init__(ground=BareGround())
        self._own_ground = True

    async def account(self) -> Path:
        return Path()


class Newcomer:
    """Types in `home`, where the files of the page are."""

    def __init__(self, stage: BareStage, home: Path) -> None:
        self._stage = stage
        self._variables = stage.environment()
        self._secret = {name for name, _, secret in chart.variables() if secret}
        self._environment = home / "pod.sh"
        self.home = home
        programs = home / "bin"
        programs.mkdir()
        shim = programs / "kubectl"
        kubectl = shlex.quote(str(stage.control_plane.programs / "kubectl"))
        shim.write_text(_SHIM.format(kubectl=kubectl, environment=shlex.quote(str(self._environment))))
        shim.chmod(0o755)
        (home / "deploy").symlink_to(chart.DEPLOY)
        known = [programs, build.ensure("helm"), Path(sys.executable).parent]
        self._shell = ReaderShell(home, stage.control_plane.kubeconfig(), known)
        self._shell.keeps(self.files())

    def files(self) -> dict[str, str]:
        """Those of the page, with addresses that are the newcomer's own."""
        found = {name: self.own(text) for name, text in files(page(PAGE)).items()}
        values: dict[str, Any] = yaml.safe_load(found["values.yaml"])
        open_to_all = {name for name, _, secret in chart.variables() if not secret}
        values["config"] |= {name: value for name, value in self._variables.items() if name in open_to_all}
        return found | {"values.yaml": yaml.safe_dump(values)}

    def own(self, text: str) -> str:
        """What the page says, with the newcomer's own hosts and secrets."""
        changed = {
            "https://git.example.com/shop.git": self._stage.samples["shop"].url,
            "shop.example.com": f"shop.{ZONE}",
            "https://index.docker.io/v1/": self._stage.registry_host,
            "acmepull": PUSHER.name,
            "--docker-password=…": f"--docker-password={PUSHER.secrets[0].value}",
        }
        for example, own in changed.items():
            text = text.replace(example, own)
        return _LITERAL.sub(lambda found: f"--from-literal={found[1]}={self._variables[found[1]]}", text)

    def types(self, block: str) -> str:
        """What the commands of a block print; of those that are not typed nothing."""
        lines = block.replace("\\\n", " ").splitlines(keepends=True) if "<<" not in block else [block]
        return self._shell.types(self.own("".join(line for line in lines if not line.startswith(NOT_TYPED))))

    async def pod(self) -> dict[str, str]:
        """The environment of the operator's pod, by its Deployment; `kubectl exec` has it from now on."""
        plane = self._stage.control_plane
        deployment = await plane.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{chart.RELEASE}")
        spec = deployment["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] == ACCOUNT
        (container,) = spec["containers"]
        found = {each["name"]: _value(each) for each in container["env"]}
        found |= {
            "RECONCILER_SECRETS_DIR": str(await self._mounted(spec)),
            # What a network and a file system of its own give a pod.
            "KUBECONFIG": str(await plane.add_service_account(NAMESPACE, ACCOUNT)),
            "RECONCILER_HTTP_HOST": "127.0.0.1",
            "RECONCILER_HTTP_PORT": str(free_port()),
        }
        self._environment.write_text(exports(found))
        return found

    async def _mounted(self, spec: Mapping[str, Any]) -> Path:
        folder = self.home / "secrets"
        folder.mkdir()
        (volume,) = (each["projected"] for each in spec["volumes"] if each["name"] == "secrets")
        for source in volume["sources"]:
            path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{source['secret']['name']}"
            for name, value in (await self._stage.control_plane.get(path))["data"].items():
                (folder / name).write_bytes(base64.b64decode(value))
        return folder


def _value(variable: Mapping[str, Any]) -> str:
    if "value" in variable:
        return str(variable["value"])
    fields = {"metadata.namespace": NAMESPACE, "metadata.name": f"{chart.RELEASE}-1"}
    return fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
