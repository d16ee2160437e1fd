"""Asks an address the way a visitor would: HTTP to the ingress with the host's name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from ..api.errors import ValidationError
from .addresses import literal, trouble_of
from .http import Request, Transport
from .traced import note_status, request_span


@dataclass(frozen=True)
class ProbeResult:
    """What came back. `status` is None when nothing did; `detail` says it in a sentence."""

    ok: bool
    status: int | None
    detail: str


class Prober:
    """Sends single GETs, without following redirects. TLS is used without judging the certificate: what is asked is
    whether the address answers, and a certificate may come later than the first deployment."""

    def __init__(
        self, transport: Transport, *, loopback: bool = False, timeout: timedelta = timedelta(seconds=5)
    ) -> None:
        """`transport` judges the addresses of names (`CheckedResolver`); `loopback`: the ingress is on this host."""
        self._transport = transport
        self._loopback = loopback
        self._timeout = timeout

    async def get(self, target: str, port: int, host: str, path: str, *, tls: bool) -> ProbeResult:
        """Whether `GET path` at `target:port` with `Host: host` answers below 500.

        Raises ValidationError for a target that nobody outside reaches (link-local addresses: cloud metadata).
        """
        self._check(target)
        where = f"[{target}]" if ":" in target else target
        scheme = "https" if tls else "http"
        request = Request(
            method="GET",
            url=f"{scheme}://{where}:{port}{path}",
            headers={"Host": host, "User-Agent": "devops-reconciler", "Accept": "*/*"},
            body=None,
            timeout=self._timeout,
            server_name=host if tls else None,
        )
        what = f"{scheme}://{host}{path} at {target}:{port}"
        try:
            with request_span("address", "probe", request.method, f"{scheme}://{host}:{port}{path}") as span:
                response = await self._transport.send(request)
                note_status(span, response.status, expected=response.status < 500)
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            return ProbeResult(False, None, f"{what} does not answer: {str(error) or type(error).__name__}")
        return ProbeResult(response.status < 500, response.status, f"{what} answers {response.status}")

    def _check(self, target: str) -> None:
        address = literal(target)
        trouble = None if address is None else trouble_of(address, loopback=self._loopback)
        if trouble is not None:
            raise ValidationError(
                f"{target} is {trouble}: no address that an application can be reached at; set ingress.target"
            )
