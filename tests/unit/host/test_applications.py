"""Argo CD's watch: what it tells, and that it comes back after every end of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.applications import watch_applications
from tests.unit.world import outside


class Streams:
    """An Argo CD that gives these streams one after the other; an exception in one is raised, the last one hangs."""

    def __init__(self, *streams: list[Any]) -> None:
        self.streams = list(streams)
        self.selectors: list[str | None] = []

    async def watch_applications(
        self, *, selector: str | None = None, idle: timedelta
    ) -> AsyncGenerator[tuple[str, Any], None]:
        self.selectors.append(selector)
        if not self.streams:
            await asyncio.Event().wait()
        for item in self.streams.pop(0):
            if isinstance(item, Exception):
                raise item
            yield item


def application(project: str, environment: str) -> dict[str, Any]:
    labels = {"freeleaps.com/project": project, "freeleaps.com/environment": environment}
    return {"metadata": {"name": project, "labels": labels}}


async def told(*streams: list[Any]) -> tuple[list[tuple[str, str]], Streams]:
    """What these streams tell of."""
    out, argocd = outside(), Streams(*streams)
    found: list[tuple[str, str]] = []
    world = replace(out.world, argocd=argocd)  # type: ignore[arg-type]
    task = asyncio.create_task(
        watch_applications(world, lambda project, environment: found.append((project, environment)))
    )
    async with asyncio.timeout(10):
        while len(argocd.selectors) <= len(streams):
            await asyncio.sleep(0)
            out.clock.advance(timedelta(seconds=1))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found, argocd


async def test_a_change_is_told_by_the_labels_of_the_application() -> None:
    found, argocd = await told([("MODIFIED", application("shop", "production"))])
    assert found == [("shop", "production")]
    assert set(argocd.selectors) == {"freeleaps.com/project"}


async def test_what_carries_no_labels_of_ours_is_told_to_nobody() -> None:
    strange: list[Any] = [{}, {"metadata": None}, {"metadata": {"labels": "x"}}, {"metadata": {"labels": {}}}]
    assert (await told([("MODIFIED", each) for each in strange]))[0] == []


async def test_the_watch_comes_back_after_the_end_of_a_stream_and_after_errors() -> None:
    broken = ExternalServiceError("argocd: 503", service="argocd")
    found, _ = await told([broken], [broken], [], [("ADDED", application("shop", "pr-7"))])
    assert found == [("shop", "pr-7")]
