"""Docker Hub's management API: repositories and tags.

Source: Docker's API reference (docs.docker.com/reference/api/hub/latest), and docker/hub-tool where it says nothing.
Images themselves are read through `registry.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from yarl import URL

from ..api.errors import ConflictError, CredentialsError, Refused, ValidationError
from ..runtime.clock import Clock
from .dockerhub_login import HubLogin
from .http import Http, Response, detail_text, details_of

PAGE_SIZE = 100
"""Tags asked for per page: the most that Docker Hub gives."""


@dataclass(frozen=True)
class Repository:
    """One repository. `description` has at most 100 characters, `full_description` at most 25000."""

    namespace: str
    name: str
    description: str
    full_description: str
    private: bool


@dataclass(frozen=True)
class Tag:
    """One tag. `digest` is that of the manifest or index the tag points to; None when the answer does not say."""

    name: str
    digest: str | None
    last_updated: datetime | None


class DockerHub:
    """Typed calls under one account. Absent things are None; everything else raises the errors of `api/errors`.

    A refused call is repeated once with a new login, since a token may be withdrawn at any time.
    """

    def __init__(self, http: Http, *, username: Callable[[], str], secret: Callable[[], str], clock: Clock) -> None:
        self._http = http
        self._login = HubLogin(http, username=username, secret=secret, clock=clock)

    async def log_in(self) -> None:
        """Prove that Docker Hub takes our login, where no namespace is known to `ping`.

        A login that it took within the last ten minutes proves it: asking again for each look could lock the account.
        """
        await self._login.token()

    async def ping(self, namespace: str) -> None:
        """Prove that Docker Hub answers and takes our login: lists at most one repository of `namespace`."""
        path = f"/v2/namespaces/{_quoted(namespace)}/repositories?page=1&page_size=1"
        await self._call("list repositories", "GET", path)

    async def repositories(self, namespace: str) -> AsyncIterator[Repository]:
        """All repositories of a namespace that our account may see, page by page.

        It proves no absence: an organisation's access token without the scope to list gets the public ones alone, with
        status 200 and without a word about it.
        """
        operation = "list repositories"
        path = f"/v2/namespaces/{_quoted(namespace)}/repositories?page=1&page_size={PAGE_SIZE}"
        async for item in self._pages(operation, path):
            name, private = (item.get("name"), item.get("is_private")) if isinstance(item, dict) else (None, None)
            if not isinstance(item, dict) or not isinstance(name, str) or not isinstance(private, bool):
                raise self._http.malformed(operation, "a repository without name and is_private in it")
            texts = _text(item, "description"), _text(item, "full_description")
            yield Repository(namespace, name, *texts, private)

    async def repository(self, namespace: str, name: str) -> Repository | None:
        """The repository, or None. A private one that our account may not see counts as absent here too."""
        operation = "get repository"
        reply = await self._call(operation, "GET", _repository_path(namespace, name))
        if self._absent(operation, reply):
            return None
        value = self._object(operation, reply)
        private = value.get("is_private")
        if value.get("name") != name or not isinstance(private, bool):
            raise self._http.malformed(operation, f"no name and is_private of {namespace}/{name} in it")
        return Repository(namespace, name, _text(value, "description"), _text(value, "full_description"), private)

    async def create_repository(
        self, namespace: str, name: str, *, description: str, full_description: str = "", private: bool
    ) -> None:
        """Create it. There is no documented answer for a name that is taken: look first.

        Raises ConflictError when Docker Hub says that it exists, ValidationError when it refuses the name, the
        description or the namespace.
        """
        body = {
            "name": name,
            "namespace": namespace,
            "description": description,
            "full_description": full_description,
            "registry": "docker.io",
            "is_private": private,
        }
        operation = "create repository"
        path = f"/v2/namespaces/{_quoted(namespace)}/repositories"
        try:
            reply = await self._call(operation, "POST", path, body)
        except ValidationError as error:
            if error.status == 400 and "already exist" in json.dumps(error.details).lower() + error.unhidden.lower():
                text = f"{self._http.service}: {operation}: the repository {namespace}/{name} exists already"
                raise ConflictError(text, status=error.status, details=error.details) from error
            raise
        if reply.status == 404:
            raise self._missing(operation, f"the namespace {namespace}", reply)

    async def update_repository(
        self, namespace: str, name: str, *, description: str | None = None, private: bool | None = None
    ) -> None:
        """Change what is given. Docker documents no call for this: the web page and the Terraform providers use these.

        Raises Refused with Docker Hub's own words when it no longer takes them (403, 404, 405).
        """
        path = _old_path(namespace, name)
        if description is not None:
            await self._write("update description", "PATCH", path, {"description": description})
        if private is not None:
            await self._write("update privacy", "POST", f"{path}privacy/", {"is_private": private})

    async def delete_repository(self, namespace: str, name: str) -> None:
        """Delete it with all its tags; an absent one is fine. Undocumented too: read again to know that it is gone."""
        await self._call("delete repository", "DELETE", _old_path(namespace, name))

    async def tags(self, namespace: str, name: str) -> AsyncIterator[Tag]:
        """All tags, page by page; none when there is no such repository.

        Tags that come or go meanwhile may be missed or come twice: prove an absence with `tag`.
        """
        operation = "list tags"
        path = f"{_repository_path(namespace, name)}/tags?page=1&page_size={PAGE_SIZE}"
        async for item in self._pages(operation, path):
            yield self._tag(operation, item)

    async def _pages(self, operation: str, path: str) -> AsyncIterator[Any]:
        """The results of all pages; none where there is nothing at the path."""
        seen: set[str] = set()
        while path and path not in seen:
            seen.add(path)
            reply = await self._call(operation, "GET", path)
            if self._absent(operation, reply):
                return
            page = self._object(operation, reply)
            results = page.get("results")
            if not isinstance(results, list):
                raise self._http.malformed(operation, "no list of results in it")
            for item in results:
                yield item
            path = self._next(operation, page.get("next"))

    async def tag(self, namespace: str, name: str, tag: str) -> Tag | None:
        """One tag, or None."""
        operation = "get tag"
        reply = await self._call(operation, "GET", f"{_repository_path(namespace, name)}/tags/{_quoted(tag)}")
        return None if self._absent(operation, reply) else self._tag(operation, self._object(operation, reply))

    async def delete_tag(self, namespace: str, name: str, tag: str) -> None:
        """Delete the tag, never the image: other tags may share it. An absent tag is fine.

        Undocumented; Docker's own hub-tool uses it. Some personal access tokens are refused (docker/hub-feedback#2127).
        """
        await self._call("delete tag", "DELETE", f"{_old_path(namespace, name)}tags/{_quoted(tag)}/")

    async def _write(self, operation: str, method: str, path: str, body: dict[str, Any]) -> None:
        reply = await self._call(operation, method, path, body)
        if reply.status == 404:
            raise self._missing(operation, "the repository or the call", reply)

    async def _call(self, operation: str, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
        token = await self._login.token()
        try:
            return await self._send(operation, method, path, body, token)
        except CredentialsError as error:
            if error.status != 401:
                raise
            self._login.drop(token)
        return await self._send(operation, method, path, body, await self._login.token())

    async def _send(self, operation: str, method: str, path: str, body: dict[str, Any] | None, token: str) -> Response:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        return await self._http.request(operation, method, path, headers=headers, json_body=body)

    def _absent(self, operation: str, reply: Response) -> bool:
        """Whether Docker Hub says that there is no such thing: in JSON, whatever the form. Else it is a 404 of some
        proxy, or of another address, and proves nothing."""
        if reply.status == 404 and not details_of(reply):
            raise self._http.malformed(operation, "a 404 that Docker Hub did not write; check DOCKERHUB_ENDPOINT")
        return reply.status == 404

    def _missing(self, operation: str, what: str, reply: Response) -> Refused:
        details = details_of(reply)
        said = detail_text(reply, details, self._http.hidden)
        text = self._http.hidden(f"{self._http.service}: {operation}: {what} does not exist: 404 {said}".rstrip())
        return ValidationError(text, status=404, details=details)

    def _object(self, operation: str, reply: Response) -> dict[str, Any]:
        try:
            value = reply.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self._http.malformed(operation, "it is no JSON object")
        return value

    def _tag(self, operation: str, value: object) -> Tag:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(name, str):
            raise self._http.malformed(operation, "a tag without a name in it")
        return Tag(name, _digest(value), _time(value.get("last_updated")))

    def _next(self, operation: str, link: object) -> str:
        """The next page. Only at the same service: our token goes nowhere else."""
        if link is None or link == "":
            return ""
        if not isinstance(link, str):
            raise self._http.malformed(operation, "next is no address")
        base = URL(self._http.base)
        try:
            url = base.join(URL(link, encoded=True))
            same = url.origin() == base.origin() and url.user is None
        except ValueError:
            same = False
        if not same:
            raise self._http.malformed(operation, "next leads to another host")
        return str(url)


def _quoted(segment: str) -> str:
    return quote(segment, safe="")


def _repository_path(namespace: str, name: str) -> str:
    return f"/v2/namespaces/{_quoted(namespace)}/repositories/{_quoted(name)}"


def _old_path(namespace: str, name: str) -> str:
    """The form that is deprecated for reading (2025-09) and the only one for writing."""
    return f"/v2/repositories/{_quoted(namespace)}/{_quoted(name)}/"


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    return text if isinstance(text, str) else ""


def _digest(value: dict[str, Any]) -> str | None:
    """A tag's digest. `images` is one object in Docker's specification and an array in Docker's own client."""
    images = value.get("images")
    single = images[0] if isinstance(images, list) and len(images) == 1 else images
    inner = single.get("digest") if isinstance(single, dict) else None
    for digest in (value.get("digest"), inner):
        if isinstance(digest, str) and digest:
            return digest
    return None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
