"""The Kubernetes client where a real API server cannot be made to answer so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    ValidationError,
    Waiting,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.kubernetes import CONFIG_MAP, DEVOPS_PROJECT, NAMESPACE, SECRET, Kind, Kubernetes
from devops_reconciler.services.kubernetes_access import AccessToken, ClusterAccess

Answer = Response | BaseException


class Scripted:
    """A transport that gives these answers in turn, to requests and to streams, and keeps what it was asked."""

    def __init__(self, *answers: Answer | list[bytes | BaseException]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        answer = self._next(request)
        assert isinstance(answer, Response)
        return answer

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        answer = self._next(request)
        if isinstance(answer, Response):
            yield answer, lines([])
        else:
            yield Response(200), lines(answer)

    async def close(self) -> None: ...

    def _next(self, request: Request) -> Response | list[bytes | BaseException]:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def query(self, number: int) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.requests[number].url).query).items()}


async def lines(content: list[bytes | BaseException]) -> AsyncIterator[bytes]:
    for line in content:
        if isinstance(line, BaseException):
            raise line
        yield line


class CountingToken:
    """A token that can be read again `renewals` times."""

    def __init__(self, renewals: int) -> None:
        self.renewals = renewals
        self.number = 0

    def __call__(self) -> str:
        return f"t{self.number}"

    def drop(self, refused: str) -> bool:
        if refused != self():
            return True
        if self.number >= self.renewals:
            return False
        self.number += 1
        return True


def client_on(transport: Scripted, token: CountingToken | None = None) -> Kubernetes:
    return Kubernetes(Http("kubernetes", "https://kube.example.com/base", transport, FakeClock()), token=token)


def page(*names: str, more: str = "", version: str = "7") -> Response:
    metadata = {"resourceVersion": version, "continue": more}
    return answer(200, {"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]})


def answer(status: int, body: object, **headers: str) -> Response:
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()
    )


def status(code: int, message: str, reason: str = "", **details: object) -> Response:
    return answer(code, {"kind": "Status", "code": code, "message": message, "reason": reason, "details": details})


def event(sort: str, version: str, **obj: object) -> bytes:
    return json.dumps({"type": sort, "object": {"metadata": {"resourceVersion": version}, **obj}}).encode()


async def get(client: Kubernetes) -> object:
    return await client.get(CONFIG_MAP, "shop", "one")


async def test_a_refused_token_is_read_again_once() -> None:
    transport = Scripted(status(401, "Unauthorized"), answer(200, {"a": 1}))
    assert await get(client_on(transport, CountingToken(1))) == {"a": 1}
    assert [request.headers["Authorization"] for request in transport.requests] == ["Bearer t0", "Bearer t1"]

    transport = Scripted(status(401, "Unauthorized"), status(401, "Unauthorized"))
    with pytest.raises(CredentialsError):
        await get(client_on(transport, CountingToken(5)))
    transport = Scripted(status(401, "Unauthorized"))
    with pytest.raises(CredentialsError):
        await get(client_on(transport, CountingToken(0)))


async def test_all_whose_token_was_refused_while_they_were_under_way_send_the_next_one(tmp_path: Path) -> None:
    file, clock = tmp_path / "token", FakeClock()
    file.write_text("old")
    let_go = {f"n{number}": asyncio.Event() for number in range(4)}
    sent: list[str] = []

    class Rotating(Scripted):
        async def send(self, request: Request) -> Response:
            sent.append(request.headers["Authorization"])
            await let_go[urlsplit(request.url).path.rsplit("/")[-1]].wait()
            if request.headers["Authorization"] == "Bearer old":
                return status(401, "Unauthorized")
            return answer(200, {"metadata": {}})

    http = Http("kubernetes", "https://kube.example.com", Rotating(), clock)
    access = ClusterAccess("https://kube.example.com", token_file=str(file))
    kubernetes = Kubernetes(http, token=AccessToken(access, clock))
    asked = [asyncio.create_task(kubernetes.get(NAMESPACE, None, name)) for name in let_go]
    await asyncio.sleep(0)
    assert sent == ["Bearer old"] * 4
    file.write_text("new")
    for each, going in zip(asked, let_go.values(), strict=True):  # the first one's refusal has had its consequences
        going.set()
        assert await each == {"metadata": {}}
    assert sent[4:] == ["Bearer new"] * 4


async def test_a_busy_server_says_when_to_come_again() -> None:
    transport = Scripted(answer(429, {"kind": "Status", "message": "too many requests"}, retry_after="3"))
    with pytest.raises(ExternalServiceError, match="too many requests") as caught:
        await get(client_on(transport))
    assert caught.value.after == timedelta(seconds=3)
    assert not caught.value.maybe_applied


@pytest.mark.parametrize(
    "body", [b"", b"<html>Sign in</html>", b'{"metadata": {"na', b"[]", b'"text"', b"null", b"\xff\xfe"]
)
@pytest.mark.parametrize(
    "call",
    [
        get,
        lambda client: client.list(CONFIG_MAP, "shop"),
        lambda client: client.create(CONFIG_MAP, "shop", {"metadata": {"name": "one"}}),
        lambda client: client.apply(CONFIG_MAP, "shop", {"metadata": {"name": "one"}}),
        lambda client: client.merge_patch(CONFIG_MAP, "shop", "one", {}),
        lambda client: client.patch_status(DEVOPS_PROJECT, "shop", "one", {}, resource_version="1"),
        lambda client: client.version(),
        lambda client: client.secret_data("shop", "one"),
    ],
)
async def test_an_answer_that_is_no_object_is_an_external_failure(
    body: bytes, call: Callable[[Kubernetes], object]
) -> None:
    with pytest.raises(ExternalServiceError, match="not usable"):
        await call(client_on(Scripted(Response(200, {}, body))))  # type: ignore[misc]


@given(st.text(st.characters()))
@example("\x7f\x85\x9f\u2028\u2029\ufeff\ufffe\uffff\U0001f6d2")
def test_what_is_applied_is_json_that_yaml_reads_alike(text: str) -> None:
    """The server reads it as YAML: no surrogate escapes, and nothing that is a line break or forbidden there."""

    async def body() -> bytes:
        transport = Scripted(Response(200, {}, b"{}"))
        await client_on(transport).apply(CONFIG_MAP, "shop", {"metadata": {"name": "one"}, "data": {"text": text}})
        return transport.requests[0].body or b""

    sent = asyncio.run(body()).decode()
    assert json.loads(sent)["data"]["text"] == text
    assert not re.search(r"[^\x20-\x7e\xa0-\u2027\u202a-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]", sent)
    assert all(character in sent for character in text if ord(character) > 0xFFFF)


async def test_an_emoji_is_applied_as_it_is_and_created_as_before() -> None:
    made = {"metadata": {"name": "one"}, "data": {"text": "Shop 🛒"}}
    for write, sent in ((Kubernetes.apply, '"Shop 🛒"'.encode()), (Kubernetes.create, rb'"Shop \ud83d\uded2"')):
        transport = Scripted(Response(200, {}, b"{}"))
        await write(client_on(transport), CONFIG_MAP, "shop", made)
        assert sent in (transport.requests[0].body or b"")


async def test_a_missing_page_of_a_proxy_is_no_absence() -> None:
    for body in (b"404 page not found\n", b"<html>Not here</html>", b"{}", b'{"kind": "Status", "details": {}}'):
        with pytest.raises(ExternalServiceError, match="does not know"):
            await get(client_on(Scripted(Response(404, {}, body))))


@pytest.mark.parametrize(
    ("response", "error", "reason"),
    [
        (status(403, 'User "a" cannot get', "Forbidden"), CredentialsError, Reason.PERMISSION_DENIED),
        (status(403, "exceeded quota: few", "Forbidden"), ValidationError, Reason.QUOTA_EXCEEDED),
        (
            status(403, 'admission webhook "a" denied the request: no', "Forbidden"),
            ValidationError,
            Reason.INVALID_SPEC,
        ),
        (
            status(403, "no", "Forbidden", causes=[{"reason": "NamespaceTerminating"}]),
            Waiting,
            Reason.DEPENDENCY_NOT_READY,
        ),
        (status(409, "the object has been modified", "Conflict"), ConflictError, Reason.OWNERSHIP_CONFLICT),
        (status(410, "too old", "Expired"), ConflictError, Reason.OWNERSHIP_CONFLICT),
        (status(422, "spec.git: Required value", "Invalid"), ValidationError, Reason.INVALID_SPEC),
        (status(500, "etcdserver: leader changed"), ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
        (status(504, "Timeout: request did not complete"), ExternalServiceError, Reason.EXTERNAL_SERVICE_ERROR),
    ],
)
async def test_each_refusal_has_its_error(response: Response, error: type[ReconcilerError], reason: Reason) -> None:
    for write in (Kubernetes.create, Kubernetes.apply):
        with pytest.raises(error) as caught:
            await write(client_on(Scripted(response)), CONFIG_MAP, "shop", {"metadata": {"name": "one"}})
        assert caught.value.reason == reason
        assert json.loads(response.body)["message"] in caught.value.message


async def test_a_long_refusal_is_kept_whole() -> None:
    problems = ", ".join(f"spec.field{number}: Required value" for number in range(60))
    with pytest.raises(ValidationError) as caught:
        await get(client_on(Scripted(status(422, problems))))
    assert caught.value.message.endswith("spec.field59: Required value")


async def test_a_list_that_expires_midway_begins_anew_once() -> None:
    transport = Scripted(page("a", more="x"), status(410, "expired"), page("a", more="y"), page("b", version="9"))
    listing = await client_on(transport).listing(CONFIG_MAP, "shop", limit=1)
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert listing.resource_version == "9"
    assert [transport.query(number).get("continue") for number in range(4)] == [None, "x", None, "y"]

    transport = Scripted(status(410, "expired"), status(410, "expired"))
    with pytest.raises(ConflictError) as caught:
        await client_on(transport).list(CONFIG_MAP, "shop")
    assert caught.value.code == 410


async def test_what_is_kept_of_a_list_is_kept_page_by_page() -> None:
    transport = Scripted(page("a", "b", more="x"), page("c"))
    pages: list[tuple[str, int]] = []

    def keep(obj: dict[str, dict[str, str]]) -> str:
        pages.append((str(obj["kind"]), len(transport.requests)))
        return str(obj["metadata"]["name"])

    assert await client_on(transport).kept(CONFIG_MAP, "shop", keep, limit=2) == ["a", "b", "c"]
    assert pages == [("ConfigMap", 1), ("ConfigMap", 1), ("ConfigMap", 2)]


async def test_a_list_that_fails_midway_is_no_short_list() -> None:
    with pytest.raises(ExternalServiceError):
        await client_on(Scripted(page("a", more="x"), ConnectionResetError())).list(CONFIG_MAP, "shop")


async def test_a_watch_goes_on_where_the_stream_ended() -> None:
    transport = Scripted(
        [event("ADDED", "5"), event("BOOKMARK", "8")], [event("MODIFIED", "9")], [event("BOOKMARK", "12")], []
    )
    async with aclosing(client_on(transport).watch(CONFIG_MAP, "shop", name="one", resource_version="3")) as changes:
        seen = [await anext(changes) for _ in range(4)]
        with pytest.raises(ExternalServiceError, match="without a line"):
            await anext(changes)
    assert [(sort, obj["metadata"]["resourceVersion"]) for sort, obj in seen] == [
        ("ADDED", "5"),
        ("BOOKMARK", "8"),
        ("MODIFIED", "9"),
        ("BOOKMARK", "12"),
    ]
    assert [transport.query(number)["resourceVersion"] for number in range(4)] == ["3", "8", "9", "12"]
    assert transport.query(0)["fieldSelector"] == "metadata.name=one"
    assert transport.query(0)["allowWatchBookmarks"] == "true"


@pytest.mark.parametrize(
    ("stream", "error", "code"),
    [
        ([event("ERROR", "", kind="Status", code=410, message="too old resource version")], ConflictError, 410),
        (status(410, "too old resource version", "Expired"), ConflictError, 410),
        ([event("ERROR", "", kind="Status", code=500, message="no")], ExternalServiceError, None),
        (status(403, 'User "a" cannot watch', "Forbidden"), CredentialsError, 403),
        ([b"<html>"], ExternalServiceError, None),
        ([b"[]"], ExternalServiceError, None),
        ([b'{"type": "ADDED"}'], ExternalServiceError, None),
        ([TimeoutError()], ExternalServiceError, None),
        (ConnectionResetError(), ExternalServiceError, None),
    ],
)
async def test_a_watch_that_breaks_says_how(
    stream: Answer | list[bytes | BaseException], error: type[ReconcilerError], code: int | None
) -> None:
    async with aclosing(client_on(Scripted(stream)).watch(CONFIG_MAP, "shop")) as changes:
        with pytest.raises(error) as caught:
            await anext(changes)
    assert getattr(caught.value, "code", None) == code


async def test_a_secret_that_is_not_base64_names_the_key_alone() -> None:
    transport = Scripted(answer(200, {"data": {"password": "s3cret!"}}))
    with pytest.raises(ExternalServiceError, match="'password'") as caught:
        await client_on(transport).secret_data("shop", "git")
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../secrets/x", "a%2fb"])
async def test_a_name_never_becomes_another_path(name: str) -> None:
    transport = Scripted()
    with pytest.raises(ValidationError):
        await client_on(transport).get(SECRET, "shop", name)
    with pytest.raises(ValidationError):
        await client_on(transport).list(SECRET, name)
    assert transport.requests == []


def test_paths_are_those_of_the_api_server() -> None:
    assert SECRET.path("shop", "git") == "/api/v1/namespaces/shop/secrets/git"
    assert SECRET.path(None) == "/api/v1/secrets"
    assert NAMESPACE.path(None, "shop") == "/api/v1/namespaces/shop"
    assert NAMESPACE.path("ignored", "shop", "finalize") == "/api/v1/namespaces/shop/finalize"
    status_path = DEVOPS_PROJECT.path("shop", "web", "status")
    assert status_path == "/apis/freeleaps.com/v1alpha1/namespaces/shop/devopsprojects/web/status"
    assert Kind("", "v1", "things", "Thing").path("shop", "a?b#c d") == "/api/v1/namespaces/shop/things/a%3Fb%23c%20d"


async def test_a_status_without_a_version_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="resourceVersion"):
        await client_on(Scripted()).replace_status(DEVOPS_PROJECT, {"metadata": {"name": "web", "namespace": "shop"}})


async def test_an_event_fits_what_the_server_allows() -> None:
    transport = Scripted(answer(201, {}))
    regarding = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a" * 253, "namespace": "shop", "uid": "u"},
    }
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await client_on(transport).create_event(regarding, type="Normal", reason="Succeeded", message="m" * 3000, at=at)
    body = json.loads(transport.requests[0].body or b"")
    assert len(body["metadata"]["name"]) <= 253
    assert len(body["note"]) == 1024
    assert body["eventTime"] == "2026-01-01T00:00:00.000000Z"
