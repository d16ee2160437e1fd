"""Fifty projects at once, within the request budgets of the vendors. Takes about a minute and a half.

The budget is what takes the time: each project needs a few requests to one endpoint of GoDaddy, so that many have to
wait for their turn. GoDaddy allows 60 a minute to each endpoint; here it is twice that, to be done in half the time.
The bench does the same with 60.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from standins.controls import Call
from testbed.stage import ZONE, Stage
from testbed.stage_pace import Pace
from testbed.triggers import initialize

PROJECTS = [f"crowd-{number:02}" for number in range(50)]
DEADLINE = timedelta(minutes=4)
GODADDY_PER_MINUTE = 120
LOGINS = ("/v2/auth/token", "/token", "/api/v1/session")


def _writes(calls: list[Call]) -> list[Call]:
    return [call for call in calls if call.method not in ("GET", "HEAD") and call.path not in LOGINS]


@pytest.mark.timeout(420)
# On the loop of the shared stage: its services would stand still on a loop of this test alone.
@pytest.mark.asyncio(loop_scope="session")
async def test_fifty_projects_at_once_are_all_ready_within_every_budget_with_one_write_for_each_thing(
    stage: Stage,
) -> None:
    pace = replace(Pace(), godaddy_per_minute=GODADDY_PER_MINUTE)
    async with Stage(pace, ground=stage.ground, lane="crowd") as lane:
        # The intervals of the defaults: fifty projects that are compared every 15 s are another test.
        await lane.start_operator(POLL_INTERVAL="300s")
        samples = [await lane.sample(name) for name in PROJECTS]
        specs = [
            {"git": {"url": sample.url}, "ingress": {"host": f"{name}.{ZONE}"}}
            for name, sample in zip(PROJECTS, samples, strict=True)
        ]

        messages = (initialize(name, spec) for name, spec in zip(PROJECTS, specs, strict=True))
        await asyncio.gather(*(lane.publish(message) for message in messages))

        async with asyncio.timeout(DEADLINE.total_seconds()):
            for name in PROJECTS:
                await lane.kube.wait_condition("devopsprojects", lane.namespace, name, "Ready", deadline=DEADLINE)
        assert lane.godaddy.over_budget == []
        things = await lane.inventory()
        for service, standin in (
            ("jenkins", lane.jenkins),
            ("argocd", lane.argocd),
            ("dockerhub", lane.hub),
            ("godaddy", lane.godaddy),
        ):
            writes = _writes(standin.controls.calls)
            again = Counter((call.method, call.path, call.query, call.body) for call in writes)
            assert [key for key, count in again.items() if count > 1] == []
            made = [thing for thing in things if thing.service == service]
            assert len(writes) <= len(made), f"{service}: {len(writes)} writes for {len(made)} things"
            assert [call for call in standin.controls.calls if call.status == 429] == []
        for name in PROJECTS:
            assert f"argocd application {name}" in [str(thing) for thing in things]
