"""The real Argo CD as child processes, on a control plane that runs: server, repo-server, controller, and Redis.

Everything but the API of the server stays inside: the repo-server has its own TLS, Redis and the rest listen on
loopback. The program is built by :mod:`testbed.build`, Redis is Debian's.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from testbed import build
from testbed.argocd_settings import ACCOUNTS, ADMIN, FIRST_PASSWORD, NAMESPACE, settings
from testbed.kube_api import KubeApi, Object
from testbed.kubernetes import ControlPlane
from testbed.processes import ChildProcess, ProcessError, Processes, free_port
from testbed.waiting import answers, connects, eventually

HOST = "127.0.0.1"
START_DEADLINE = timedelta(seconds=120)
SERVER, REPO_SERVER, CONTROLLER, REDIS = "argocd-server", "argocd-repo-server", "argocd-application-controller", "redis"
# What Git is told to run for a password; which of its programs that is, Argo CD says in the environment.
ASK_PASS = "argocd"
INSTALL_HINT = (
    "Redis is not installed. On Debian and Ubuntu: 'sudo apt-get install --no-install-recommends redis-server'."
)
Json = dict[str, Any]


class RealArgoCD(Processes):
    """``async with RealArgoCD(control_plane) as argocd``, or :meth:`start` and :meth:`stop`.

    Address, accounts and tokens outlive :meth:`kill`; :meth:`restart` brings all back with what the cluster holds.
    """

    def __init__(self, control_plane: ControlPlane) -> None:
        super().__init__("devops-reconciler-argocd")
        self.control_plane = control_plane
        self._ports = {name: free_port(HOST) for name in (SERVER, REPO_SERVER, REDIS)}
        self.password = secrets.token_urlsafe(18)
        """Of the accounts that may log in."""
        self._admin_password = ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._ports[SERVER]}"

    def restart(self, *names: str) -> None:
        """Kills these processes (default: all) and starts them again at the same address."""
        self.kill(*names)
        self._start_processes()

    def resume(self) -> None:
        """Starts what was killed."""
        self._start_processes()

    def logs(self, lines: int = 30) -> str:
        """The last lines of each process."""
        return "\n".join(f"== {name}\n{process.log_tail(lines)}" for name, process in self._processes.items())

    async def token(self, account: str, life: timedelta | None = None) -> str:
        """A token of an account with ``apiKey`` (``life`` in whole seconds, default for ever); of ``admin`` a login."""
        if account == ADMIN:
            return await self.login(ADMIN, self._admin_password)
        body = {"id": secrets.token_hex(6), "expiresIn": int(life.total_seconds()) if life else 0}
        answer = await self.call("POST", f"/api/v1/account/{account}/token", body)
        return str(answer["token"])

    async def login(self, username: str, password: str) -> str:
        """A token by name and password."""
        answer = await self._send("POST", "/api/v1/session", {"username": username, "password": password}, "")
        return str(answer["token"])

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request to the API as ``admin``; raises RuntimeError unless the answer is 2xx."""
        return await self._send(method, path, body, await self.token(ADMIN))

    async def running(self, namespace: str, service: str) -> str | None:
        """The image of the newest ready pod behind a Service, or None: for the loopback ingress."""
        return await running(self.control_plane.api(), namespace, service)

    def _set_up(self) -> None:
        """Builds the programs if needed; at the end the accounts have their passwords (about 15 s)."""
        self._prepare()
        asyncio.run(self._install())
        self._start_processes()
        asyncio.run(self._set_passwords())

    def _prepare(self) -> None:
        """The folder with all programs that Argo CD runs, and what it may write."""
        redis = shutil.which("redis-server")
        if redis is None:
            raise ProcessError(INSTALL_HINT)
        folder = self._run.path
        programs = folder / "bin"
        for name in ("bin", "tmp", "tls", "ssh", "gnupg", "plugins"):
            (folder / name).mkdir()
        argocd = build.ensure("argocd") / "argocd"
        for name in (SERVER, REPO_SERVER, CONTROLLER, ASK_PASS):
            (programs / name).symlink_to(argocd)
        (programs / "redis").symlink_to(redis)
        (programs / "helm").symlink_to(build.ensure("helm") / "helm")
        (programs / "kustomize").symlink_to(build.ensure("kustomize") / "kustomize")
        # Asked for the signature of a commit; ours have none.
        wrapper = programs / "git-verify-wrapper.sh"
        wrapper.write_text("#!/bin/sh\nexit 0\n")
        wrapper.chmod(0o755)

    async def _install(self) -> None:
        """Kinds, settings and an account that may do all in the cluster, as Argo CD's own manifests have it."""
        for path in sorted(build.ensure("argocd").glob("*-crd.yaml")):
            await self.control_plane.apply(path.read_text())
        kubeconfig = await self.control_plane.add_administrator(NAMESPACE, "argocd")
        await self.control_plane.apply(settings())
        redis, repo = (f"{HOST}:{self._ports[name]}" for name in (REDIS, REPO_SERVER))
        shared = (f"--redis={redis}", f"--repo-server={repo}", "--loglevel=info")
        own = {
            REDIS: (
                "--port",
                str(self._ports[REDIS]),
                "--bind",
                HOST,
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                str(self._run.path),
            ),
            REPO_SERVER: (
                f"--address={HOST}",
                f"--port={self._ports[REPO_SERVER]}",
                f"--redis={redis}",
                "--loglevel=info",
                f"--metrics-address={HOST}",
                f"--metrics-port={free_port(HOST)}",
            ),
            CONTROLLER: (*shared, f"--metrics-port={free_port(HOST)}"),
            SERVER: (
                *shared,
                f"--address={HOST}",
                f"--port={self._ports[SERVER]}",
                f"--metrics-address={HOST}",
                f"--metrics-port={free_port(HOST)}",
                "--insecure",
                "--dex-server=http://127.0.0.1:1",
            ),
        }
        self._processes = {name: self._child(name, kubeconfig, flags) for name, flags in own.items()}

    def _child(self, name: str, kubeconfig: Path, flags: tuple[str, ...]) -> ChildProcess:
        folder = self._run.path
        environment = {
            "HOME": str(folder),
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "TMPDIR": str(folder / "tmp"),
            "GOMAXPROCS": "2",
            "GOGC": "400",  # as testbed/kubernetes.py
            "KUBECONFIG": str(kubeconfig),
            # Else https://kubernetes.default.svc as a destination means the pod that Argo CD is not in.
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_GNUPGHOME": str(folder / "gnupg"),
            "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(folder / "plugins"),
            "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        }
        return ChildProcess(
            name, [folder / "bin" / name, *flags], log=folder / f"{name}.log", environment=environment, cwd=folder
        )

    def _start_processes(self) -> None:
        """All at once; they find each other. Ready when the server answers and the controller has a cache."""
        started = [process for process in self._processes.values() if not process.alive]
        for process in started:
            process.start()
        for process in started:
            process.wait_until_ready(self._probe(process.name), START_DEADLINE)

    def _probe(self, name: str) -> Callable[[], bool]:
        if name == SERVER:
            return lambda: answers(f"{self.url}/healthz?full=true") and answers(f"{self.url}/api/version")
        if name == CONTROLLER:
            return lambda: True  # it serves nothing; that it works shows in what becomes of an application
        return lambda: connects(HOST, self._ports[name])

    async def _set_passwords(self) -> None:
        """Of the accounts that may log in, by the first password of ``admin``, which Argo CD makes itself."""
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{FIRST_PASSWORD}"

        async def made() -> Object | None:
            return await self.control_plane.api().find(path)

        secret = await eventually(made, "Argo CD has made the first password", START_DEADLINE)
        assert secret is not None
        self._admin_password = base64.b64decode(secret["data"]["password"]).decode()
        for account in ACCOUNTS:
            if account.may_log_in:
                change = {"name": account.name, "currentPassword": self._admin_password, "newPassword": self.password}
                await self.call("PUT", "/api/v1/account/password", change)

    async def _send(self, method: str, path: str, body: Json | None, token: str) -> Json:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, self.url + path, json=body) as reply,
        ):
            answer: Json = await reply.json(content_type=None)
            if not reply.ok:
                raise RuntimeError(f"{method} {path}: {reply.status}: {answer}")
            return answer


async def running(api: KubeApi, namespace: str, service: str) -> str | None:
    """The image of the newest ready pod that a Service selects, or None where there is none."""
    found = await api.find(f"/api/v1/namespaces/{namespace}/services/{service}")
    selector = ((found or {}).get("spec") or {}).get("selector") or {}
    if not selector:
        return None
    chosen = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = (await api.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={chosen}"))["items"]
    ready = [pod for pod in pods if _is_ready(pod)]
    if not ready:
        return None
    newest = max(ready, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return str(newest["spec"]["containers"][0]["image"])


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    stays = "deletionTimestamp" not in pod["metadata"]
    return stays and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
