"""Argo CD as the contract tests see it: an endpoint, accounts, and a source repository that it can read.

`target` is the stand-in, or with `--real` the real one (testbed/argocd.py). Tests that order something of the stand-in
(faults, delays) are for the stand-in alone: they are skipped at the real one where they reach for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from devops_reconciler.runtime.clock import Clock, FakeClock, SystemClock
from devops_reconciler.services.argocd import ArgoCD, Auth, TokenAuth
from devops_reconciler.services.argocd_view import ApplicationView
from devops_reconciler.services.http import AiohttpTransport, Http
from standins.argocd import ADMIN, ArgoCDStandin
from standins.argocd_accounts import Account, restricted
from standins.argocd_controller import FINALIZER, Times
from standins.argocd_state import IN_CLUSTER
from testbed.argocd import RealArgoCD
from testbed.argocd_settings import ADMIN as REAL_ADMIN
from testbed.argocd_settings import LIMITED, LOCKED_OUT, OPERATOR
from testbed.argocd_settings import NAMESPACE as ARGOCD
from testbed.git_server import Credentials, GitServer
from testbed.sample import SampleProject
from testbed.waiting import eventually

Json = dict[str, Any]
IMAGE = "acme/shop"
DIGEST = "sha256:" + "1" * 64
OTHER_DIGEST = "sha256:" + "2" * 64
NO_REPOSITORY = "http://127.0.0.1:1/shop.git"
GIT_LOGIN = Credentials("reader", "s3cret-token")
QUICK = Times(pickup=0.01, sync=0.02, compare=0.02, health_lag=0.02, healthy=0.03, delete=0.02, terminate=0.02)
DEADLINE = 60.0
NAMESPACES = ("shop", "shop-pr-7", "team")
LEFT_BEHIND = ("/apis/apps/v1", "deployments"), ("/api/v1", "services"), ("/api/v1", "configmaps")


@dataclass(frozen=True)
class Source:
    git: GitServer
    sample: SampleProject


@dataclass
class Target:
    """An Argo CD to test against."""

    url: str
    transport: AiohttpTransport
    token: str
    limited_token: str
    """Of an account with rights on project `team` alone."""
    username: str
    password: str
    locked_out: str
    """An account with the same password that one test locks, for minutes where Argo CD is real."""
    repo_url: str
    fake: ArgoCDStandin | None = None
    real: RealArgoCD | None = None
    clock: Clock = field(default_factory=SystemClock)

    @property
    def standin(self) -> ArgoCDStandin:
        """To order something of it; there is nothing to order of the real one."""
        if self.fake is None:
            pytest.skip("orders something of the stand-in")
        return self.fake

    async def running(self, namespace: str, service: str) -> str | None:
        """The image that answers for a Service."""
        known = self.fake or self.real
        assert known is not None
        return await known.running(namespace, service)

    def http(self, **options: Any) -> Http:
        return Http("argocd", self.url, self.transport, self.clock, **{"timeout": timedelta(seconds=5), **options})

    def client(self, token: str | None = None, auth: Auth | None = None, **options: Any) -> ArgoCD:
        value = self.token if token is None else token
        return ArgoCD(self.http(**options), auth or TokenAuth(lambda: value))

    def project(self, name: str = "shop", **spec: Any) -> Json:
        allowed = {"sourceRepos": [self.repo_url], "destinations": [{"server": IN_CLUSTER, "namespace": f"{name}*"}]}
        return {"metadata": {"name": name, "annotations": {"owner": "us"}}, "spec": {**allowed, **spec}}

    def application(self, name: str = "shop", project: str = "shop", **source: Any) -> Json:
        where = {"repoURL": self.repo_url, "path": "deploy", "targetRevision": "main"}
        return {
            "metadata": {"name": name, "annotations": {"owner": "us"}, "finalizers": [FINALIZER]},
            "spec": {
                "project": project,
                "source": {**where, **source},
                "destination": {"server": IN_CLUSTER, "namespace": project},
            },
        }

    async def make_project(self) -> None:
        """The project "shop", as the server judges applications by: for a moment it does without a new one."""
        made = await self.client().create_project(self.project())

        async def known() -> bool:
            assert self.real is not None
            try:
                seen = await self.real.call("GET", "/api/v1/projects/shop/detailed")
            except RuntimeError:
                return False
            return bool(seen["project"]["metadata"]["uid"] == made["metadata"]["uid"])

        if self.real is not None:
            await eventually(known, "Argo CD judges by the project that was made", timedelta(seconds=DEADLINE))

    async def deployed(self, client: ArgoCD, step: Callable[[], None] = lambda: None) -> ApplicationView:
        """Project and application "shop", synced and healthy."""
        await self.make_project()
        await client.create_application(self.application(kustomize=pin(DIGEST)))
        await client.sync("shop", "shop")
        return await settled(client, step=step)


def pin(digest: str) -> Json:
    return {"images": [f"{IMAGE}={IMAGE}@{digest}"]}


async def until(
    client: ArgoCD,
    true: Callable[[ApplicationView], bool],
    *,
    name: str = "shop",
    step: Callable[[], None] = lambda: None,
) -> ApplicationView:
    """Poll the application of project "shop" until `true` holds of it; `step` is called in between."""
    app: Json | None = None
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                app = await client.application(name, "shop")
                if app is not None and true(ApplicationView(app)):
                    return ApplicationView(app)
                step()
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise TimeoutError(f"after {DEADLINE:g} s {name} is {(app or {}).get('status')}") from None


async def compared(client: ArgoCD) -> None:
    """The application "shop" is compared with its source.

    The controller knows of a new project a moment later than the server, and looks at an application that was before
    it only minutes later, or when it is asked to.
    """

    async def done() -> bool:
        app = await client.refresh("shop", "shop", hard=False)
        return ApplicationView(app or {}).sync_status in ("Synced", "OutOfSync")

    await eventually(done, "the application is compared", timedelta(seconds=DEADLINE))


async def settled(client: ArgoCD, *, name: str = "shop", step: Callable[[], None] = lambda: None) -> ApplicationView:
    """The operation is over, the comparison after it too, and health is final."""
    return await until(
        client,
        lambda view: (
            not view.operation_running
            and view.operation_phase == "Succeeded"
            and view.sync_status == "Synced"
            and view.health in ("Healthy", "Degraded")
        ),
        name=name,
        step=step,
    )


async def gone(client: ArgoCD, name: str = "shop", project: str = "shop") -> None:
    """Poll until the application is not there."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if await client.application(name, project) is None:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def target(
    sample: SampleProject | None = None, clock: FakeClock | None = None, real: RealArgoCD | None = None
) -> AsyncIterator[Target]:
    """Without a sample project its repository cannot be read. `clock` is the stand-in's own."""
    repo_url = sample.url if sample else NO_REPOSITORY
    transport = AiohttpTransport()
    async with standin(repo_url, transport, clock) if real is None else service(real, repo_url, transport) as found:
        yield found
        await transport.close()


@asynccontextmanager
async def standin(repo_url: str, transport: AiohttpTransport, clock: FakeClock | None) -> AsyncIterator[Target]:
    """A new one for each test."""
    limited: Account = restricted("limited", projects=("team",))
    async with ArgoCDStandin(accounts=(ADMIN, limited), times=replace(QUICK), clock=clock) as standin:
        yield Target(
            url=standin.url,
            transport=transport,
            token=standin.api_token("admin"),
            limited_token=standin.api_token("limited"),
            username="admin",
            password="secret",
            locked_out="admin",
            repo_url=repo_url,
            fake=standin,
        )


@asynccontextmanager
async def service(real: RealArgoCD, repo_url: str, transport: AiohttpTransport) -> AsyncIterator[Target]:
    """The one of this run, empty; the account is the operator's, with no more rights than it needs."""
    await empty(real)
    yield Target(
        url=real.url,
        transport=transport,
        token=await real.token(OPERATOR),
        limited_token=await real.token(LIMITED),
        username=OPERATOR,
        password=real.password,
        locked_out=LOCKED_OUT,
        repo_url=repo_url,
        real=real,
    )


async def registered(http: Http, token: str) -> list[Json]:
    """All repositories, also those of one project alone, which our client leaves out."""
    answer = await http.request("list", "GET", "/api/v1/repositories", headers={"Authorization": f"Bearer {token}"})
    items: list[Json] = answer.json()["items"] or []
    return items


async def unregister(http: Http, token: str, url: str, project: str) -> None:
    path = f"/api/v1/repositories/{quote(url, safe='')}?appProject={project}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    await http.request("delete", "DELETE", path, headers=headers)


async def empty(real: RealArgoCD) -> None:
    """Nobody's applications, projects and repositories are left, nor what they deployed."""
    transport = AiohttpTransport()
    token = await real.token(REAL_ADMIN)
    http = Http("argocd", real.url, transport, SystemClock())
    client = ArgoCD(http, TokenAuth(lambda: token))
    for app in await client.applications():
        name, project = app["metadata"]["name"], app["spec"]["project"]
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD}/applications/{name}"
        await real.control_plane.api().patch(path, {"metadata": {"finalizers": None}})
        await client.delete_application(name, project, cascade=False)

    async def none_left() -> bool:
        return not await client.applications()

    await eventually(none_left, "no application is left", timedelta(seconds=DEADLINE))
    for repo in await registered(http, token):
        await unregister(http, token, repo["repo"], repo.get("project", ""))
    for project in await client.projects():
        if project["metadata"]["name"] != "default":
            await client.delete_project(project["metadata"]["name"])
    await transport.close()
    for namespace in NAMESPACES:
        await real.control_plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
        for root, plural in LEFT_BEHIND:
            for each in (await real.control_plane.get(f"{root}/namespaces/{namespace}/{plural}"))["items"]:
                if each["metadata"]["name"] != "kube-root-ca.crt":
                    await real.control_plane.delete(
                        f"{root}/namespaces/{namespace}/{plural}/{each['metadata']['name']}"
                    )


@asynccontextmanager
async def source() -> AsyncIterator[Source]:
    """A Git server with the sample project, which asks nobody for credentials."""
    async with GitServer() as git:
        yield Source(git, await SampleProject.create(git))
