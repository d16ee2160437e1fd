"""The one way out: every request to an external service goes through `Http`.

It owns the connection pool, the deadline of each call, the request budget, the breaker, Retry-After, and the one table
that turns a status code into an error. Redirects are never followed and cookies never kept: Jenkins answers a trigger
with a Location that has no page, its session cookie makes an API token useless, and a credential must not follow a
redirect to another host. Errors name service, operation and path; they hold no header and no query, so no secret.
"""

from __future__ import annotations

import copy
import email.utils
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

import aiohttp
from yarl import URL

from ..api.conditions import Reason
from ..api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    Fenced,
    ReconcilerError,
    ValidationError,
)
from ..api.plain_text import one_line
from ..runtime.clock import Clock
from ..runtime.fence import Fence
from ..runtime.slots import Slots
from .audited import Audit, Recording
from .breaker import CircuitBreaker, State
from .budget import Paused, RequestBudget
from .traced import READS, note_sending, note_status, request_span
from .transport import BODY_LIMIT, AiohttpTransport, Request, Response, Transport

__all__ = [
    "BODY_LIMIT",
    "READS",
    "AiohttpTransport",
    "Http",
    "Observer",
    "Request",
    "Response",
    "Transport",
    "detail_text",
    "details_of",
    "retry_after",
    "where_of",
]

T = TypeVar("T")

DETAIL_LIMIT = 300
LONGEST_WAIT = timedelta(days=1)
"""More than this is a broken clock or header, not a wish."""


class Observer(Protocol):
    """Told of each finished call: for metrics. `code` is the status, or the name of the failure."""

    def __call__(self, service: str, operation: str, code: str, seconds: float) -> None: ...


class Http:
    """Requests to one service under one credential.

    `operation` is a short stable name ("get job"): it goes into errors and metrics. Answers with status 404 are
    returned, never raised: absence is a fact. Other statuses from 300 on raise unless listed in `accept`.
    """

    def __init__(
        self,
        service: str,
        base: str,
        transport: Transport,
        clock: Clock,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(seconds=10),
        budget: RequestBudget | None = None,
        observer: Observer | None = None,
        breaker: CircuitBreaker | None = None,
        places: Slots | None = None,
    ) -> None:
        """`places`: how many requests may be under way at a time; None for as many as there are connections."""
        self.service = service
        self.base = base.rstrip("/")
        self._transport = transport
        self.clock = clock
        self._headers = dict(headers or {})
        self.timeout = timeout
        self._budget = budget
        self._observer = observer
        self._breaker = breaker
        self._places = places
        self._fence: Fence | None = None
        self._audit: Audit | None = None
        self.hidden: Callable[[str], str] = str
        """A text of the service as others may read it: it may quote what it was sent."""

    def hiding(self, hidden: Callable[[str], str]) -> Http:
        """The same, with secrets taken out of what errors say."""
        same = copy.copy(self)
        same.hidden = hidden
        return same

    def behind(self, fence: Fence | None) -> Http:
        """The same, but what changes something is sent only while the fence is open: else it raises Fenced.

        None: without a fence and unrecorded, for a POST that changes nothing outside, as a login.
        """
        same = copy.copy(self)
        same._fence = fence
        same._audit = self._audit if fence is not None else None
        return same

    def recorded(self, audit: Audit | None) -> Http:
        """The same, with a line in the audit trail before and after each request that changes something outside."""
        same = copy.copy(self)
        same._audit = audit
        return same

    def within(self, timeout: timedelta) -> Http:
        """The same with another time limit for each request."""
        same = copy.copy(self)
        same.timeout = timeout
        return same

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        json_body: Any = None,
        accept: tuple[int, ...] = (),
        timeout: timedelta | None = None,
        budget_key: str = "",
    ) -> Response:
        """Send one request. `path` is encoded by the caller and begins with "/"; an absolute URL is taken as it is.

        Raises ExternalServiceError (time-out, connection, 408, 425, 429, 5xx, a redirect, a truncated body, the
        breaker is open, a 429 holds requests back, the audit trail cannot be written), CredentialsError (401, 403),
        ConflictError (409), ValidationError (other 4xx).
        """
        request = self._build(method, path, headers, body, json_body, timeout)
        if self._breaker is not None:
            self._breaker.check()  # what would be refused takes nothing from the budget
        await self._take_turn(operation, budget_key)
        async with self._places.place() if self._places is not None else nullcontext():
            self._pass_fence(operation, method)
            recording = self._recording(operation, request)
            try:
                self._pass_fence(operation, method)  # writing the line may have taken its time
                return await self._guarded(partial(self._exchange, operation, request, accept, budget_key, recording))
            except BaseException as error:
                recording.unsent(error)
                raise

    async def _take_turn(self, operation: str, budget_key: str) -> None:
        if self._budget is None:
            return
        try:
            await self._budget.take(budget_key)
        except Paused as pause:
            # The time of day, as a breaker says it: it stays true in a status.
            again = f"{self.clock.now() + pause.left:%H:%M:%S} UTC"
            raise ExternalServiceError(
                f"{self.service}: {operation}: not sent, because there were too many requests (429); "
                f"the next try is at {again}",
                service=self.service,
                after=pause.left,
                reason=Reason.RATE_LIMITED,
                maybe_applied=False,
            ) from None

    def _pass_fence(self, operation: str, method: str) -> None:
        if self._fence is not None and method not in READS and not self._fence.is_open:
            raise Fenced(f"{self.service}: {operation}: not sent, because this replica does not hold the Lease")

    def _recording(self, operation: str, request: Request) -> Recording:
        if self._audit is None or request.method in READS or self._audit.ours(URL(request.url, encoded=True).raw_path):
            return Recording()
        target = where_of(request).partition(" ")[2]
        return self._audit.begin(self.service, operation, request.method, target)

    async def _guarded(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await (operation() if self._breaker is None else self._breaker.call(operation))

    async def _exchange(
        self, operation: str, request: Request, accept: tuple[int, ...], budget_key: str, recording: Recording
    ) -> Response:
        with request_span(self.service, operation, request.method, request.url) as span:
            note_sending(span, request.method)
            response = await self._sent(operation, request, recording)
            if response.status == 429 and self._budget is not None:
                self._budget.slow_down(budget_key, retry_after(response, self.clock))
            expected = response.status < 300 or response.status == 404 or response.status in accept
            note_status(span, response.status, expected=expected and response.status < 500)
        if expected:
            return response
        raise self.error(operation, request, response)

    async def _sent(self, operation: str, request: Request, recording: Recording) -> Response:
        started = self.clock.monotonic()
        try:
            response = await self._transport.send(request)
        except BaseException as error:
            recording.lost(error)
            if not isinstance(error, (TimeoutError, OSError, aiohttp.ClientError)):
                raise
            self._observe(operation, type(error).__name__, started)
            raise self._lost(operation, request, error) from error
        recording.answered(response.status)
        self._observe(operation, str(response.status), started)
        return response

    @asynccontextmanager
    async def lines(
        self, operation: str, path: str, *, idle: timedelta, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A GET whose answer comes line by line. `idle` bounds the silence between two reads. 404 raises here.

        The breaker judges how it opens. How it ends says little: proxies cut long answers, and silence may be right.
        One that may not even open before its first line is not for a service that is `in_doubt`: as long as it hangs
        it would be the only request there.
        """
        async with self._streamed(operation, self._build("GET", path, headers, None, None, idle)) as lines:
            yield lines

    @asynccontextmanager
    async def chunks(
        self, operation: str, path: str, *, idle: timedelta, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """As `lines`, but with the bytes as they come: for an answer whose lines may have any length."""
        request = replace(self._build("GET", path, headers, None, None, idle), by_line=False)
        async with self._streamed(operation, request) as chunks:
            yield chunks

    @asynccontextmanager
    async def _streamed(self, operation: str, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            async with AsyncExitStack() as stack:
                yield await self._guarded(partial(self._open, operation, request, stack))
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise self._lost(operation, request, error) from error

    async def _open(self, operation: str, request: Request, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        try:
            head, lines = await stack.enter_async_context(self._transport.stream(request))
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise self._lost(operation, request, error) from error
        if head.status >= 300:
            raise self.error(operation, request, head)
        if "text/html" in head.headers.get("content-type", ""):
            raise self._unusable(operation, "an HTML page")
        found: AsyncIterator[bytes] = lines
        return found

    def _build(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        json_body: Any,
        timeout: timedelta | None,
    ) -> Request:
        merged = {**self._headers, **(headers or {})}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            merged.setdefault("Content-Type", "application/json")
        url = path if path.startswith(("http://", "https://")) else self.base + path
        return Request(method, url, merged, body, timeout or self.timeout)

    def _observe(self, operation: str, code: str, started: float) -> None:
        if self._observer is not None:
            self._observer(self.service, operation, code, self.clock.monotonic() - started)

    def _lost(self, operation: str, request: Request, error: Exception) -> ExternalServiceError:
        where = where_of(request)
        if isinstance(error, TimeoutError):
            text = f"no answer within {request.timeout.total_seconds():g} s"
        else:
            text = str(error) or type(error).__name__
        unsent = isinstance(error, aiohttp.ClientConnectorError)
        return ExternalServiceError(
            f"{self.service}: {operation} ({where}): {text}", service=self.service, maybe_applied=not unsent
        )

    def error(self, operation: str, request: Request, response: Response) -> ReconcilerError:
        """What this answer means; secrets are hidden in its message alone."""
        details = details_of(response)
        where = f"{self.service}: {operation} ({where_of(request)}): {response.status}"
        shown = self.hidden(f"{where} {detail_text(response, details, self.hidden)}".rstrip())
        error = self._by_status(shown, response, details)
        error.unhidden = f"{where} {detail_text(response, details, str)}"
        return error

    def _by_status(self, text: str, response: Response, details: Mapping[str, object]) -> ReconcilerError:
        """The status table. 404 has its place here for streams only."""
        status, code = response.status, details.get("code")
        code = code if isinstance(code, (str, int)) else None
        if status == 429:
            after = retry_after(response, self.clock)
            return ExternalServiceError(
                text, service=self.service, after=after, reason=Reason.RATE_LIMITED, status=status, maybe_applied=False
            )
        if status in (408, 425) or status >= 500 or status < 400:
            after = retry_after(response, self.clock)
            return ExternalServiceError(text, service=self.service, after=after, status=status)
        if status == 401:
            return CredentialsError(text, status=status, code=code, details=details)
        if status == 403:
            return CredentialsError(text, reason=Reason.PERMISSION_DENIED, status=status, code=code, details=details)
        if status == 409:
            return ConflictError(text, status=status, code=code, details=details)
        return ValidationError(text, status=status, code=code, details=details)

    def malformed(self, operation: str, what: str) -> ExternalServiceError:
        """An answer with a good status that is not what the service promises (HTML, truncated, odd shape).

        To be called by who has just read that answer, before anything is awaited: the breaker then takes it for a
        failure in place of the success that the status seemed to be.
        """
        error = self._unusable(operation, what)
        if self._breaker is not None:
            self._breaker.reconsider(error)
        return error

    def _unusable(self, operation: str, what: str) -> ExternalServiceError:
        text = f"{self.service}: {operation}: the answer is not usable: {what}"
        return ExternalServiceError(text, service=self.service)

    def acquit(self) -> None:
        """The failure that was just raised is about what was asked, though its status says that the service is ill.

        As with `malformed`, before anything is awaited.
        """
        if self._breaker is not None:
            self._breaker.reconsider(None)

    def overlook(self) -> None:
        """The failure that was just raised tells nothing of the service, neither well nor ill. As with `malformed`."""
        if self._breaker is not None:
            self._breaker.overlook()

    @property
    def in_doubt(self) -> bool:
        """Whether the breaker refuses the next request, or tries the service with it."""
        return self._breaker is not None and self._breaker.state is not State.CLOSED


def where_of(request: Request) -> str:
    """Method, host and path of a request, without query and credentials."""
    url = URL(request.url, encoded=True)
    port = f":{url.explicit_port}" if url.explicit_port else ""
    return f"{request.method} {url.host}{port}{url.raw_path}"


def retry_after(response: Response, clock: Clock) -> timedelta | None:
    """What the answer asks us to wait: Retry-After in seconds, X-RateLimit-Reset (unix time), or `retryAfterSec`.

    A unix time is one of the service's clock, as its `Date` is; by ours only where there is none.
    """
    header = response.headers.get("retry-after", "")
    if header.isdecimal():
        return _bounded(float(header))
    reset = response.headers.get("x-ratelimit-reset", response.headers.get("x-retry-after", ""))
    if reset.isdecimal():
        return _bounded(float(reset) - (_date(response) or clock.now()).timestamp())
    seconds = details_of(response).get("retryAfterSec")
    return _bounded(float(seconds)) if isinstance(seconds, (int, float)) else None


def _date(response: Response) -> datetime | None:
    """The time of the answer by the clock of who gave it, where it says so: ours may differ."""
    try:
        date = email.utils.parsedate_to_datetime(response.headers["date"])
    except (LookupError, ValueError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _bounded(seconds: float) -> timedelta:
    """A wait that a service asks for, in sane bounds: never negative, never longer than a day."""
    return timedelta(seconds=min(max(0.0, seconds), LONGEST_WAIT.total_seconds()))


def details_of(response: Response) -> dict[str, object]:
    """The JSON object of an error's body, or {}: bodies of errors may be HTML, plain text or empty."""
    if not response.body.lstrip().startswith(b"{"):
        return {}
    try:
        value = json.loads(response.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _all_said(errors: object) -> str | None:
    """`errors` of a registry: objects with `code` and perhaps `message` (OCI distribution specification)."""
    objects = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    told = [each.get("message") or each.get("code") for each in objects]
    return "; ".join(text for text in told if isinstance(text, str)) or None


def detail_text(response: Response, details: Mapping[str, object], hidden: Callable[[str], str]) -> str:
    """One line for people out of the error's body. Jenkins says it in `X-Error`; HTML is left out.

    `hidden` takes the secrets out, before anything is cut: half a secret would not be found.
    """
    said = response.headers.get("x-error") or details.get("message") or details.get("detail") or details.get("error")
    said = said or details.get("text")  # Docker Hub: {"fields": {...}, "text": "..."}
    said = said or _all_said(details.get("errors"))
    if isinstance(said, str):
        fields = details.get("fields")
        extra = f" {json.dumps(fields)}" if isinstance(fields, (list, dict)) and fields else ""
        return one_line(hidden(said + extra))[:DETAIL_LIMIT]
    if "text/plain" in response.headers.get("content-type", ""):
        return one_line(hidden(response.text()))[:DETAIL_LIMIT]
    return ""
