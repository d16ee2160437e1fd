"""Stand-in of a container registry: the OCI distribution API with the surprises of Docker Hub's.

Alone it asks for nobody's name (`auth="none"`); as part of `standins.dockerhub` it has Docker's token service.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from aiohttp import web

from devops_reconciler.runtime.clock import Clock

from .controls import Route
from .registry_accounts import Account, Accounts
from .registry_auth import Auth, Door
from .registry_blobs import Uploads, failure
from .registry_store import DOCKER_MANIFEST, INDEXES, MEDIA_TYPES, Manifest, Store, digest_of
from .serve import StandIn, main

NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
BODY_LIMIT = 1024**3
WINDOW = 21600


class RegistryStandin(StandIn):
    """One registry. `lag`: how long after a push a tag is seen, and after a deletion still seen.

    Knobs: `door` (authentication), `new_private`, `pull_limit` (pulls in six hours), `realm` (another token service).
    """

    def __init__(
        self,
        accounts: Sequence[Account] = (),
        *,
        auth: Auth = "none",
        lag: timedelta = timedelta(0),
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self.accounts = Accounts(accounts, self.clock)
        self.store = Store(self.clock)
        self.lag = lag
        self.realm = ""
        self.door = Door(auth, self.accounts, self.store, lambda: self.realm or f"{self.url}/token")
        self.new_private = False
        self.pull_limit = 100
        self.pulls: Counter[str] = Counter()
        self._uploads = Uploads(self)

    @property
    def repositories(self) -> list[str]:
        """All repositories, as they are now."""
        return sorted(self.store.repositories.items())

    def tags_of(self, repository: str) -> dict[str, str]:
        """Digest by tag, as they are now."""
        return {tag: record.digest for tag, record in self.store.contents(repository).tags.items().items()}

    def manifest(self, repository: str, digest: str) -> Manifest | None:
        return self.store.contents(repository).manifests.get(digest)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.controls.middleware, signed], client_max_size=BODY_LIMIT)
        app.add_routes(
            [
                web.get("/token", self.door.token),
                web.get("/v2/", self._root),
                *self._uploads.routes(),
                web.get("/v2/{name:.+}/tags/list", self._list),
                web.get("/v2/{name:.+}/manifests/{reference}", self._get),
                web.put("/v2/{name:.+}/manifests/{reference}", self._put),
                web.delete("/v2/{name:.+}/manifests/{reference}", self._unsupported),
            ]
        )
        return app

    def enter(self, request: web.Request, action: str) -> tuple[str, str]:
        """Repository and account of a request that may do this. A push to a new name creates the repository."""
        name = request.match_info["name"]
        if not NAME.fullmatch(name) or len(name) > 255:
            raise failure(400, "NAME_INVALID", "invalid repository name")
        who = self.door.pass_in(request, name, action)
        if self.store.repositories.get(name) is None:
            if action != "push" or not self.door.creates_repositories:
                raise failure(404, "NAME_UNKNOWN", "repository name not known to registry")
            self.store.create(name, private=self.new_private)
        return name, who

    async def _root(self, request: web.Request) -> web.Response:
        self.door.pass_in(request, "", "pull")
        return web.json_response({})

    async def _unsupported(self, request: web.Request) -> web.Response:
        self.enter(request, "push")
        raise failure(405, "UNSUPPORTED", "the operation is unsupported")

    async def _list(self, request: web.Request) -> web.Response:
        name, _ = self.enter(request, "pull")
        tags = [
            tag for tag in sorted(self.store.contents(name).tags.items(self.lag)) if tag > request.query.get("last", "")
        ]
        headers = {}
        if "n" in request.query and len(tags) > (size := int(request.query["n"])):
            tags = tags[:size]
            if tags:
                headers["Link"] = f'</v2/{name}/tags/list?n={size}&last={tags[-1]}>; rel="next"'
        return web.json_response({"name": name, "tags": tags}, headers=headers)

    async def _get(self, request: web.Request) -> web.Response:
        name, who = self.enter(request, "pull")
        manifest = self._negotiated(name, request)
        headers = self._count(request, who)
        headers["Docker-Content-Digest"] = manifest.digest
        headers["Content-Type"] = manifest.media_type
        return web.Response(body=manifest.body, headers=headers)

    def _count(self, request: web.Request, who: str) -> dict[str, str]:
        """A GET of a manifest is a pull, a HEAD is not."""
        if request.method == "GET":
            if self.pulls[who] >= self.pull_limit:
                raise failure(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.")
            self.pulls[who] += 1
        left = self.pull_limit - self.pulls[who]
        return {"ratelimit-limit": f"{self.pull_limit};w={WINDOW}", "ratelimit-remaining": f"{left};w={WINDOW}"}

    def _negotiated(self, name: str, request: web.Request) -> Manifest:
        """The manifest in a form that the client accepts: an index may become its amd64 image, else 404."""
        contents = self.store.contents(name)
        reference = request.match_info["reference"]
        tag = None if ":" in reference else contents.tags.get(reference, self.lag)
        manifest = contents.manifests.get(tag.digest if tag else reference)
        if manifest is None:
            raise failure(404, "MANIFEST_UNKNOWN", "manifest unknown")
        accepted = _accepted(request)
        if manifest.media_type in accepted:
            return manifest
        if manifest.media_type in INDEXES and tag is not None:
            for child in manifest.children:
                image = contents.manifests.get(child["digest"])
                if image and image.media_type in accepted and child.get("platform", {}).get("architecture") == "amd64":
                    return image
        raise failure(404, "MANIFEST_UNKNOWN", f"{manifest.media_type} found, but accept header does not support it")

    async def _put(self, request: web.Request) -> web.Response:
        name, who = self.enter(request, "push")
        reference = request.match_info["reference"]
        body = await request.read()
        if ":" in reference and reference != digest_of(body):
            raise failure(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        if ":" not in reference and not TAG.fullmatch(reference):
            raise failure(400, "TAG_INVALID", "manifest tag did not match URI")
        self._check_manifest(name, request.content_type, body)
        manifest = self.store.put_manifest(name, request.content_type, body)
        if ":" not in reference:
            self.store.put_tag(name, reference, manifest.digest, who)
        location = f"{self.url}/v2/{name}/manifests/{manifest.digest}"
        return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": manifest.digest})

    def _check_manifest(self, name: str, media_type: str, body: bytes) -> None:
        """What a manifest names must be there already."""
        contents = self.store.contents(name)
        try:
            content = json.loads(body)
            manifest = Manifest("", media_type, body)
            children, blobs = [child["digest"] for child in manifest.children], manifest.blobs
        except (ValueError, KeyError, TypeError, AttributeError):
            raise failure(400, "MANIFEST_INVALID", "manifest invalid") from None
        if media_type not in MEDIA_TYPES or content.get("mediaType", media_type) != media_type:
            raise failure(400, "MANIFEST_INVALID", f"unknown or contradicting media type {media_type}")
        missing = [digest for digest in blobs if digest not in contents.blobs]
        missing += [digest for digest in children if digest not in contents.manifests]
        if missing:
            raise failure(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing[0]}")


@web.middleware
async def signed(request: web.Request, handler: Route) -> web.StreamResponse:
    """Every answer of a registry names its version, refusals too: `App.ServeHTTP` of distribution/distribution."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        raise
    response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    return response


def _accepted(request: web.Request) -> frozenset[str]:
    """The media types of the Accept headers. Without any, what old Docker clients understood."""
    listed = ",".join(request.headers.getall("Accept", []))
    types = frozenset(part.partition(";")[0].strip() for part in listed.split(",") if part.strip())
    return types if types & MEDIA_TYPES else frozenset({DOCKER_MANIFEST})


def _build(options: argparse.Namespace) -> RegistryStandin:
    return RegistryStandin(port=options.port, lag=timedelta(seconds=options.lag))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A container registry that asks for nobody's name")
    parser.add_argument("--lag", type=float, default=0.0, help="seconds until a pushed tag is seen")
    main(_build, parser)
