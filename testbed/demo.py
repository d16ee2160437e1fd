"""The demo: the operator's main job on this machine, told in chapters.

``devops-reconciler demo`` calls :func:`main`. With a terminal it stays up after the last chapter, so that one can go on
by hand; without one, or with ``once``, it ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import aiohttp

from testbed import demo_chapters as chapters
from testbed import demo_troubles as troubles
from testbed.demo_chapters import Story
from testbed.demo_view import Outcome, View
from testbed.kube_api import KubeApiError
from testbed.outside import NotReachable
from testbed.processes import ProcessError
from testbed.stage import Stage, exports
from testbed.stage_cluster import NAMESPACE
from testbed.stage_pace import Pace
from testbed.stage_real import RealStage

Chapter = Callable[[Story], Awaitable[str]]
Bound = Callable[[], Awaitable[str]]
"""A chapter that has its story."""
CHAPTERS: tuple[tuple[str, str, Chapter], ...] = (
    ("start", "Start: a cluster, a broker, the services, the operator", chapters.start),
    ("set-up", "Set up: a message makes the project", chapters.set_up),
    ("deploy", "Deploy: from Git to an address that answers", chapters.deploy),
    ("preview", "Preview: it comes, expires, and is verified gone", chapters.preview),
    ("outage", "Outage: Jenkins goes down in the middle of a deployment, and returns", troubles.outage),
    ("crash", "Crash: the operator is killed in the middle of a deployment", troubles.crash),
)
PACE = Pace(build_seconds=3.0)
INTERRUPTED = 130
# What a chapter may meet when the product does not do what it promises.
FAILURES = (AssertionError, TimeoutError, KubeApiError, ProcessError, NotReachable, aiohttp.ClientError, OSError)


def main(once: bool = False, as_json: bool = False, real: bool = False) -> int:
    """Play all chapters: 0 when every one came true, 1 when one did not, 130 when it was interrupted before.

    With ``real`` Argo CD is the real one, on a cluster with a node.
    """
    stays = not once and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    view = View(to_stderr=as_json)
    outcomes: list[Outcome] = []
    try:
        asyncio.run(_play(view, outcomes, stays=stays, real=real))
    except (KeyboardInterrupt, asyncio.CancelledError):
        if len(outcomes) < len(CHAPTERS):
            view.text("\nInterrupted; everything is stopped.")
            return INTERRUPTED
    ok = len(outcomes) == len(CHAPTERS) and all(outcome.ok for outcome in outcomes)
    if as_json:
        result = {"ok": ok, "chapters": [outcome.as_json() for outcome in outcomes]}
        sys.stdout.write(json.dumps(result) + "\n")
    return 0 if ok else 1


async def _play(view: View, outcomes: list[Outcome], *, stays: bool, real: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    view.title("freeleaps-devops-reconciler: the whole way, from a message to a live address")
    async with AsyncExitStack() as stack:
        began = time.monotonic()
        view.chapter(1, CHAPTERS[0][1])
        stage = RealStage(PACE) if real else Stage(PACE)
        try:
            with view.waiting("the services start"):
                await stack.enter_async_context(stage)
        except FAILURES as error:
            _fail_all(view, outcomes, error, time.monotonic() - began)
            return
        story = Story(stage, view)
        bound = [(name, title, partial(chapter, story)) for name, title, chapter in CHAPTERS]
        await tell(bound, view, outcomes, began, lambda: _log_of(stage))
        total = time.monotonic() - began
        view.text(
            f"\n{sum(outcome.ok for outcome in outcomes)} of {len(CHAPTERS)} chapters came true in {total:.0f} s."
        )
        if stays:
            view.text(_by_hand(stage))
            await asyncio.Event().wait()
        with view.waiting("everything is stopped"):
            await stack.aclose()


async def tell(
    chapters: Sequence[tuple[str, str, Bound]],
    view: View,
    outcomes: list[Outcome],
    began: float,
    log: Callable[[], str],
) -> None:
    """The chapters in their order; after one that did not come true the others are not played.

    ``began`` is when the first one began (monotonic): its title is shown already. ``log`` gives what helps to see why
    one did not come true.
    """
    for number, (name, title, chapter) in enumerate(chapters, start=1):
        if number > 1:
            view.chapter(number, title)
            began = time.monotonic()
        if any(not outcome.ok for outcome in outcomes):
            outcome = Outcome(name, False, 0.0, "not played, because a chapter before it did not come true")
        else:
            outcome = await _one(name, chapter, began)
            if not outcome.ok:
                view.text(log())
        outcomes.append(outcome)
        view.ended(outcome)


async def _one(name: str, chapter: Bound, began: float) -> Outcome:
    try:
        detail, ok = await chapter(), True
    except FAILURES as error:
        detail, ok = f"{type(error).__name__}: {error}", False
    return Outcome(name, ok, time.monotonic() - began, detail)


def _log_of(stage: Stage) -> str:
    if not stage.operators:
        return "\nThe operator was not started."
    return f"\nThe end of the operator's log:\n{stage.operators[-1].logs(30)}"


def _fail_all(view: View, outcomes: list[Outcome], error: BaseException, seconds: float) -> None:
    """The services did not start: no chapter can be played."""
    for number, (name, _, _) in enumerate(CHAPTERS):
        detail = f"the services did not start: {error}" if number == 0 else "not played"
        outcomes.append(Outcome(name, False, seconds if number == 0 else 0.0, detail))
        view.ended(outcomes[-1])


def _by_hand(stage: Stage) -> str:
    """What the user can do now."""
    environment = stage.folder / "operator.env"
    environment.write_text(exports({**stage.operators[-1].environment, "KUBECONFIG": str(_kubeconfig(stage))}))
    command = f"{sys.executable} -m devops_reconciler"
    return f"""
It stays up until Ctrl-C. In another terminal:

  . {environment}
  alias kubectl={stage.control_plane.programs / "kubectl"}
  kubectl get devopsprojects,deploymentrecords
  kubectl describe dop shop
  {command} send reconcile shop --environment pr-8 --ttl 2m
  {command} watch shop
  curl -H 'Host: {chapters.HOST}' http://{stage.ingress.host}:{stage.ingress.port}/
  curl {stage.operators[-1].url}/health

Logs of the operator: {stage.folder}
"""


def _kubeconfig(stage: Stage) -> str:
    return str(stage.control_plane.kubeconfig(namespace=NAMESPACE))
