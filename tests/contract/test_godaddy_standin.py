"""What GoDaddy does that the client never asks for: the stand-in does it all the same, so that a wrong call shows."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from devops_reconciler.runtime.clock import FakeClock
from standins.godaddy import GoDaddyStandin

ZONE = "example.com"
ROOT = f"/v1/domains/{ZONE}/records"


class Raw:
    """A client without opinions."""

    def __init__(self, standin: GoDaddyStandin, session: aiohttp.ClientSession, clock: FakeClock) -> None:
        self.standin = standin
        self.clock = clock
        self._session = session

    async def call(self, method: str, path: str, body: object = None, *, auth: str = "sso-key key:secret") -> Any:
        """Status and parsed body; None for an empty one."""
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": auth} if auth else {}
        async with self._session.request(method, self.standin.url + path, data=data, headers=headers) as reply:
            text = await reply.text()
            return reply.status, json.loads(text) if text else None


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    clock = FakeClock()
    async with GoDaddyStandin([ZONE], 1, clock=clock) as standin, aiohttp.ClientSession() as session:
        zone = standin.zone(ZONE)
        zone.add("A", "shop", "203.0.113.7", 600)
        zone.add("A", "blog", "198.51.100.1", 600)
        zone.add("TXT", "shop", "x", 600)
        yield Raw(standin, session, clock)


async def test_patch_adds_with_an_empty_answer_and_refuses_to_add_twice(raw: Raw) -> None:
    record = {"type": "A", "name": "shop", "data": "203.0.113.8", "ttl": 600}
    assert await raw.call("PATCH", ROOT, [record]) == (200, None)
    assert raw.standin.zone(ZONE).values("A", "shop") == ["203.0.113.7", "203.0.113.8"]
    status, body = await raw.call("PATCH", ROOT, [record])
    assert (status, body["code"]) == (422, "DUPLICATE_RECORD")
    assert body["message"] == "Another record with the same attributes already exists"


async def test_put_on_a_type_replaces_every_name_of_that_type(raw: Raw) -> None:
    assert await raw.call("PUT", f"{ROOT}/A", [{"name": "new", "data": "192.0.2.1"}]) == (200, None)
    zone = raw.standin.zone(ZONE)
    assert [each["name"] for each in zone.records if each["type"] == "A"] == ["new"]
    assert zone.values("TXT", "shop") == ["x"]


async def test_put_on_the_zone_replaces_all_of_it(raw: Raw) -> None:
    assert await raw.call("PUT", ROOT, [{"type": "A", "name": "new", "data": "192.0.2.1"}]) == (200, None)
    assert [(each["type"], each["name"]) for each in raw.standin.zone(ZONE).records] == [("NS", "@"), ("A", "new")]


async def test_a_put_of_the_whole_zone_fails_on_a_caa_record_that_was_made_elsewhere(raw: Raw) -> None:
    raw.standin.zone(ZONE).add("CAA", "@", '0 issue "letsencrypt.org"')
    _, records = await raw.call("GET", ROOT)
    before = raw.standin.zone(ZONE).records
    status, body = await raw.call("PUT", ROOT, records)
    assert (status, body["code"]) == (422, "INVALID_BODY")
    assert body["fields"][0]["path"].endswith(".type")
    assert raw.standin.zone(ZONE).records == before


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PATCH", "", {"type": "A"}, {"path": "records", "code": "UNEXPECTED_TYPE", "message": "is not a array"}),
        (
            "PUT",
            "/A/shop",
            [{"data": "192.0.2.1", "ttl": 300}],
            {"path": "records[0].ttl", "code": "UNKNOWN_RESTRICTION", "message": "must have a minimum value of 600"},
        ),
        (
            "PATCH",
            "",
            [{"type": "A", "name": "", "data": "192.0.2.1"}],
            {
                "path": "records[0].name",
                "code": "MISMATCH_FORMAT",
                "message": "does not conform to the 'domain' format",
            },
        ),
        ("PUT", "/A", [{"data": "192.0.2.1"}], {"path": "records[0].name", "code": "MISSING_VALUE"}),
        ("PUT", "/A/shop", [{"data": "no address"}], {"path": "records[0].data", "code": "MISMATCH_FORMAT"}),
    ],
)
async def test_bodies_that_break_the_schema_are_refused_with_the_field(
    raw: Raw, method: str, path: str, body: object, field: dict[str, str]
) -> None:
    status, answer = await raw.call(method, ROOT + path, body)
    assert (status, answer["code"]) == (422, "INVALID_BODY")
    assert field.items() <= answer["fields"][0].items()


async def test_an_empty_name_in_the_path_is_no_route(raw: Raw) -> None:
    status, body = await raw.call("PUT", f"{ROOT}/A/", [{"data": "192.0.2.1"}])
    assert (status, body["code"]) == (404, "NOT_FOUND")


async def test_a_set_beside_a_cname_and_a_value_given_twice_are_duplicates(raw: Raw) -> None:
    raw.standin.zone(ZONE).add("CNAME", "www", "shop.example.com")
    for path, body in (("/A/www", [{"data": "192.0.2.1"}]), ("/A/shop", [{"data": "192.0.2.1"}] * 2)):
        status, answer = await raw.call("PUT", ROOT + path, body)
        assert (status, answer["code"]) == (422, "DUPLICATE_RECORD")


async def test_a_request_without_a_key_is_401(raw: Raw) -> None:
    for auth in ("", "Basic a2V5OnNlY3JldA==", "sso-key key", "sso-key key:wrong"):
        status, body = await raw.call("GET", ROOT, auth=auth)
        assert (status, body["code"]) == (401, "UNABLE_TO_AUTHENTICATE")


async def test_the_limit_is_sixty_a_minute_for_each_endpoint(raw: Raw) -> None:
    for number in range(60):
        assert (await raw.call("GET", f"{ROOT}/A/h{number}"))[0] == 200
    raw.clock.advance(timedelta(seconds=20))
    status, body = await raw.call("GET", f"{ROOT}/A/shop")
    assert (status, body["code"], body["retryAfterSec"]) == (429, "TOO_MANY_REQUESTS", 40)
    assert raw.standin.over_budget == [("GET", "/v1/domains/{domain}/records/{type}/{name}")]
    assert (await raw.call("GET", f"{ROOT}/A"))[0] == 200
    assert (await raw.call("DELETE", f"{ROOT}/A/shop")) == (204, None)
    raw.clock.advance(timedelta(seconds=40))
    assert (await raw.call("GET", f"{ROOT}/A/blog"))[0] == 200


async def test_txt_data_may_lose_its_quotes(raw: Raw) -> None:
    await raw.call("PUT", f"{ROOT}/TXT/mark", [{"data": '"a=b"'}])
    assert raw.standin.zone(ZONE).values("TXT", "mark") == ['"a=b"']
    raw.standin.strips_quotes = True
    await raw.call("PUT", f"{ROOT}/TXT/mark", [{"data": '"a=b"'}])
    assert raw.standin.zone(ZONE).values("TXT", "mark") == ["a=b"]


async def test_it_runs_as_a_program_and_ends_with_its_standard_input() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "standins.godaddy", "--zone", "a.test", "--zone", "b.test", "--nameservers", "3"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = json.loads(await process.stdout.readline())
            assert len(line["resolvers"].split(",")) == 3
            async with (
                aiohttp.ClientSession(headers={"Authorization": "sso-key key:secret"}) as session,
                session.get(f"{line['url']}/v1/domains") as reply,
            ):
                assert [each["domain"] for each in await reply.json()] == ["a.test", "b.test"]
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
