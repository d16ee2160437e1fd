"""What Kopf sends: watches at once, patches of our objects a few at a time, and those of deployments first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from yarl import URL

from devops_reconciler.services.kubernetes_session import OpenWatches, Paced

LONG = timedelta(hours=1)


@dataclass
class Asked:
    """What the middleware sees of a request."""

    method: str
    url: URL


class Answer:
    async def read(self) -> bytes:
        return b"{}"


class Kopf:
    """Requests as Kopf makes them, and the paths of those that have gone out; none is answered before `answers`."""

    def __init__(self, patches: int, timeout: timedelta = LONG) -> None:
        self.watches = OpenWatches()
        self._paced = Paced(patches, timeout, self.watches)
        self.out: list[str] = []
        self.answers = asyncio.Event()
        self.tasks: list[asyncio.Task[Any]] = []

    async def _handler(self, request: Any) -> Any:
        self.out.append(request.url.path.rpartition("/")[2])
        await self.answers.wait()
        return Answer()

    async def ask(self, *names: str, plural: str = "jenkinssettings", namespace: str = "team", **more: str) -> None:
        for name in names:
            url = URL(f"https://kube/apis/freeleaps.com/v1alpha1/namespaces/{namespace}/{plural}/{name}")
            self.send(more.get("method", "PATCH"), url)
        await settle()

    def send(self, method: str, url: URL) -> None:
        asked = cast(Any, Asked(method, url))
        self.tasks.append(asyncio.create_task(self._paced(asked, self._handler)))

    async def end(self) -> None:
        self.answers.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*self.tasks)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_no_more_patches_of_our_objects_go_out_at_once_than_allowed() -> None:
    kopf = Kopf(3)
    await kopf.ask("a", "b", "c", "d", "e")
    assert kopf.out == ["a", "b", "c"]
    await kopf.end()
    assert kopf.out == ["a", "b", "c", "d", "e"]


async def test_a_deployment_has_a_place_of_its_own_and_namespaces_have_turns() -> None:
    kopf = Kopf(4)
    await kopf.ask("a", "b", "c", "d", "e", namespace="noisy")
    await kopf.ask("quiet", namespace="other")
    await kopf.ask("record", plural="deploymentrecords", namespace="other")
    assert kopf.out == ["a", "b", "c", "record"]
    await kopf.end()
    assert kopf.out[4:] == ["d", "quiet", "e"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/apis/freeleaps.com/v1alpha1/namespaces/team/jenkinssettings"),
        ("GET", "/apis/freeleaps.com/v1alpha1/namespaces/team/jenkinssettings?watch=true"),
        ("PATCH", "/apis/kopf.dev/v1/namespaces/team/kopfpeerings/ours"),
    ],
)
async def test_what_is_no_patch_of_our_objects_waits_for_none(method: str, path: str) -> None:
    kopf = Kopf(1)
    await kopf.ask("a", "b")
    kopf.send(method, URL(f"https://kube{path}"))
    await settle()
    assert len(kopf.out) == 2
    await kopf.end()


async def test_a_request_that_is_not_answered_ends_and_a_watch_does_not() -> None:
    kopf = Kopf(1, timedelta(0))
    await kopf.ask("a", method="GET")
    kopf.send("GET", URL("https://kube/apis/freeleaps.com/v1alpha1/jenkinssettings?watch=true"))
    with pytest.raises(TimeoutError):
        await kopf.tasks[0]
    await settle()
    assert not kopf.tasks[1].done()
    kopf.answers.set()
    await kopf.tasks[1]


@dataclass(eq=False)
class Stream:
    """The answer to a watch."""

    closed: bool = False


@pytest.mark.parametrize("server", ["https://kube", "https://proxy.example.com/k8s/clusters/c-1"])
async def test_watches_of_our_kinds_are_known_as_long_as_they_are_open(server: str) -> None:
    watches, answers = OpenWatches(), [Stream(), Stream()]
    paced = Paced(1, LONG, watches)
    waiting = iter(answers)

    async def handler(_request: Any) -> Any:
        return next(waiting)

    for path in ("kopf.dev/v1/namespaces/team/kopfpeerings", "freeleaps.com/v1alpha1/namespaces/team/jenkinssettings"):
        assert not watches
        await paced(cast(Any, Asked("GET", URL(f"{server}/apis/{path}?watch=true"))), handler)
    assert watches
    answers[1].closed = True
    assert not watches
