"""A stand-in for Argo CD: its HTTP API, its controller's delays, and its reading of Git, without a cluster.

It clones the source repository at the revision, renders Kustomize, Helm (simple charts) or plain YAML, and keeps what
"runs", which `running` tells. An object annotated `standin/sync-fails: <message>` makes its sync fail, one annotated
`standin/degraded: "true"` (or a reason) becomes Degraded. Its surprises are Argo CD's own (server/application,
server/project, server/repository, util/session), each one a contract test.

As a program: `python -m standins.argocd --port 0`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from devops_reconciler.runtime.clock import Clock

from .argocd_accounts import Account, Accounts, Session
from .argocd_applications import Applications
from .argocd_compare import Sources
from .argocd_controller import Controller, Times
from .argocd_errors import GrpcError, invalid
from .argocd_git import GitSources
from .argocd_projects import Projects
from .argocd_repositories import Repositories
from .argocd_rules import Rules
from .argocd_state import IN_CLUSTER, Cluster, Json, State
from .argocd_streams import Streams
from .controls import Route
from .serve import StandIn, main

VERSION = "v3.5.7+standin"
ADMIN = Account("admin", "secret")
Answer = Awaitable[Json | web.StreamResponse] | Json
Service = Callable[[web.Request, Session], Answer]


class ArgoCDStandin(StandIn):
    """`accounts` may log in with their passwords; `api_token` makes tokens without one."""

    def __init__(
        self,
        *,
        accounts: tuple[Account, ...] = (ADMIN,),
        times: Times | None = None,
        lag: timedelta = timedelta(0),
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self._folder = tempfile.TemporaryDirectory(prefix="standin-argocd-")
        self.times = times or Times()
        self.state = State(self.clock)
        self.state.lag = lag
        self.cluster = Cluster()
        self.accounts = Accounts(self.clock, accounts)
        sources = Sources(self.state, GitSources(Path(self._folder.name)))
        self.controller = Controller(self.state, self.cluster, sources, self.times, self.spawn)
        self.rules = Rules(self.controller, {IN_CLUSTER: "in-cluster"})
        self.applications = Applications(self.controller, self.rules)
        self.projects = Projects(self.state)
        self.repositories = Repositories(self.state, sources)
        self.streams = Streams(self.state, self.controls)

    # What a test can see and do, beside `controls`

    async def running(self, namespace: str, service: str) -> str | None:
        """The image ("repository@digest") that answers for a Service, or None: for the loopback ingress.

        Other processes ask it with `GET /standin/running?namespace=&service=` → `{"image"}`.
        """
        return self.cluster.running(namespace, service)

    def api_token(self, account: str, life: timedelta | None = None) -> str:
        """A token as of `POST /api/v1/account/{name}/token`."""
        return self.accounts.sign(f"{account}:apiKey", life)

    def pause(self) -> None:
        """The controller stops working: nothing is synced, compared or deleted until `resume`."""
        self.controller.paused = True

    def resume(self) -> None:
        self.controller.paused = False
        self.controller.wake_all()

    def hold_operation(self, application: str) -> None:
        """Its operation, or else the next one, runs on until it is terminated or `release`d. Later ones end."""
        self.controller.held.add(application)

    def stick_deletion(self, application: str) -> None:
        """Its finalizer is never done until `release`."""
        self.controller.stuck.add(application)

    def release(self, application: str) -> None:
        self.controller.held.discard(application)
        self.controller.stuck.discard(application)
        self.controller.wake(application)

    def degrade(
        self, application: str, message: str = "CrashLoopBackOff: back-off restarting failed container"
    ) -> None:
        """What runs breaks by itself, without a sync."""
        live = self.cluster.of(application)
        live.phase, live.message = "Degraded", message
        self.controller.show_health(application)

    def recover(self, application: str) -> None:
        live = self.cluster.of(application)
        live.phase, live.message, live.serving = "Healthy", "", live.objects
        self.controller.show_health(application)

    def close_window(self, project: str) -> None:
        """No sync may start in this project until `open_window`."""
        self.applications.closed_windows.add(project)

    def open_window(self, project: str) -> None:
        self.applications.closed_windows.discard(project)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.controls.middleware, _content_type, _errors])
        app.add_routes([web.post("/api/v1/session", self._login), web.get("/api/version", self._version)])
        app.add_routes([web.get("/api/v1/session/userinfo", self._userinfo)])
        for method, path, service in self._services():
            app.router.add_route(method, path, self._route(service))
        app.add_routes([web.get("/standin/running", self._running), web.get("/{path:(?!api/).*}", _page)])
        return app

    def _services(self) -> list[tuple[str, str, Service]]:
        return [*self._application_services(), *self._other_services()]

    def _application_services(self) -> list[tuple[str, str, Service]]:
        apps, base = self.applications, "/api/v1/applications"
        one = base + "/{name}"

        async def create(request: web.Request, session: Session) -> Json:
            query, sent = request.query, await _body(request)
            return await apps.create(
                session, sent, upsert=query.get("upsert") == "true", validate=query.get("validate") != "false"
            )

        async def replace(request: web.Request, session: Session) -> Json:
            return await apps.replace(session, _name(request), await _body(request), request.query)

        async def patch(request: web.Request, session: Session) -> Json:
            return await apps.patch(session, _name(request), await _body(request))

        async def sync(request: web.Request, session: Session) -> Json:
            return await apps.sync(session, _name(request), await _body(request))

        def terminate(request: web.Request, session: Session) -> Json:
            return apps.terminate(session, _name(request), request.query.get("project", ""))

        def tree(request: web.Request, session: Session) -> Json:
            return apps.tree(session, _name(request), request.query.get("project", ""))

        return [
            ("GET", base, lambda request, session: apps.list(session, request.query, _projects(request))),
            ("POST", base, create),
            ("GET", one, lambda request, session: apps.get(session, _name(request), request.query)),
            ("PUT", one, replace),
            ("PATCH", one, patch),
            ("DELETE", one, lambda request, session: apps.delete(session, _name(request), request.query)),
            ("POST", one + "/sync", sync),
            ("DELETE", one + "/operation", terminate),
            ("GET", one + "/resource-tree", tree),
            ("GET", "/api/v1/stream/applications", self.streams.serve),
        ]

    def _other_services(self) -> list[tuple[str, str, Service]]:
        projects, repositories = self.projects, self.repositories
        project, repository = "/api/v1/projects", "/api/v1/repositories"

        async def create_project(request: web.Request, session: Session) -> Json:
            body = await _body(request)
            return projects.create(session, body.get("project"), upsert=bool(body.get("upsert")))

        async def update_project(request: web.Request, session: Session) -> Json:
            return projects.update(session, _name(request), (await _body(request)).get("project"))

        async def create_repository(request: web.Request, session: Session) -> Json:
            upsert = request.query.get("upsert") == "true"
            return await repositories.create(session, await _body(request), upsert=upsert)

        async def update_repository(request: web.Request, session: Session) -> Json:
            return await repositories.update(session, _name(request), await _body(request))

        return [
            ("GET", project, lambda request, session: projects.listed(session)),
            ("POST", project, create_project),
            ("GET", project + "/{name}", lambda request, session: projects.get(session, _name(request))),
            ("PUT", project + "/{name}", update_project),
            ("DELETE", project + "/{name}", lambda request, session: projects.delete(session, _name(request))),
            ("GET", repository, lambda request, session: repositories.list(session, force_refresh=_forced(request))),
            ("POST", repository, create_repository),
            (
                "GET",
                repository + "/{name}",
                lambda request, session: repositories.get(session, *_scoped(request), force_refresh=_forced(request)),
            ),
            ("PUT", repository + "/{name}", update_repository),
            (
                "DELETE",
                repository + "/{name}",
                lambda request, session: repositories.delete(session, *_scoped(request)),
            ),
            ("GET", "/api/v1/account/can-i/{resource}/{action}/{thing:.*}", self._can_i),
            ("POST", "/api/v1/account/{name}/token", self._make_token),
        ]

    def _route(self, service: Service) -> Route:
        async def route(request: web.Request) -> web.StreamResponse:
            session = self.accounts.session(request.headers.get("Authorization"))
            answer = service(request, session)
            result = answer if isinstance(answer, dict) else await answer
            response = web.json_response(result) if isinstance(result, dict) else result
            renewed = self.accounts.renewed(session)
            if renewed is not None and not response.prepared:
                response.set_cookie("argocd.token", renewed, path="/", httponly=True)
            return response

        return route

    async def _login(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        token = self.accounts.login(str(body.get("username", "")), str(body.get("password", "")))
        return web.json_response({"token": token})

    async def _version(self, request: web.Request) -> web.StreamResponse:
        """Strangers learn the version and nothing else."""
        found = {"Version": VERSION}
        if self._asker(request) is not None:
            found |= {"BuildDate": "2026-01-01T00:00:00Z", "Platform": "linux/amd64", "KustomizeVersion": "v5.8.1"}
        return web.json_response(found)

    async def _running(self, request: web.Request) -> web.StreamResponse:
        image = await self.running(request.query.get("namespace", ""), request.query.get("service", ""))
        return web.json_response({"image": image})

    async def _userinfo(self, request: web.Request) -> web.StreamResponse:
        session = self._asker(request)
        if session is None:
            return web.json_response({})
        return web.json_response({"loggedIn": True, "username": session.account.name, "iss": "argocd", "groups": []})

    def _asker(self, request: web.Request) -> Session | None:
        try:
            return self.accounts.session(request.headers.get("Authorization"))
        except GrpcError:
            return None

    def _can_i(self, request: web.Request, session: Session) -> Json:
        info = request.match_info
        return {"value": "yes" if session.may(info["resource"], info["action"], info["thing"]) else "no"}

    async def _make_token(self, request: web.Request, session: Session) -> Json:
        session.must("accounts", "update", _name(request))
        seconds = int((await _body(request)).get("expiresIn") or 0)
        return {"token": self.api_token(_name(request), timedelta(seconds=seconds) if seconds else None)}

    async def stop(self) -> None:
        self.streams.stop()
        await super().stop()
        self._folder.cleanup()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self


@web.middleware
async def _content_type(request: web.Request, handler: Route) -> web.StreamResponse:
    """Exactly this type on all that is no GET, DELETE included; a charset is one word too many."""
    if request.method != "GET" and request.headers.get("Content-Type", "").lower() != "application/json":
        return web.Response(status=415, text="Invalid content type\n")
    return await handler(request)


@web.middleware
async def _errors(request: web.Request, handler: Route) -> web.StreamResponse:
    try:
        return await handler(request)
    except GrpcError as error:
        return error.response()


async def _page(_: web.Request) -> web.StreamResponse:
    """The user interface answers on every path that is no API: with a page and 200."""
    return web.Response(
        text="<!doctype html><html><head><title>Argo CD</title></head></html>", content_type="text/html"
    )


async def _body(request: web.Request) -> Json:
    try:
        body: Any = json.loads(await request.text() or "{}")
    except ValueError as error:
        raise invalid(f"invalid character in body: {error}") from error
    if not isinstance(body, dict):
        raise invalid("json: cannot unmarshal array into Go value")
    return body


def _name(request: web.Request) -> str:
    return request.match_info["name"]


def _projects(request: web.Request) -> list[str]:
    return request.query.getall("projects", []) + request.query.getall("project", [])


def _forced(request: web.Request) -> bool:
    return request.query.get("forceRefresh") == "true"


def _scoped(request: web.Request) -> tuple[str, str]:
    return _name(request), request.query.get("appProject", "")


def _build(options: argparse.Namespace) -> ArgoCDStandin:
    accounts = (Account(options.username, options.password),)
    return ArgoCDStandin(accounts=accounts, times=Times(healthy=options.healthy_seconds), port=options.port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for Argo CD.")
    parser.add_argument("--username", default="admin")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--healthy-seconds", type=float, default=0.2, help="from Progressing to Healthy")
    main(_build, parser)
