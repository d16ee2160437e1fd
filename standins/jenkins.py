"""A stand-in for a Jenkins controller: folders, credentials, pipeline jobs from SCM, queue, builds, logs, stages.

Its builds really clone the revision with `git` and push a small OCI image to the registry (see `jenkins_run` for what
steers them). Modelled on core 2.579; plugin versions are of that time.

    async with JenkinsStandin() as jenkins:
        Http("jenkins", jenkins.url, …)

`python -m standins.jenkins --port 8080` serves it as a program.
"""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from urllib.parse import unquote

from aiohttp import web

from devops_reconciler.runtime.clock import Clock

from .jenkins_auth import COOKIE, CRUMB_FIELD, UNPROTECTED, Caller, Gate, User
from .jenkins_builds import BuildRoutes
from .jenkins_items import ItemRoutes
from .jenkins_json import Api
from .jenkins_model import Path, StoredBuild, StoredCredential, StoredItem, new_root
from .jenkins_pages import Answer, Ask, Route, json_answer, login_redirect, not_found, page
from .jenkins_queue import Queue
from .jenkins_run import Run, Timing
from .oci import DEFAULT_REGISTRY
from .serve import StandIn, main

VERSION = "2.579"
ITEM = re.compile(r"^((?:/job/[^/]+)*)/?(.*)$")


class JenkinsStandin(StandIn):
    """The controller. Times are in seconds; with `build_seconds=0` builds take only as long as git and registry.

    Settable while it runs: `users`, `wfapi` (False: the plugin is missing), `starting` (503), `refuse_scheduling`,
    `lag` (new queue items and builds are seen that much later), `quiet_period`, `queue.executors`, `controls`.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        port: int = 0,
        build_seconds: float = 0.3,
        quiet_seconds: float = 5.0,
        executors: int = 4,
        default_registry: str = DEFAULT_REGISTRY,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self.gate = Gate()
        self.users = self.gate.users
        self.username, self.token, self.password = "operator", "11a4b7c0d3e6f9", "correct horse"
        self.users[self.username] = User(self.username, self.token, self.password)
        self.quiet_period = timedelta(seconds=quiet_seconds)
        self.lag = timedelta(0)
        self.wfapi = True
        self.starting = False
        self.refuse_scheduling = False
        self.root = new_root()
        self._timing = Timing(timedelta(seconds=build_seconds), default_registry)
        self.queue = Queue(self.clock, executors=executors, find=self.find, runner=self._run, spawn=self.spawn)
        self._routes: list[Route] = [*ItemRoutes(self).table(), *BuildRoutes(self).table()]
        self.controls.template_of = template_of

    async def stop(self) -> None:
        self.queue.closed = True
        await super().stop()

    # For tests

    @property
    def items(self) -> dict[Path, StoredItem]:
        """Every folder and job by its path."""
        return {item.path: item for item in self.root.walk()}

    def builds_of(self, path: Path) -> list[StoredBuild]:
        """Newest first; none for an absent job."""
        item = self.find(path)
        return [] if item is None else [item.builds[number] for number in sorted(item.builds, reverse=True)]

    def credentials_of(self, path: Path) -> dict[str, StoredCredential]:
        item = self.find(path)
        return {} if item is None else item.credentials

    def restart(self) -> None:
        """Sessions end; pipelines survive it."""
        self.gate.end_sessions()

    # For the routes

    @property
    def root_url(self) -> str:
        return self.url

    def api(self) -> Api:
        return Api(self.root_url, self.queue, self.clock.now(), self.lag)

    def find(self, path: Path) -> StoredItem | None:
        item: StoredItem | None = self.root
        for name in path:
            item = item.children.get(name) if item is not None else None
        return item

    def _run(self, build: StoredBuild, job: StoredItem) -> Run:
        def credential(id: str) -> StoredCredential | None:
            for depth in range(len(job.path) - 1, -1, -1):
                found = self.credentials_of(job.path[:depth]).get(id)
                if found is not None:
                    return found
            return None

        return Run(build, job, credential, self._timing, self.clock)

    def permits(self, caller: Caller, permission: str) -> bool:
        return caller.user is not None and permission not in caller.user.denied

    def permit(self, ask: Ask, permission: str) -> None:
        if not self.permits(ask.caller, permission):
            name = ask.caller.user.name if ask.caller.user else "anonymous"
            text = f"{name} is missing the {permission} permission"
            raise Answer(page(403, text, X_You_Are_Authenticated_As=name, X_Required_Permission=permission))

    # Requests

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.controls.middleware], client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if self.starting:
            return page(503, "Please wait while Jenkins is getting ready to work ...")
        if re.search("%2f|%5c|%00", path, re.IGNORECASE) or "//" in path:
            # The servlet container refuses an encoded slash: hence a%252Fb for the branch a/b.
            return page(400, "Ambiguous URI path separator")
        caller = self.gate.identify(request)
        if caller is None:
            return page(401, "Invalid password/token for user", WWW_Authenticate='Basic realm="Jenkins"')
        response = await self._admitted(request, caller, path)
        if response.status == 403 or path.endswith("api/json") or "html" in (response.content_type or ""):
            response.headers.setdefault("X-Jenkins", VERSION)
            response.headers.setdefault("X-Jenkins-Session", "8d3c1f0a")
        return response

    async def _admitted(self, request: web.Request, caller: Caller, path: str) -> web.Response:
        if caller.user is None and path.strip("/").split("/")[0] not in UNPROTECTED:
            return login_redirect(path)
        if request.method == "POST" and not caller.exempt and not self.gate.crumb_is_valid(request, caller):
            return page(403, "No valid crumb was included in the request")
        session = caller.session
        if caller.user is not None and session is None:
            session = self.gate.open_session(caller.user)
        try:
            response = await self._dispatch(request, Caller(caller.user, caller.exempt, session), path)
        except Answer as answer:
            response = answer.response
        if session is not None and caller.session is None:
            response.set_cookie(COOKIE, session, path="/", httponly=True)
        return response

    async def _dispatch(self, request: web.Request, caller: Caller, path: str) -> web.Response:
        general = self._general(caller, path.strip("/"))
        if general is not None:
            return general
        split = ITEM.match(path)
        names = tuple(unquote(name) for name in split[1].split("/job/")[1:]) if split else ()
        rest = unquote(split[2]).rstrip("/") if split else ""
        item = self.find(names)
        if item is None or (names and not self.permits(caller, "hudson.model.Item.Read")):
            raise not_found()
        methods: set[str] = set()
        for route in self._routes:
            found = route.fits(item, rest)
            if found is not None and route.method == request.method:
                return await route.answer(Ask(request, caller, item, found))
            if found is not None:
                methods.add(route.method)
        if methods:
            return page(405, "This URL requires POST", Allow=", ".join(sorted(methods)))
        raise not_found()

    def _general(self, caller: Caller, path: str) -> web.Response | None:
        """What does not depend on items."""
        if path == "login":
            return page(200, "Sign in to Jenkins")
        if path in ("whoAmI/api/json", "me/api/json"):
            known = caller.user is not None
            name = caller.user.name if caller.user else "anonymous"
            value = {"_class": "hudson.security.WhoAmI", "anonymous": not known, "authenticated": known, "name": name}
            return json_answer(value | {"id": name})
        if path == "crumbIssuer/api/json":
            crumb = self.gate.crumb(caller.user, caller.session or "")
            issuer = "hudson.security.csrf.DefaultCrumbIssuer"
            return json_answer({"_class": issuer, "crumb": crumb, "crumbRequestField": CRUMB_FIELD})
        return None

    def addresses(self) -> dict[str, str]:
        return {"url": self.url, "username": self.username, "token": self.token}


def template_of(request: web.Request) -> str:
    """{item}/{number}/api/json and the like: paths without names and numbers."""
    split = ITEM.match(request.raw_path.partition("?")[0])
    item, rest = (split[1], split[2]) if split else ("", request.path)
    rest = re.sub(r"(?<=credential/)[^/]+", "{id}", re.sub(r"(^|/)\d+(?=/|$)", r"\1{number}", rest))
    return ("{item}/" if item else "/") + rest


def _build(options: argparse.Namespace) -> JenkinsStandin:
    return JenkinsStandin(
        port=options.port, build_seconds=options.build_seconds, default_registry=options.default_registry
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for Jenkins")
    parser.add_argument("--build-seconds", type=float, default=0.3)
    parser.add_argument("--default-registry", default=DEFAULT_REGISTRY)
    main(_build, parser)
