"""Answers in the forms that Jenkins has for them, and how a request is matched to what answers it."""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from .jenkins_auth import Caller
from .jenkins_model import StoredItem

Answering = Callable[["Ask"], Awaitable[web.Response]]


@dataclass
class Ask:
    """A request for something of `item` (the root for all without item); `found` holds the parts of the rest."""

    request: web.Request
    caller: Caller
    item: StoredItem
    found: re.Match[str]

    def query(self, name: str) -> str | None:
        return self.request.query.get(name)


@dataclass(frozen=True)
class Route:
    """`rest` is matched with what follows the item in the path. `where`: root, item, folder or job."""

    method: str
    where: str
    rest: re.Pattern[str]
    answer: Answering

    def fits(self, item: StoredItem, rest: str) -> re.Match[str] | None:
        kinds = {"root"} if not item.path else {"item", "folder" if item.is_folder else "job"}
        if not item.path:
            kinds.add("folder")
        return self.rest.fullmatch(rest) if self.where in kinds else None


class Answer(Exception):
    """Ends the handling of a request with this response."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(str(response.status))
        self.response = response


def page(status: int, text: str, **headers: str) -> web.Response:
    body = f"<!DOCTYPE html><html><head><title>Jenkins</title></head><body><p>{html.escape(text)}</p></body></html>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, text=body, content_type="text/html", headers=named)


def failure(text: str) -> Answer:
    """`hudson.model.Failure`: 400 with the message in X-Error."""
    return Answer(page(400, text, X_Error=text))


def oops(text: str) -> Answer:
    """An exception in Jenkins."""
    return Answer(page(500, f"Oops! A problem occurred while processing the request. {text}"))


def not_found() -> Answer:
    return Answer(page(404, "Not Found"))


def redirect(location: str, status: int = 302) -> web.Response:
    return web.Response(status=status, headers={"Location": location})


def empty(status: int = 200) -> web.Response:
    return web.Response(status=status)


def json_answer(value: Any) -> web.Response:
    return web.json_response(value)


def login_redirect(path: str) -> web.Response:
    """What an anonymous caller gets: 403 and a page that sends a browser to the login, no challenge."""
    target = f"/login?from={html.escape(path)}"
    body = (
        f"<html><head><meta http-equiv='refresh' content='1;url={target}'/>"
        f"<script>window.location.replace('{target}');</script></head><body>Authentication required</body></html>"
    )
    return web.Response(status=403, text=body, content_type="text/html")
