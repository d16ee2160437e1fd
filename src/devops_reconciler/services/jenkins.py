"""A client for Jenkins (core 2.4xx and later, with folders, credentials, git and workflow plugins).

It authenticates with user and API token sent with each request, keeps no cookie and therefore needs no crumb: a
request with an API token is exempt, and a session cookie would take that away (jenkinsci/jenkins, `ApiCrumbExclusion`).
Redirects are not followed: the Location of a trigger has no page. Nothing is retried here.

Absent things are None (or nothing to delete): folders, jobs and credentials only by the word of Jenkins itself, since
what looks absent may be given out as removed. Jenkins has one word for what is not there and for what we may not read.
A write into something that is absent raises ExternalServiceError, for whoever makes the parent will make it again.
Errors otherwise are those of `Http.request`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from ..api.errors import ConflictError, CredentialsError, ExternalServiceError, ValidationError
from .http import Http, Response
from .jenkins_log import UNREAD, last_lines, read_end
from .jenkins_types import (
    FOLDER_CLASS,
    PIPELINE_CLASS,
    USERNAME_PASSWORD_CLASS,
    Build,
    Credential,
    CredentialEntry,
    Item,
    ItemPath,
    LogChunk,
    QueueItem,
    Stage,
    UsernamePassword,
    executables_of,
    list_of,
    mapping_of,
    path_of,
    read_build,
    read_credentials,
    read_descriptions,
    read_item,
    read_items,
    read_queue_item,
    read_stage,
    text_of,
)
from .jenkins_xml import credential_xml, read_credential
from .rounds import FRESH, Rounds

__all__ = [
    "FOLDER_CLASS",
    "PIPELINE_CLASS",
    "USERNAME_PASSWORD_CLASS",
    "Build",
    "Credential",
    "CredentialEntry",
    "Item",
    "ItemPath",
    "Jenkins",
    "LogChunk",
    "QueueItem",
    "Stage",
    "UsernamePassword",
]

XML = "application/xml; charset=utf-8"
"""config.xml is read through the request's charset, which is not UTF-8 unless said so."""
FORM = "application/x-www-form-urlencoded; charset=utf-8"
WHO = "x-jenkins"
"""The header with the version of the core."""
QUEUE_ITEM = re.compile(r"/queue/item/(\d+)(?:/|$)")
ACTIONS = "actions[parameters[name,value]]"
ITEM_TREE = "name,description,url"
BUILD_TREE = f"number,url,queueId,building,result,timestamp,duration,estimatedDuration,{ACTIONS}"
STORE_TREE = "domains[credentials[id,description]]"
QUEUE_TREE = f"id,why,inQueueSince,cancelled,executable[number],task[name,url],{ACTIONS}"
EXECUTABLE = f"currentExecutable[{BUILD_TREE}]"
EXECUTOR_TREE = f"executors[{EXECUTABLE}],oneOffExecutors[{EXECUTABLE}]"

T = TypeVar("T")
ByPath = Mapping[ItemPath, list[Mapping[str, Any]]]
"""JSON by the job that it is of. What is of other jobs than ours is never read closer, so its shape harms nobody."""


class Jenkins:
    """One Jenkins controller under one account. `username` and `token` are asked for at each request."""

    def __init__(self, http: Http, *, username: Callable[[], str], token: Callable[[], str]) -> None:
        self._http = http
        self._username = username
        self._token = token
        self._rounds: Rounds[ByPath] = Rounds(http.clock)
        self._versions: Rounds[str] = Rounds(http.clock)

    # Items

    async def item(self, path: ItemPath) -> Item | None:
        """The folder or job at `path`."""
        response = await self._get("get item", item_url(path) + "/api/json?tree=name,description,url,jobs[name]")
        return None if await self._absent(response) else self._read("get item", response, read_item)

    async def items(self) -> list[tuple[ItemPath, Item]]:
        """All folders and jobs that our account may see, two levels deep: our jobs are in a folder at the root.

        One answer: Jenkins has no pages.
        """
        response = await self._get("list items", f"/api/json?tree=jobs[{ITEM_TREE},jobs[{ITEM_TREE}]]")
        self._present("list items", response, "the controller")
        return self._read("list items", response, read_items)

    async def descriptions(self, folder: ItemPath) -> dict[str, str]:
        """The description of each folder and job in `folder` that our account may see, by name. One answer."""
        response = await self._get("list folder", f"{item_url(folder)}/api/json?tree=jobs[name,description]")
        self._present("list folder", response, f"the folder {'/'.join(folder)}")
        return self._read("list folder", response, read_descriptions)

    async def config(self, path: ItemPath) -> bytes | None:
        """Its config.xml. It never equals what was sent: read it with `jenkins_xml`."""
        response = await self._get("get config", item_url(path) + "/config.xml")
        return None if await self._absent(response) else self._xml("get config", response)

    async def create_item(self, parent: ItemPath, name: str, xml: bytes) -> None:
        """Create `name` in `parent` (() is the root). ConflictError if there is one already."""
        url = f"{item_url(parent)}/createItem?name={segment(name)}"
        try:
            response = await self._post("create item", url, body=xml, content_type=XML)
        except ValidationError as error:
            if "already exists" in error.unhidden:
                raise ConflictError(error.message, status=error.status) from error
            raise
        self._present("create item", response, f"the folder {'/'.join(parent)}")

    async def update_config(self, path: ItemPath, xml: bytes) -> None:
        response = await self._post("update config", item_url(path) + "/config.xml", body=xml, content_type=XML)
        self._present("update config", response, "/".join(path))

    async def delete_item(self, path: ItemPath) -> None:
        """Delete it with all that is in it."""
        await self._send("delete item", "DELETE", item_url(path) + "/")

    # Credentials of a folder

    async def credentials(self, folder: ItemPath) -> list[CredentialEntry]:
        """All that its own store has, in every domain: a job in it may use each of them by its id."""
        response = await self._get("list credentials", f"{store_url(folder)}/api/json?tree={STORE_TREE}")
        self._present("list credentials", response, f"the credentials store of {'/'.join(folder)}")
        return self._read("list credentials", response, read_credentials)

    async def credential(self, folder: ItemPath, id: str) -> Credential | None:
        response = await self._get("get credential", credential_url(folder, id))
        if await self._absent(response):
            return None
        return read_credential(self._xml("get credential", response))

    async def create_credential(self, folder: ItemPath, value: UsernamePassword) -> None:
        """ConflictError if the id is taken."""
        url = f"{domain_url(folder)}/createCredentials"
        response = await self._post("create credential", url, body=credential_xml(value), content_type=XML)
        self._present("create credential", response, f"the credentials store of {'/'.join(folder)}")

    async def update_credential(self, folder: ItemPath, value: UsernamePassword) -> None:
        url = credential_url(folder, value.id)
        response = await self._post("update credential", url, body=credential_xml(value), content_type=XML)
        self._present("update credential", response, f"credential {value.id} of {'/'.join(folder)}")

    async def delete_credential(self, folder: ItemPath, id: str) -> None:
        await self._send("delete credential", "DELETE", credential_url(folder, id))

    # Queue

    async def trigger(self, path: ItemPath, parameters: Mapping[str, str]) -> int | None:
        """Ask for a build at once and return the id of its queue item.

        The answer 303 means that an item with the same parameters was waiting and stands for this one too. None when
        Jenkins names no item (it may have refused silently): look into queue and builds. Parameters that the job does
        not define are dropped by Jenkins without a word. ValidationError: not parameterized, or the job is disabled.
        What a `choice` does not offer looks like a fault of Jenkins: ExternalServiceError, 500.
        """
        response = await self._post(
            "trigger build",
            item_url(path) + "/buildWithParameters?delay=0sec",
            body=urlencode(dict(parameters)).encode(),
            content_type=FORM,
            accept=(302, 303, 409),
        )
        if response.status == 409:
            raise ValidationError(
                f"jenkins: trigger build: the job {'/'.join(path)} is disabled; enable it in Jenkins", status=409
            )
        self._present("trigger build", response, "/".join(path))
        found = QUEUE_ITEM.search(response.headers.get("location", ""))
        return int(found[1]) if found and response.status in (201, 303) else None

    async def queued(self, path: ItemPath, max_age: timedelta = FRESH) -> list[QueueItem]:
        """What waits for the job at `path`, in the order of the queue. Items that left it are not listed.

        All who ask at one time share one answer of the whole queue, which was asked for after all of them asked, or at
        most `max_age` before.
        """
        found = await self._rounds.get("queue", self._queue, max_age)
        return self._understood("list queue", lambda: [read_queue_item(each) for each in found.get(path, [])])

    async def _queue(self) -> ByPath:
        response = await self._get("list queue", f"/queue/api/json?tree=items[{QUEUE_TREE}]")
        self._present("list queue", response, "the queue")

        def task(item: Mapping[str, Any]) -> ItemPath:
            return path_of(text_of(mapping_of(item.get("task") or {}, "task"), "url"))

        return self._read("list queue", response, lambda value: grouped(list_of(value, "items"), task))

    async def queue_item(self, id: int) -> QueueItem | None:
        """One queue item, also for 5 minutes after it left the queue; then None."""
        response = await self._get("get queue item", f"/queue/item/{id}/api/json?tree={QUEUE_TREE}")
        return None if response.status == 404 else self._read("get queue item", response, read_queue_item)

    async def cancel_queued(self, id: int) -> None:
        """Take it out of the queue; no error if it is gone. Older versions redirect after it."""
        await self._post("cancel queue item", f"/queue/cancelItem?id={id}", accept=(302,))

    # Builds

    async def executing(self, path: ItemPath, max_age: timedelta = FRESH) -> list[Build]:
        """The builds of the job at `path` that executors work on. A build that is not among them may still run.

        All who ask at one time share one answer for all jobs, which was asked for after all of them asked, or at most
        `max_age` before. It comes from memory: asked for the builds of all jobs, Jenkins would read the records of
        each from its disk, foreign ones too. Source: jenkinsci/jenkins, `Computer.getExecutors` and
        `getOneOffExecutors`, where a pipeline runs; `Executor.getCurrentExecutableForApi` is null for an idle one and
        for what our account may not read. Where it may not see the executors at all, nothing is among them.
        """
        found = await self._rounds.get("executors", self._executors, max_age)
        return self._understood("list executors", lambda: [read_build(each) for each in found.get(path, [])])

    async def _executors(self) -> ByPath:
        try:
            response = await self._get("list executors", f"/computer/api/json?tree=computer[{EXECUTOR_TREE}]")
        except CredentialsError:
            return {}
        if response.status == 404:
            return {}

        def job(build: Mapping[str, Any]) -> ItemPath:
            return path_of(text_of(build, "url").rstrip("/").rpartition("/")[0])

        return self._read("list executors", response, lambda value: grouped(executables_of(value), job))

    async def builds(self, path: ItemPath) -> list[Build]:
        """The newest 100 builds, newest first; none for an absent job."""
        response = await self._get("list builds", f"{item_url(path)}/api/json?tree=builds[{BUILD_TREE}]")
        if await self._absent(response):
            return []
        return self._read(
            "list builds", response, lambda value: [read_build(each) for each in list_of(value, "builds")]
        )

    async def build(self, path: ItemPath, number: int) -> Build | None:
        response = await self._get("get build", f"{item_url(path)}/{number}/api/json?tree={BUILD_TREE}")
        return None if response.status == 404 else self._read("get build", response, read_build)

    async def log(self, path: ItemPath, number: int, start: int) -> LogChunk:
        """The log from raw byte `start` on. A `start` past the end makes Jenkins begin again at 0: `next` is smaller.

        An absent build has an empty log without more.
        """
        response = await self._get("get log", f"{item_url(path)}/{number}/logText/progressiveText?start={start}")
        if response.status == 404:
            return LogChunk("", start, False)
        size = response.headers.get("x-text-size", "")
        if not size.isdecimal():
            raise self._http.malformed("get log", "there is no X-Text-Size")
        text = response.text().replace("\r\n", "\n")
        return LogChunk(text, int(size), response.headers.get("x-more-data", "").lower() == "true")

    async def log_tail(self, path: ItemPath, number: int, count: int) -> list[str]:
        """The last `count` lines that are not empty, each at most 1 KiB and without secrets. [] for no build.

        For a log that is too long to be read, or comes too slowly, one line that says so.
        """
        url = f"{item_url(path)}/{number}/consoleText"
        # Unpacked, a few bytes of a log may be as many as fit into no memory.
        headers = {**self._login(), "Accept-Encoding": "identity"}
        try:
            async with self._http.chunks("get log tail", url, idle=self._http.timeout, headers=headers) as chunks:
                end = await read_end(chunks, self._http.clock)
        except ValidationError as error:
            if error.status != 404:
                raise
            return []
        return [UNREAD] if end is None else last_lines(end, count, self._http.hidden)

    async def stages(self, path: ItemPath, number: int) -> list[Stage] | None:
        """The stages so far; None where the plugin pipeline-rest-api is missing (or the build is)."""
        response = await self._get("get stages", f"{item_url(path)}/{number}/wfapi/describe")
        if response.status == 404:
            return None
        return self._read("get stages", response, lambda value: [read_stage(each) for each in list_of(value, "stages")])

    async def stop_build(self, path: ItemPath, number: int) -> None:
        """Ask it to stop; whether it did shows in `build`. No error if it has finished or is absent."""
        await self._post("stop build", f"{item_url(path)}/{number}/stop", accept=(302,))

    # The controller

    async def whoami(self) -> str:
        """The user that Jenkins takes us for. CredentialsError if that is nobody."""
        response = await self._get("who am I", "/whoAmI/api/json?tree=name,anonymous,authenticated")
        self._present("who am I", response, "the controller")
        value = self._read("who am I", response, dict)
        if value.get("anonymous") is True or value.get("authenticated") is False:
            raise CredentialsError("jenkins: who am I: Jenkins takes us for anonymous; check user and API token")
        return self._read("who am I", response, lambda found: text_of(found, "name"))

    async def item_types(self) -> list[str]:
        """The classes of items that we may create at the root. CredentialsError: none, we lack Item/Create.

        Source: jenkinsci/jenkins, `View.doItemCategories`, which the page "New Item" asks.
        """
        response = await self._get("list item types", "/view/all/itemCategories?depth=3")
        self._present("list item types", response, "the view all")

        def read(value: Mapping[str, Any]) -> list[str]:
            return [text_of(item, "class") for each in list_of(value, "categories") for item in list_of(each, "items")]

        return self._read("list item types", response, read)

    async def version(self) -> str:
        """The version of the core, from the header X-Jenkins."""
        response = await self._get("get version", "/api/json?tree=_class")
        version = response.headers.get(WHO, "")
        if response.status == 404 or not version:
            raise self._http.malformed("get version", "there is no X-Jenkins header; is this address a Jenkins?")
        return version

    # Below

    async def _get(self, operation: str, url: str) -> Response:
        return await self._send(operation, "GET", url)

    async def _post(
        self,
        operation: str,
        url: str,
        *,
        body: bytes = b"",
        content_type: str = FORM,
        accept: tuple[int, ...] = (),
    ) -> Response:
        return await self._send(operation, "POST", url, body=body, content_type=content_type, accept=accept)

    async def _send(
        self,
        operation: str,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        content_type: str | None = None,
        accept: tuple[int, ...] = (),
    ) -> Response:
        headers = self._login()
        if content_type is not None:
            headers["Content-Type"] = content_type
        return await self._http.request(operation, method, url, headers=headers, body=body, accept=accept)

    def _login(self) -> dict[str, str]:
        pair = base64.b64encode(f"{self._username()}:{self._token()}".encode()).decode()
        # Messages of Jenkins follow the language of the request, and we look into one of them.
        return {"Authorization": f"Basic {pair}", "Accept-Language": "en"}

    async def _absent(self, response: Response) -> bool:
        """Whether Jenkins says that there is no such thing. Raises ExternalServiceError for a 404 of somebody else: an
        Ingress without a backend, another address.

        Jenkins says the same of what this account may not read, so without that right it proves nothing.

        Its page for a 404 names its version, as all its pages do (jenkinsci/jenkins, `Jenkins/_404.jelly`). Where a
        proxy shows its own page instead, it is asked who it is; all who ask at one time share the answer.
        """
        if response.status != 404:
            return False
        if WHO not in response.headers:
            await self._versions.get("version", self.version)
        return True

    def _present(self, operation: str, response: Response, what: str) -> None:
        """404 in answer to something that needs its target."""
        if response.status == 404:
            raise ExternalServiceError(
                f"{self._http.service}: {operation}: {what} is absent, or this account may not see it",
                service=self._http.service,
                maybe_applied=False,
            )

    def _read(self, operation: str, response: Response, read: Callable[[Mapping[str, Any]], T]) -> T:
        kind = response.headers.get("content-type", "no content type")
        return self._understood(operation, lambda: read(mapping_of(response.json(), "the answer")), f" ({kind})")

    def _understood(self, operation: str, read: Callable[[], T], hint: str = "") -> T:
        try:
            return read()
        except KeyError as error:
            raise self._http.malformed(operation, f"{error} is missing") from error
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise self._http.malformed(operation, f"{error}{hint}") from error

    def _xml(self, operation: str, response: Response) -> bytes:
        """The body, if it is XML and not a page of some proxy."""
        if "html" in response.headers.get("content-type", "") or not response.body.lstrip().startswith(b"<"):
            raise self._http.malformed(operation, "no XML")
        return response.body


def grouped(values: list[Mapping[str, Any]], path: Callable[[Mapping[str, Any]], ItemPath]) -> ByPath:
    """`values` by their path, in their order."""
    found: dict[ItemPath, list[Mapping[str, Any]]] = {}
    for each in values:
        found.setdefault(path(each), []).append(each)
    return found


def segment(name: str) -> str:
    """A name as one segment of a URL. The branch job `a%2Fb` becomes `a%252Fb`; "." and ".." would change the path."""
    if name in ("", ".", ".."):
        raise ValidationError(f"{name!r} cannot be a name in Jenkins")
    return quote(name, safe="")


def item_url(path: ItemPath) -> str:
    """The URL path of an item, without a slash at its end: /job/a/job/b; "" for the root."""
    return "".join(f"/job/{segment(name)}" for name in path)


def store_url(folder: ItemPath) -> str:
    store = "folder" if folder else "system"
    return f"{item_url(folder)}/credentials/store/{store}"


def domain_url(folder: ItemPath) -> str:
    """The domain that ours are in: the one without a name."""
    return f"{store_url(folder)}/domain/_"


def credential_url(folder: ItemPath, id: str) -> str:
    return f"{domain_url(folder)}/credential/{segment(id)}/config.xml"
