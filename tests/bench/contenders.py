"""The operators that are compared: each starts on a namespace of its own, and says what to create for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from testbed import build, rights
from testbed.processes import ChildProcess
from testbed.stage import Stage
from testbed.stage_cluster import path
from testbed.stage_operator import REPOSITORY, Operator, clean_environment
from tests.bench import noop_kind, noop_kopf
from tests.bench.bare_api import define_noops
from tests.bench.ground import lifted
from tests.bench.mix import MIX, children

ACCOUNT = "writer"
UNHURRIED = {"LEASE_DURATION": "15s"}
"""The default: on a machine that is made as busy as can be, the stage's three seconds could be missed."""
Wanted = Iterable[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Running:
    """An operator that watches: its name in the audit log, its process, and where its objects are."""

    user: str
    pid: int
    collections: Sequence[str]
    wanted: Callable[[int], Wanted]
    """So many objects that it has to bring to Ready: the path of the collection, and the body."""


@dataclass(frozen=True)
class Contender:
    """One of those who are compared. `start` gives it a namespace that nobody else uses."""

    name: str
    start: Callable[[Stage, str], AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def ours_on(stage: Stage, namespace: str) -> AsyncIterator[Running]:
    """`devops-reconciler run` without budgets for the vendors, all of which answer at once."""
    async with operator_in(stage, namespace) as operator:
        yield await running_in(stage, namespace, operator, prefix=namespace)


async def running_in(
    stage: Stage, namespace: str, operator: Operator, *, prefix: str, mix: Sequence[str] = MIX, pinned: bool = True
) -> Running:
    """Our operator as it runs in a namespace. Its children are named by the prefix, which nobody else has.

    `pinned`: their source is a commit, of which Git is asked once, and not a branch.
    """
    # Of its own: what an operator that stopped has left at Argo CD for a source is in the way of its next users.
    sample = await stage.sample(namespace)
    git = {"url": sample.url, "branch": await sample.head() if pinned else "main"}
    collections = [path(plural, namespace=namespace) for plural in mix]
    wanted = partial(children, namespace, prefix, git, mix=mix)
    return Running(rights.user_in(namespace), operator.pid, collections, wanted)


@asynccontextmanager
async def operator_in(
    stage: Stage, namespace: str, python: Sequence[str] = (sys.executable,), **variables: str
) -> AsyncIterator[Operator]:
    """Our operator, with the rights of the chart in a namespace that it alone watches."""
    kubeconfig = await rights.install(stage.control_plane, namespace)
    chosen = {"KUBECONFIG": str(kubeconfig), "RECONCILER_NAMESPACES": namespace, **lifted(), **UNHURRIED, **variables}
    operator = Operator(stage.environment(**chosen), stage.folder / f"{namespace}.log", python=python)
    try:
        await operator.start()
        await operator.wait_ready()
        yield operator
    finally:
        await operator.stop()


@asynccontextmanager
async def writer_on(stage: Stage, namespace: str, command: Sequence[str], ready: str) -> AsyncIterator[Running]:
    """A program that says `ready` when it watches, with an account of its own that may do all."""
    await define_noops(stage.control_plane)
    kubeconfig = await stage.control_plane.add_administrator(namespace, ACCOUNT)
    process = ChildProcess(
        namespace,
        command,
        log=stage.folder / f"{namespace}.log",
        environment=clean_environment({"KUBECONFIG": str(kubeconfig)}),
        cwd=REPOSITORY,
    )
    await asyncio.to_thread(process.start)
    try:
        await asyncio.to_thread(process.wait_until_ready, lambda: ready in process.log_tail())
        yield Running(
            f"system:serviceaccount:{namespace}:{ACCOUNT}",
            process.pid,
            [noop_kind.collection(namespace)],
            lambda count: noop_kind.bodies(namespace, count),
        )
    finally:
        await asyncio.to_thread(process.stop)


def noop_on(stage: Stage, namespace: str) -> AbstractAsyncContextManager[Running]:
    """The no-op of Kopf."""
    return writer_on(stage, namespace, [sys.executable, "-m", noop_kopf.__name__, namespace], noop_kopf.WATCHES)


def peer_on(*flags: str) -> Callable[[Stage, str], AbstractAsyncContextManager[Running]]:
    """The no-op of controller-runtime, with flags of its own."""

    def start(stage: Stage, namespace: str) -> AbstractAsyncContextManager[Running]:
        program = build.ensure("peer") / "peer"
        return writer_on(stage, namespace, [str(program), f"--namespace={namespace}", *flags], "the peer watches")

    return start


OURS = Contender("ours", ours_on)
NOOP = Contender("no-op of Kopf", noop_on)
PEER = Contender("no-op of controller-runtime", peer_on())
PEER_MANY = Contender("the same, 12 workers", peer_on("--workers=12"))
PEER_LIMITED = Contender("the same, 20 requests a second", peer_on("--workers=12", "--qps=20", "--burst=30"))
