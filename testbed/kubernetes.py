"""A real Kubernetes control plane as child processes: etcd, kube-apiserver and kube-controller-manager.

It has everything of a cluster but nodes (:mod:`testbed.nodes`): admission, CRDs with validation, RBAC, server-side
apply, watches, garbage collection, namespace deletion. The programs are built by :mod:`testbed.build`.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from testbed import build
from testbed.audit import AuditLog
from testbed.kube_api import KubeApi, Object
from testbed.kube_files import Flags, Layout
from testbed.processes import ChildProcess, Processes

ADMIN = "admin"
OPERATOR = "operator"
CONTROLLERS = "system:kube-controller-manager"
# Who may do all. The controller manager has a name of its own so that the audit log tells it from the tests.
SUPERUSERS = (ADMIN, CONTROLLERS)
PROBE_TIMEOUT = timedelta(seconds=2)
TOKEN_LIFETIME = timedelta(hours=24)
ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"


class ControlPlane(Processes):
    """The control plane of one run: ``async with ControlPlane() as control_plane``, or :meth:`start` and :meth:`stop`.

    ``users`` get a token each and no rights: give them some by RBAC. ``manifests`` are YAML files that are applied
    before the controller manager starts: its garbage collector looks for new kinds only every 30 s, so CRDs whose
    objects own others belong here. Addresses, tokens and data outlive :meth:`stop_processes` and :meth:`kill`;
    :meth:`start_processes` brings back what they ended.
    """

    def __init__(self, *, users: Sequence[str] = (OPERATOR,), manifests: Sequence[Path] = ()) -> None:
        super().__init__("devops-reconciler-kube")
        self._layout = Layout.choose(self._run.path)
        self._manifests = tuple(manifests)
        self._tokens = {user: secrets.token_urlsafe(24) for user in (*SUPERUSERS, *users)}
        self.audit = AuditLog(self._layout.audit_log)

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self._layout.server

    @property
    def authority(self) -> Path:
        """The PEM file with the certificate authority of :attr:`server`."""
        return self._layout.authority

    @property
    def admin_token(self) -> str:
        """The token of ``admin``, who may do all."""
        return self._tokens[ADMIN]

    @property
    def programs(self) -> Path:
        """The folder with the programs of the control plane, and ``kubectl``."""
        return build.ensure("kube")

    def api(self, user: str = ADMIN) -> KubeApi:
        """A client as this user."""
        return KubeApi(self.server, self.authority, self._tokens[user])

    def kubeconfig(self, user: str = ADMIN, namespace: str = "default") -> Path:
        """The path of a kubeconfig for this user, with its token and the authority inside."""
        return self._layout.write_kubeconfig(user, self._tokens[user], namespace)

    async def add_service_account(self, namespace: str, name: str) -> Path:
        """Makes namespace and ServiceAccount where absent; returns a kubeconfig with a token of that account.

        Its name in RBAC and in the audit log is ``system:serviceaccount:<namespace>:<name>``.
        """
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        await self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, account])
        request: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": int(TOKEN_LIFETIME.total_seconds())},
        }
        answer = await self.api().create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request)
        return self._layout.write_kubeconfig(f"{namespace}-{name}", answer["status"]["token"], namespace)

    async def add_administrator(self, namespace: str, name: str) -> Path:
        """As :meth:`add_service_account`, with all rights: for what belongs to the cluster itself."""
        kubeconfig = await self.add_service_account(namespace, name)
        binding: Object = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{namespace}-{name}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
        }
        await self.apply([binding])
        return kubeconfig

    async def apply(self, manifests: str | Iterable[Object]) -> list[Object]:
        """Server-side apply as admin, of YAML documents or objects."""
        return await self.api().apply(manifests)

    async def get(self, path: str) -> Object:
        """GET as admin."""
        return await self.api().get(path)

    async def delete(self, path: str, **options: Any) -> Object:
        """DELETE as admin."""
        return await self.api().delete(path, **options)

    def _set_up(self) -> None:
        """Builds the programs if needed, and starts all three (about 5 s)."""
        programs = self.programs
        self._layout.write(self._tokens, SUPERUSERS)
        flags = {
            ETCD: self._layout.etcd_flags,
            API_SERVER: self._layout.api_server_flags,
            CONTROLLER_MANAGER: self._layout.controller_manager_flags(self.kubeconfig(CONTROLLERS)),
        }
        self._processes = {name: self._child(programs / name, flags[name]) for name in flags}
        self.start_processes()

    def start_processes(self, *names: str) -> None:
        """Starts these processes (default: all that do not run) and waits until they work."""
        for process in self._chosen(names):
            if process.alive:
                continue
            process.start()
            process.wait_until_ready(self._probe(process.name))
            if process.name == API_SERVER:
                for path in self._manifests:
                    asyncio.run(self.api().apply(path.read_text()))

    def restart(self, *names: str) -> None:
        """Kills these processes (default: all) and starts them again on the same addresses and data."""
        self.kill(*names)
        self.start_processes(*names)

    def _child(self, program: Path, flags: Flags) -> ChildProcess:
        command = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
        folder = self._layout.folder
        # Nothing of the user's environment: KUBECONFIG or proxies would change what these programs do.
        # Memory is cheaper here than the processor: a seventh of its time went into looking for what can be freed.
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "GOMAXPROCS": "2", "GOGC": "400"}
        return ChildProcess(program.name, command, log=folder / f"{program.name}.log", environment=environment)

    def _probe(self, name: str) -> Callable[[], bool]:
        if name == ETCD:
            return lambda: _answers(f"{self._layout.etcd}/readyz")
        # The controller manager serves no port; that it works shows in what it makes.
        path = "/readyz" if name == API_SERVER else "/api/v1/namespaces/default/serviceaccounts/default"
        tls = ssl.create_default_context(cafile=str(self.authority))
        return lambda: _answers(self.server + path, tls, self.admin_token)


def _answers(url: str, tls: ssl.SSLContext | None = None, token: str = "") -> bool:
    """Whether a GET is answered with 200, straight and not through a proxy."""
    proxies = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=tls))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with suppress(OSError), opener.open(request, timeout=PROBE_TIMEOUT.total_seconds()) as answer:
        return bool(answer.status == 200)
    return False
