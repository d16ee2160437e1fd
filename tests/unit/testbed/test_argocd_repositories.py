"""The stand-in Argo CD tries out a repository once, however many ask for it at one time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

from devops_reconciler.runtime.clock import FakeClock
from standins.argocd_accounts import Session
from standins.argocd_compare import Sources
from standins.argocd_repositories import REMEMBERED, Repositories
from standins.argocd_state import Json, Repository, State

URL = "https://git.example.test/shop.git"


class Everybody:
    """A session that may do all."""

    def may(self, *_: str) -> bool:
        return True


class Trials:
    """Sources that are tried out as soon as the test lets them."""

    def __init__(self) -> None:
        self.count = 0
        self.go_on = asyncio.Event()

    async def test(self, spec: Json) -> None:
        self.count += 1
        await self.go_on.wait()


async def test_what_many_ask_for_at_one_time_is_tried_out_once_and_again_after_an_hour() -> None:
    clock, trials, session = FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), Trials(), cast("Session", Everybody())
    state = State(clock)
    state.repositories["git.example.test/shop", ""] = Repository({"repo": URL, "type": "git"})
    repositories = Repositories(state, cast("Sources", trials))
    asking = [asyncio.ensure_future(repositories.list(session)) for _ in range(20)]
    await asyncio.sleep(0)  # all of them ask
    trials.go_on.set()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*asking)
        assert {answer["items"][0]["connectionState"]["status"] for answer in answers} == {"Successful"}
        assert trials.count == 1
        await repositories.list(session, force_refresh=True)
        assert trials.count == 2
        clock.advance(REMEMBERED + timedelta(seconds=1))
        await repositories.list(session)
    assert trials.count == 3
