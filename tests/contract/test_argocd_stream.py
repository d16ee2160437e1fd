"""What the Argo CD client assumes of the watch of applications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from testbed.argocd import RealArgoCD

from .argocd_target import DEADLINE, Target, target, until

Events = AsyncGenerator[tuple[str, dict[str, Any]], None]
SHORT = timedelta(milliseconds=500)


@pytest.fixture
async def argocd(real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    async with target(real=real_argocd) as found:
        await found.make_project()
        yield found


async def following(events: Events) -> tuple[str, str, dict[str, Any]]:
    async with asyncio.timeout(DEADLINE):
        kind, app = await anext(events)
    return kind, app["metadata"]["name"], app


async def wait_for(events: Events, kind: str) -> dict[str, Any]:
    """The next event of this kind."""
    while True:
        found, _, app = await following(events)
        if found == kind:
            return app


async def test_a_watch_begins_with_all_that_is_there_and_goes_on_with_each_change(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    argocd.standin.pause()
    async with aclosing(client.watch_applications(project="shop")) as events:
        assert (await following(events))[:2] == ("ADDED", "shop")
        await client.create_application(argocd.application("shop-pr-7"))
        while (await following(events))[:2] != ("ADDED", "shop-pr-7"):
            pass
        argocd.standin.resume()
        await wait_for(events, "MODIFIED")
        await client.delete_application("shop-pr-7", "shop")
        assert (await wait_for(events, "DELETED"))["metadata"]["name"] == "shop-pr-7"


async def test_a_watch_of_one_name_is_silent_about_others(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application("other"))
    await client.create_application(argocd.application("shop"))
    names = {app["metadata"]["name"] async for _, app in client.watch_applications(name="shop", idle=SHORT)}
    assert names == {"shop"}


async def test_a_watch_without_rights_or_applications_is_silent_and_ends_by_itself(argocd: Target) -> None:
    await argocd.client().create_application(argocd.application())
    limited = argocd.client(argocd.limited_token)
    assert [event async for event in limited.watch_applications(project="shop", idle=SHORT)] == []
    assert [event async for event in argocd.client().watch_applications(name="missing", idle=SHORT)] == []


async def test_a_watch_that_a_proxy_cuts_ends_and_may_be_opened_again(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    for _ in range(2):
        async with aclosing(client.watch_applications(project="shop")) as events:
            assert (await following(events))[0] == "ADDED"
            argocd.standin.streams.cut()
            async with asyncio.timeout(DEADLINE):
                assert {kind async for kind, _ in events} <= {"MODIFIED"}
    assert argocd.standin.streams.opened == 2


async def test_a_watch_ends_when_the_service_goes_down_and_cannot_be_opened_then(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    async with aclosing(client.watch_applications(project="shop")) as events:
        await following(events)
        argocd.standin.controls.down = True
        async with asyncio.timeout(DEADLINE):
            assert {kind async for kind, _ in events} <= {"MODIFIED"}
    with pytest.raises(ExternalServiceError):
        await anext(client.watch_applications(project="shop"))


async def test_a_watch_with_a_bad_token_is_refused(argocd: Target) -> None:
    with pytest.raises(CredentialsError) as refused:
        await anext(argocd.client("garbage").watch_applications())
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"grpc_code":14,"http_code":503,"message":"transport is closing"}}\n', ExternalServiceError),
        (b'{"error":{"grpc_code":7,"http_code":403,"message":"permission denied"}}\n', CredentialsError),
        (b"<html>Sign in</html>\n", ExternalServiceError),
        (b'{"result":{"type":"ADDED"}}\n', ExternalServiceError),
    ],
)
async def test_an_error_inside_of_a_watch_is_raised(argocd: Target, body: bytes, error: type[Exception]) -> None:
    argocd.standin.controls.fault("GET", "/stream/", 200, body=body.decode())
    with pytest.raises(error):
        await anext(argocd.client().watch_applications())


async def test_a_page_instead_of_a_watch_is_an_illness_of_the_service(argocd: Target) -> None:
    argocd.standin.controls.fault("GET", "/stream/", 404)
    with pytest.raises(ExternalServiceError, match="404"):
        await anext(argocd.client().watch_applications())


async def test_leaving_a_watch_early_closes_its_connection(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    async with aclosing(client.watch_applications(project="shop")) as events:
        await following(events)
        assert len(argocd.standin.state.watches) == 1
    await until(client, lambda _: not argocd.standin.state.watches)
