"""GoDaddy Domains API v1: the records of a zone.

Source: the vendor's Swagger of May 2022 and what its users report. Only three calls are used on records: GET, PUT and
DELETE on type and name. PATCH adds duplicates, and a PUT on a shorter path replaces what belongs to others, up to the
whole zone: neither exists here. The limit is 60 requests a minute for each endpoint, so each has its own budget key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from ..api.errors import Refused, ValidationError
from ..runtime.clock import Clock
from ..runtime.fence import is_only_reading
from .godaddy_errors import UNKNOWN_DOMAIN, translated, unknown_domain
from .godaddy_types import APEX, Record, ZoneRecords, record_of, relative_name
from .godaddy_zones import ZoneReads
from .http import Http, Response, details_of

__all__ = ["APEX", "PAGE", "GoDaddy", "Record", "relative_name"]

PAGE = 500
"""Most records in one answer."""
DOMAIN = "/v1/domains/{domain}"
RECORDS = "/v1/domains/{domain}/records"
RECORD_SET = "/v1/domains/{domain}/records/{type}/{name}"
KEPT_TYPES = frozenset({"NS", "SOA"})
"""Types that are never written: they hold the zone together."""


class GoDaddy:
    """The records of the zones of one account.

    `key` and `secret` are asked at each call, so a rotated key is used at once. `share_for` is how long a read of a
    whole zone may be shared with others after its beginning; who looks at names that were written through this object
    since then gets a later one. Looks that may change nothing share it for `share_at_rest`, where that is longer.

    All methods raise: ExternalServiceError (ill, slow, busy zone, quota), CredentialsError (401; 403 where the account
    has no DNS API), ValidationError (zone unknown to the account, record refused), ConflictError (DUPLICATE_RECORD).
    """

    def __init__(
        self,
        http: Http,
        *,
        key: Callable[[], str],
        secret: Callable[[], str],
        clock: Clock,
        share_for: timedelta = timedelta(seconds=2),
        share_at_rest: timedelta = timedelta(0),
    ) -> None:
        self._http = http
        self._key = key
        self._secret = secret
        self._zones = ZoneReads(clock)
        self._share_for = share_for
        self._share_at_rest = max(share_for, share_at_rest)

    async def domain(self, zone: str) -> dict[str, Any] | None:
        """What the account says of the domain (status, nameServers, …), or None when it is not in the account."""
        operation = "get domain"
        response = await self._send(operation, "GET", DOMAIN, (zone,))
        if response.status == 404:
            self._absence(operation, response)
            return None
        value = self._json(operation, response)
        if not isinstance(value, dict):
            raise self._http.malformed(operation, f"domain {zone} is not an object")
        return value

    async def records(self, zone: str, type: str, name: str) -> tuple[Record, ...]:
        """The set of records with this type and relative name, read afresh. Empty when there is none."""
        response = await self._send("get records", "GET", RECORD_SET, (zone, type, _named(name)))
        operation = f"get records {type} {name}"
        if response.status == 404:
            if self._absence(operation, response) == UNKNOWN_DOMAIN:
                raise unknown_domain(self._http.service, operation, zone)
            return ()
        found = self._records(operation, response, type=type, name=name)
        strange = [each for each in found if (each.type.upper(), each.name.lower()) != (type.upper(), name.lower())]
        if strange:
            # Written back under our name they would damage the zone: better to stop here.
            raise self._http.malformed(operation, f"it holds {strange[0].type} {strange[0].name}")
        return found

    async def zone_records(self, zone: str, names: Iterable[str] | None = None) -> ZoneRecords:
        """All records of the zone. The result may be shared and as old as that: not for a decision to write.

        What was written through this object is in it at the full names that the caller looks at: `names`, or all.
        """
        max_age = self._share_at_rest if is_only_reading() else self._share_for
        return await self._zones.get(zone, lambda: self._read_zone(zone), names, max_age)

    async def replace(self, zone: str, type: str, name: str, records: Iterable[Record]) -> None:
        """Make `records` the whole set with this type and name. The caller merges what belongs to others."""
        wanted = tuple(records)
        if not wanted:
            raise ValidationError(
                f"an empty set of records cannot replace {type} {name} in zone {zone}: delete the set"
            )
        strange = [each for each in wanted if (each.type.upper(), each.name.lower()) != (type.upper(), name.lower())]
        if strange:
            raise ValidationError(f"{strange[0].type} {strange[0].name} does not belong into the set {type} {name}")
        body = [each.body() for each in wanted]
        await self._write("replace records", "PUT", zone, type, name, body=body)

    async def delete(self, zone: str, type: str, name: str) -> None:
        """Delete the whole set with this type and name. Its absence is as good."""
        await self._write("delete records", "DELETE", zone, type, name)

    async def _write(
        self, operation: str, method: str, zone: str, type: str, name: str, *, body: list[dict[str, Any]] | None = None
    ) -> None:
        what = f"{operation} {type} {name}"
        if type.upper() in KEPT_TYPES:
            raise ValidationError(f"{self._http.service}: {what} in zone {zone}: {type} records are never written")
        with self._zones.writing(zone, name):
            response = await self._send(operation, method, RECORD_SET, (zone, type, _named(name)), body=body)
        if response.status == 404:
            code = self._absence(what, response)
            if code == UNKNOWN_DOMAIN:
                raise unknown_domain(self._http.service, what, zone)
            if method != "DELETE":
                raise ValidationError(
                    f"{self._http.service}: {what} in zone {zone}: not found ({code})", status=404, code=code
                )
        elif response.body.strip():
            # Success is empty; some page of a proxy with status 200 is none.
            self._json(what, response)

    async def _read_zone(self, zone: str) -> tuple[Record, ...]:
        """Page by page. The specification calls `offset` the number of records to skip; clients in use count pages.

        The second page is asked for in the first sense. If nothing is there, the third question tells: for a number
        of records it repeats what is known, for a number of a page it brings the next one.
        """
        found = list(await self._page(zone, None))
        if not found:
            # A zone has its NS records at least. Believed, all that we have in it would be taken for gone.
            raise self._http.malformed("get records of zone", f"zone {zone} has no records at all, not even NS")
        if len(found) < PAGE:
            return tuple(found)
        while page := await self._page(zone, len(found)):
            found += page
            if len(page) < PAGE:
                return tuple(found)
        known, number = set(found), 2
        while (page := await self._page(zone, number)) and not known.issuperset(page):
            found += page
            if len(page) < PAGE:
                break
            number += 1
        return tuple(found)

    async def _page(self, zone: str, offset: int | None) -> tuple[Record, ...]:
        operation = "get records of zone"
        query = f"?limit={PAGE}" + (f"&offset={offset}" if offset is not None else "")
        response = await self._send(operation, "GET", RECORDS, (zone,), query=query)
        if response.status == 404:
            self._absence(operation, response)
            raise unknown_domain(self._http.service, operation, zone)
        return self._records(operation, response)

    async def _send(
        self,
        operation: str,
        method: str,
        template: str,
        segments: tuple[str, ...],
        *,
        query: str = "",
        body: list[dict[str, Any]] | None = None,
    ) -> Response:
        """One request. `segments` fill the template; the first one is the zone.

        `operation` names none of them: metrics are counted for each.
        """
        path = _path(template, segments) + query
        headers = {"Authorization": f"sso-key {self._key()}:{self._secret()}", "Accept": "application/json"}
        try:
            return await self._http.request(
                operation, method, path, headers=headers, json_body=body, budget_key=f"{method} {template}"
            )
        except Refused as error:
            what = " ".join((operation, *segments[1:]))
            raise translated(self._http.service, what, segments[0], error) from error

    def _absence(self, operation: str, response: Response) -> str:
        """The code of a 404. Without one it is not GoDaddy that speaks (a wrong endpoint, a proxy): no absence."""
        code = details_of(response).get("code")
        if not isinstance(code, str):
            raise self._http.malformed(operation, "a 404 without an error code; check GODADDY_ENDPOINT")
        return code

    def _json(self, operation: str, response: Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._http.malformed(operation, "no JSON") from error

    def _records(self, operation: str, response: Response, *, type: str = "", name: str = "") -> tuple[Record, ...]:
        value = self._json(operation, response)
        if not isinstance(value, list):
            raise self._http.malformed(operation, "the records are not an array")
        try:
            return tuple(record_of(each, type=type, name=name) for each in value)
        except ValueError as error:
            raise self._http.malformed(operation, str(error)) from error


def _named(name: str) -> str:
    if not name:
        raise ValidationError(f"the name of a record is never empty: the zone itself is {APEX!r}")
    return name


def _path(template: str, segments: tuple[str, ...]) -> str:
    """The template with each {…} replaced by the next segment, percent-encoded."""
    parts = iter(segments)
    return "/".join(quote(next(parts), safe="") if part.startswith("{") else part for part in template.split("/"))
