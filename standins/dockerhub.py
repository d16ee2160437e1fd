"""Stand-in of Docker Hub: the management API at `url`, and its registry with token service at `registry_url`.

Both share accounts, repositories and tags: a push creates a repository, public by default; a tag that is deleted here
is gone there.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from aiohttp import web

from devops_reconciler.runtime.clock import Clock

from .dockerhub_limits import Limits
from .dockerhub_login import HubDoor, json_object
from .dockerhub_views import invalid, not_found, refusal, repository_view, tag_view
from .registry import RegistryStandin
from .registry_accounts import Account, Login, Secret
from .registry_store import RepositoryRecord
from .serve import StandIn, main

VALID_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
DESCRIPTION_LIMIT = 100
FULL_DESCRIPTION_LIMIT = 25000
REPOSITORY = "/v2/namespaces/{ns}/repositories/{repo}"
OLD = "/v2/repositories/{ns}/{repo}"


class DockerHubStandin(StandIn):
    """Docker Hub with one account (`username`, `secret` a personal access token for everything), or with `accounts`.

    `lag`: how late the management API sees what happened. Knobs: `door` (tokens, second factor), `limits`,
    `pat_refused`, `undocumented_writes`, `as_specified`; `registry` with its own knobs and controls.
    """

    def __init__(
        self,
        username: str = "acme",
        secret: str = "dckr_pat_standin",
        *,
        accounts: Sequence[Account] = (),
        lag: timedelta = timedelta(0),
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, port=port)
        known = list(accounts) or [Account(username, [Secret(secret)])]
        self.registry = RegistryStandin(known, auth="token", clock=clock)
        self.accounts = self.registry.accounts
        self.store = self.registry.store
        self.lag = lag
        self.door = HubDoor(self.accounts)
        self.limits = Limits(self.clock)
        self.pat_refused: set[str] = set()
        """Calls that a token from a personal access token may not do: delete_tag, update, delete."""
        self.undocumented_writes = True
        """False: repositories can't be changed or deleted over the API."""
        self.as_specified = False
        """True: tags have the shape of Docker's specification instead of that of its server."""

    @property
    def registry_url(self) -> str:
        return self.registry.url

    @property
    def repositories(self) -> dict[str, RepositoryRecord]:
        """All repositories by `namespace/name`, as they are now."""
        return self.store.repositories.items()

    def tags(self, namespace: str, name: str) -> dict[str, str]:
        """Digest by tag, as they are now."""
        return self.registry.tags_of(f"{namespace}/{name}")

    def addresses(self) -> dict[str, str]:
        return {"url": self.url, "registry_url": self.registry_url}

    async def start(self) -> None:
        await self.registry.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        await self.registry.stop()
        self.controls.errors += self.registry.controls.errors

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.controls.middleware, self.limits.middleware])
        app.add_routes(
            [
                web.post("/v2/auth/token", self.door.token),
                web.post("/v2/users/login{slash:/?}", self.door.deprecated),
                web.post("/v2/users/2fa-login{slash:/?}", self.door.second_factor),
                web.get("/v2/namespaces/{ns}/repositories", self._list),
                web.post("/v2/namespaces/{ns}/repositories", self._create),
                web.get(REPOSITORY, self._get),
                web.get(REPOSITORY + "/tags", self._tags),
                web.get(REPOSITORY + "/tags/{tag}", self._tag),
                web.get(OLD + "{slash:/?}", self._get),
                web.patch(OLD + "/", self._update),
                web.post(OLD + "/privacy/", self._privacy),
                web.delete(OLD + "/", self._delete),
                web.delete(OLD + "/tags/{tag}/", self._delete_tag),
            ]
        )
        return app

    def _find(self, request: web.Request) -> tuple[str, RepositoryRecord]:
        """The repository that a reader may see. A private one of others looks as if it were not there."""
        login = self.door.who(request)
        namespace, name = request.match_info["ns"], request.match_info["repo"]
        record = self.store.repositories.get(f"{namespace}/{name}", self.lag)
        if record is None or (record.private and (login is None or not login.may("pull", namespace))):
            raise not_found(namespace, name)
        return f"{namespace}/{name}", record

    def _writer(self, request: web.Request, action: str, call: str = "") -> Login:
        login = self.door.who(request)
        if login is None:
            raise refusal(401, {"detail": "Authentication credentials were not provided."})
        if call in self.pat_refused and login.secret.kind == "pat":
            raise refusal(403, {"detail": "access to the resource is forbidden with personal access token"})
        if not login.may(action, request.match_info["ns"]):
            raise refusal(403, {"message": "access to the resource is forbidden", "errinfo": {"action": action}})
        return login

    def _existing(self, request: web.Request) -> tuple[str, RepositoryRecord]:
        """The repository for a writer: as it is now."""
        key = f"{request.match_info['ns']}/{request.match_info['repo']}"
        record = self.store.repositories.get(key)
        if record is None:
            raise not_found(request.match_info["ns"], request.match_info["repo"])
        return key, record

    async def _list(self, request: web.Request) -> web.Response:
        login = self.door.who(request)
        namespace = request.match_info["ns"]
        views = [
            repository_view(record)
            for _, record in sorted(self.store.repositories.items(self.lag).items())
            if record.namespace == namespace and (not record.private or (login and login.may("pull", namespace)))
        ]
        return self._page(request, views)

    async def _create(self, request: web.Request) -> web.Response:
        namespace = request.match_info["ns"]
        self._writer(request, "push")
        body = await json_object(request)
        name = str(body.get("name", ""))
        private = body.get("is_private", False)
        if not VALID_NAME.fullmatch(name) or not 2 <= len(name) <= 255:
            raise invalid("name", "must match ^[a-z0-9]+(?:[._-][a-z0-9]+)*$ and have 2 to 255 characters")
        if body.get("namespace") != namespace or not isinstance(private, bool):
            raise invalid("namespace", "is not that of the path, or is_private is no boolean")
        _check_texts(body)
        key = f"{namespace}/{name}"
        if self.store.repositories.get(key) is not None:
            text = "Repository with this Name and Namespace already exists."
            raise refusal(400, {"fields": {"__all__": [text]}, "text": text})
        texts = {"description": body.get("description", ""), "full_description": body.get("full_description", "")}
        return web.json_response(repository_view(self.store.create(key, private=private, **texts)), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(repository_view(self._find(request)[1]))

    async def _update(self, request: web.Request) -> web.Response:
        self._writer(request, "push", "update")
        self._check_undocumented(request)
        key, record = self._existing(request)
        body = await json_object(request)
        _check_texts(body)
        changed = {name: body[name] for name in ("description", "full_description") if name in body}
        record = replace(record, **changed)
        self.store.repositories.set(key, record)
        return web.json_response(repository_view(record))

    async def _privacy(self, request: web.Request) -> web.Response:
        self._writer(request, "delete", "update")
        self._check_undocumented(request)
        key, record = self._existing(request)
        private = (await json_object(request)).get("is_private")
        if not isinstance(private, bool):
            raise invalid("is_private", "a valid boolean is required")
        self.store.repositories.set(key, replace(record, private=private))
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.Response:
        self._writer(request, "delete", "delete")
        self._check_undocumented(request)
        key, _ = self._existing(request)
        self.store.delete(key)
        return web.json_response({}, status=202)

    async def _tags(self, request: web.Request) -> web.Response:
        key, _ = self._find(request)
        contents = self.store.contents(key)
        records = contents.tags.items(self.lag).items()
        newest_first = sorted(records, key=lambda item: (item[1].pushed, item[0]), reverse=True)
        views = [
            tag_view(tag, record, contents.manifests.get(record.digest), as_specified=self.as_specified)
            for tag, record in newest_first
        ]
        return self._page(request, views)

    async def _tag(self, request: web.Request) -> web.Response:
        key, record = self._find(request)
        contents, tag = self.store.contents(key), request.match_info["tag"]
        found = contents.tags.get(tag, self.lag)
        if found is None:
            raise not_found(record.namespace, record.name)
        manifest = contents.manifests.get(found.digest)
        return web.json_response(tag_view(tag, found, manifest, as_specified=self.as_specified))

    async def _delete_tag(self, request: web.Request) -> web.Response:
        self._writer(request, "delete", "delete_tag")
        key, record = self._existing(request)
        tags = self.store.contents(key).tags
        if tags.get(request.match_info["tag"]) is None:
            raise not_found(record.namespace, record.name)
        tags.set(request.match_info["tag"], None)
        return web.Response(status=204)

    def _check_undocumented(self, request: web.Request) -> None:
        if not self.undocumented_writes:
            text = '{"detail": "Method not allowed."}'
            raise web.HTTPMethodNotAllowed(request.method, ["GET"], text=text, content_type="application/json")

    def _page(self, request: web.Request, views: list[dict[str, object]]) -> web.Response:
        """One page: 10 entries by default, 100 at most. A later page without entries is 404."""
        number, size = _positive(request, "page", 1), min(100, _positive(request, "page_size", 10))
        part = views[(number - 1) * size : number * size]
        if number > 1 and not part:
            raise refusal(404, {"message": "object not found", "errinfo": {}})

        def link(page: int) -> str:
            return str(request.url.with_path(request.path).with_query(page=page, page_size=size))

        following = link(number + 1) if number * size < len(views) else None
        previous = link(number - 1) if number > 1 else None
        return web.json_response({"count": len(views), "next": following, "previous": previous, "results": part})


def _positive(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise invalid(name, "is no positive number")
    return int(text)


def _check_texts(body: dict[str, object]) -> None:
    for field, limit in (("description", DESCRIPTION_LIMIT), ("full_description", FULL_DESCRIPTION_LIMIT)):
        text = body.get(field, "")
        if not isinstance(text, str) or len(text) > limit:
            raise invalid(field, f"Ensure this field has no more than {limit} characters.")


def _build(options: argparse.Namespace) -> DockerHubStandin:
    return DockerHubStandin(options.username, options.secret, port=options.port, lag=timedelta(seconds=options.lag))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Docker Hub's management API and its registry")
    parser.add_argument("--username", default="acme", help="the one account, and its namespace")
    parser.add_argument("--secret", default="dckr_pat_standin", help="its personal access token")
    parser.add_argument("--lag", type=float, default=0.0, help="seconds until the management API sees a change")
    main(_build, parser)
