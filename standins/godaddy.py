"""GoDaddy's Domains API v1, with real nameservers for its zones.

```
async with GoDaddyStandin(zones=["example.com"], nameservers=2) as godaddy:
    godaddy.url, godaddy.resolvers          # "http://127.0.0.1:…", ["127.0.0.1:5301", "127.0.0.1:5302"]
    godaddy.zone("example.com").values("A", "shop")
    godaddy.nameservers[1].lag = 5.0        # seconds behind
```
As a program: `python -m standins.godaddy --zone example.com --nameservers 2` prints `url` and `resolvers`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from devops_reconciler.runtime.clock import Clock

from . import serve
from .godaddy_rules import (
    DEFAULT_TTL,
    TYPES,
    data_errors,
    excluded,
    invalid,
    refusal,
    schema_errors,
    unknown_domain,
)
from .godaddy_zone import Body, Zone, same
from .nameserver import Nameserver

PAGE_LIMIT = 500
PERIOD = 60.0
NAMESERVER_ZONE = "domaincontrol.test"
"""Where the names of the nameservers are; each nameserver serves it too."""


class GoDaddyStandin(serve.StandIn):
    """The account: its zones, its key, its limit, and what it may do. Attributes may be set at any time."""

    def __init__(
        self,
        zones: Sequence[str] = ("example.com",),
        nameservers: int | Sequence[str] = 2,
        *,
        credentials: tuple[str, str] = ("key", "secret"),
        per_minute: int = 60,
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        """`nameservers` is their number, each then has a port of its own; or their loopback addresses, which then share
        one port number, as the nameservers of the world do."""
        super().__init__(clock=clock, port=port)
        self.credentials = credentials
        self.per_minute = per_minute
        self.lag = 0.0
        """Reads of the API show the state of so many seconds ago."""
        self.busy = False
        """409 to every write."""
        self.busy_seconds = 0.0
        """So long after a write the zone is processed: 409 to further writes."""
        self.denied = False
        """403 ACCESS_DENIED, as for accounts with few domains."""
        self.quota_exceeded = False
        """429 QUOTA_EXCEEDED without Retry-After and retryAfterSec."""
        self.foreign_nameservers: set[str] = set()
        """Zones whose nameservers are elsewhere: the domain is there, its records are UNKNOWN_DOMAIN."""
        self.none_is_404 = False
        """A set that is not there is answered with 404, on GET and DELETE, instead of [] and 204."""
        self.strips_quotes = False
        """TXT data loses the quotes around it when it is stored."""
        self.offset_counts_pages = False
        """`offset` is the number of a page (from 1) instead of the number of records to skip."""
        self.over_budget: list[tuple[str, str]] = []
        """Method and template of each request beyond the limit."""
        self._passed: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._common_port = not isinstance(nameservers, int)
        hosts = ["127.0.0.1"] * nameservers if isinstance(nameservers, int) else list(nameservers)
        names = [f"ns{number:02}.{NAMESERVER_ZONE}" for number in range(1, len(hosts) + 1)]
        self._zones = {each.lower(): Zone(each, self.clock, names) for each in zones}
        infrastructure = Zone(NAMESERVER_ZONE, self.clock, names)
        for name, host in zip(names, hosts, strict=True):
            infrastructure.add("A", name.removesuffix(f".{NAMESERVER_ZONE}"), host)
        self._served = {**self._zones, NAMESERVER_ZONE: infrastructure}
        self.nameservers = [Nameserver(self._served, host=each) for each in hosts]

    @property
    def resolvers(self) -> list[str]:
        """The addresses of the nameservers, as DNS_RESOLVERS takes them (joined by commas)."""
        return [each.address for each in self.nameservers]

    def zone(self, name: str) -> Zone:
        """The zone, to look into or to change from behind."""
        return self._zones[name.lower()]

    def add_zone(self, name: str) -> Zone:
        """One more domain of the account."""
        first = next(iter(self._served.values()))
        zone = Zone(name, self.clock, first.nameservers)
        self._zones[name.lower()] = self._served[name.lower()] = zone
        return zone

    def addresses(self) -> dict[str, str]:
        return {"url": self.url, "resolvers": ",".join(self.resolvers)}

    async def start(self) -> None:
        for nameserver in self.nameservers:
            if self._common_port:
                nameserver.port = self.nameservers[0].port
            await nameserver.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        for nameserver in self.nameservers:
            await nameserver.stop()
            self._failures.extend(nameserver.errors)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.controls.middleware, self._admission], client_max_size=16 * 1024 * 1024)
        root = "/v1/domains/{domain}"
        records = f"{root}/records"
        app.add_routes(
            [
                web.get("/v1/domains", self._list),
                web.get(root, self._domain),
                web.get(records, self._get),
                web.get(f"{records}/{{type}}", self._get),
                web.get(f"{records}/{{type}}/{{name}}", self._get),
                web.patch(records, self._patch),
                web.put(records, self._put),
                web.put(f"{records}/{{type}}", self._put),
                web.put(f"{records}/{{type}}/{{name}}", self._put),
                web.delete(f"{records}/{{type}}/{{name}}", self._delete),
            ]
        )
        return app

    @property
    def _admission(self) -> Middleware:
        @web.middleware
        async def admission(request: web.Request, handler: Handler) -> web.StreamResponse:
            refused = self._refused(request)
            return refused if refused is not None else await _worded(request, handler)

        return admission

    def _refused(self, request: web.Request) -> web.Response | None:
        """What an account is refused whatever it asks: without a key, without the right, beyond the limit."""
        scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "sso-key" or ":" not in pair:
            return refusal(401, "UNABLE_TO_AUTHENTICATE", "Unauthorized : Credentials must be specified")
        if tuple(pair.split(":", 1)) != self.credentials:
            return refusal(401, "UNABLE_TO_AUTHENTICATE", "Unauthorized : Could not authenticate API key/secret")
        if self.quota_exceeded:
            return refusal(429, "QUOTA_EXCEEDED", "Your quota of requests is exceeded")
        wait = self._over_limit(request)
        if wait is not None:
            text = "Too many requests received within interval"
            return refusal(429, "TOO_MANY_REQUESTS", text, retryAfterSec=wait)
        if self.denied:
            return refusal(403, "ACCESS_DENIED", "Authenticated user is not allowed access")
        return None

    def _over_limit(self, request: web.Request) -> int | None:
        """Seconds to wait when this endpoint had its share of the last minute, else None."""
        resource = request.match_info.route.resource
        endpoint = (request.method, resource.canonical if resource is not None else request.path)
        now, passed = self.clock.monotonic(), self._passed[endpoint]
        while passed and passed[0] <= now - PERIOD:
            passed.popleft()
        if len(passed) >= self.per_minute:
            self.over_budget.append(endpoint)
            return max(1, round(passed[0] + PERIOD - now))
        passed.append(now)
        return None

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response([self._described(each) for each in self._zones.values()])

    async def _domain(self, request: web.Request) -> web.Response:
        zone = self._zones.get(request.match_info["domain"].lower())
        return web.json_response(self._described(zone)) if zone is not None else unknown_domain()

    def _described(self, zone: Zone) -> dict[str, Any]:
        foreign = zone.name in self.foreign_nameservers
        servers = ["ns1.elsewhere.test", "ns2.elsewhere.test"] if foreign else list(zone.nameservers)
        return {"domain": zone.name, "domainId": 1000, "status": "ACTIVE", "locked": True, "nameServers": servers}

    def _managed(self, request: web.Request) -> Zone | None:
        zone = self._zones.get(request.match_info["domain"].lower())
        return None if zone is None or zone.name in self.foreign_nameservers else zone

    async def _get(self, request: web.Request) -> web.Response:
        zone, kind, name = self._managed(request), request.match_info.get("type"), request.match_info.get("name")
        if zone is None:
            return unknown_domain()
        if kind is not None and kind not in TYPES:
            return _unknown_type()
        found = [
            each
            for each in zone.as_of(self.lag)
            if (kind is None or each["type"] == kind) and (name is None or each["name"].lower() == name.lower())
        ]
        if not found and name is not None and self.none_is_404:
            return _no_set()
        return web.json_response(self._page(request, found))

    def _page(self, request: web.Request, found: list[Body]) -> list[Body]:
        limit = min(PAGE_LIMIT, int(request.query.get("limit", PAGE_LIMIT)))
        offset = int(request.query.get("offset", 0))
        if self.offset_counts_pages:
            offset = max(0, offset - 1) * limit
        return found[offset : offset + limit]

    async def _patch(self, request: web.Request) -> web.Response:
        return await self._change(request, ("type", "name", "data"), lambda _: True)

    async def _put(self, request: web.Request) -> web.Response:
        """Replaces whatever the path covers: a set, all names of a type, or the whole zone (without its own NS)."""
        kind, name = request.match_info.get("type"), request.match_info.get("name")
        if kind is not None and kind not in TYPES:
            return _unknown_type()
        in_path = {"type": kind, "name": name}
        required = [field for field in ("type", "name", "data") if in_path.get(field) is None]

        def kept(record: Body) -> bool:
            if kind is None:
                return same(record, "NS", "@")
            return record["type"] != kind or (name is not None and not same(record, kind, name))

        return await self._change(request, required, kept)

    async def _change(
        self, request: web.Request, required: Sequence[str], kept: Callable[[Body], bool]
    ) -> web.Response:
        zone = self._managed(request)
        if zone is None:
            return unknown_domain()
        try:
            body = json.loads(await request.read())
        except ValueError:
            return refusal(400, "INVALID_JSON", "Request body is not valid JSON")
        if problems := schema_errors(body, required):
            return invalid(problems)
        new = [self._stored({**each, **request.match_info}) for each in body]
        if problems := data_errors(new):
            return invalid(problems)
        return self._written(zone, [each for each in zone.now if kept(each)], new)

    def _written(self, zone: Zone, kept: list[Body], new: list[Body]) -> web.Response:
        if self._is_busy(zone):
            return refusal(409, "CONFLICT", "The zone is being processed by another request")
        touched = {each["name"].lower() for each in new}
        if excluded([each for each in [*kept, *new] if each["name"].lower() in touched]):
            return refusal(422, "DUPLICATE_RECORD", "Another record with the same attributes already exists")
        zone.write([*kept, *new])
        zone.busy_until = self.clock.monotonic() + self.busy_seconds
        return web.Response(status=200, content_type="application/json")

    def _is_busy(self, zone: Zone) -> bool:
        return self.busy or self.clock.monotonic() < zone.busy_until

    def _stored(self, record: Body) -> Body:
        stored = {"ttl": DEFAULT_TTL, **record}
        stored.pop("domain", None)
        data = stored["data"]
        if self.strips_quotes and stored["type"] == "TXT" and len(data) > 1 and data[0] == data[-1] == '"':
            stored["data"] = data[1:-1]
        return stored

    async def _delete(self, request: web.Request) -> web.Response:
        zone, kind, name = self._managed(request), request.match_info["type"], request.match_info["name"]
        if zone is None:
            return unknown_domain()
        if kind not in TYPES or kind in ("NS", "SOA"):
            return _unknown_type()
        if not zone.find(kind, name):
            return _no_set() if self.none_is_404 else web.Response(status=204)
        if self._is_busy(zone):
            return refusal(409, "CONFLICT", "The zone is being processed by another request")
        zone.remove(kind, name)
        zone.busy_until = self.clock.monotonic() + self.busy_seconds
        return web.Response(status=204)


async def _worded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Paths and methods that do not exist are refused in the words of the API."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal(404, "NOT_FOUND", "The requested resource was not found")
    except web.HTTPMethodNotAllowed:
        return refusal(405, "METHOD_NOT_ALLOWED", "The method is not allowed here")


def _no_set() -> web.Response:
    return refusal(404, "NOT_FOUND", "The requested records were not found")


def _unknown_type() -> web.Response:
    text = f"not one of {', '.join(TYPES)}"
    return invalid([{"path": "type", "code": "INVALID_VALUE_ENUM", "message": text}])


def main() -> None:
    parser = argparse.ArgumentParser(description="GoDaddy's Domains API v1 with nameservers, on loopback ports.")
    parser.add_argument("--zone", action="append", help="a zone of the account; may be repeated (default example.com)")
    parser.add_argument("--nameservers", type=int, default=2, help="how many nameservers")
    parser.add_argument("--key", default="key", help="the API key that is accepted")
    parser.add_argument("--secret", default="secret", help="its secret")
    parser.add_argument("--per-minute", type=int, default=60, help="requests a minute for each endpoint")
    parser.add_argument("--lag", type=float, default=0.0, help="seconds that the nameservers are behind")

    def build(options: argparse.Namespace) -> GoDaddyStandin:
        standin = GoDaddyStandin(
            options.zone or ["example.com"],
            options.nameservers,
            credentials=(options.key, options.secret),
            per_minute=options.per_minute,
            port=options.port,
        )
        for nameserver in standin.nameservers:
            nameserver.lag = options.lag
        return standin

    serve.main(build, parser)


if __name__ == "__main__":
    main()
