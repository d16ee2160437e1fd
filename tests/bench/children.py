"""Many children at once: API writes a second, beside operators that only write, and beside a bare client."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from testbed.stage import Stage
from tests.bench import noop_kind
from tests.bench.bare_api import BareApi, define_noops
from tests.bench.children_table import Measured, findings_of
from tests.bench.contenders import NOOP, OURS, PEER, PEER_LIMITED, PEER_MANY, Contender
from tests.bench.figures import Findings
from tests.bench.ground import stage_at_once
from tests.bench.storm import create_storm

SIZES = (100, 1000)
LARGE = (*SIZES, 5000)
MOST_ROUNDS = 3
LIMITED_UP_TO = 100
"""Twenty requests a second take minutes for more."""
RAW_NAMESPACE, RAW_OBJECTS = "bench-raw", 100
RAW_FOR = timedelta(seconds=3)


async def measure(repetitions: int, sizes: Sequence[int] = SIZES) -> Findings:
    """All contenders in each round, another one first; three rounds at most."""
    names = map("bench-{}".format, itertools.count(1))
    measured = []
    async with stage_at_once() as stage:
        raw = await _raw_capacity(stage)
        for size in sizes:
            found = Measured(size)
            for number in range(min(repetitions, MOST_ROUNDS)):
                found.raw.append(await raw())
                for contender in turned(contenders(size, number), number):
                    async with contender.start(stage, next(names)) as running:
                        found.add(contender.name, await create_storm(stage, running, size))
            measured.append(found)
    return findings_of(measured, ours=OURS.name, like=NOOP.name)


measure_large = partial(measure, sizes=LARGE)


def contenders(size: int, number: int) -> list[Contender]:
    """Who takes part in this round. One whose rate is limited varies little, and takes long: once is enough."""
    limited = [PEER_LIMITED] if size <= LIMITED_UP_TO and number == 0 else []
    return [OURS, NOOP, PEER, PEER_MANY, *limited]


def turned(some: Sequence[Contender], number: int) -> list[Contender]:
    """In each round another one is the first."""
    at = number % len(some)
    return [*some[at:], *some[:at]]


async def _raw_capacity(stage: Stage) -> Callable[[], Awaitable[float]]:
    """What measures the status patches a second of a bare client, on objects that nobody watches."""
    admin = stage.control_plane
    await define_noops(admin)
    await admin.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RAW_NAMESPACE}}])
    async with BareApi(admin) as api:
        await api.create_all(noop_kind.bodies(RAW_NAMESPACE, RAW_OBJECTS))

    async def raw() -> float:
        async with BareApi(admin) as api:
            return await api.patches_per_second(RAW_NAMESPACE, RAW_OBJECTS, RAW_FOR)

    return raw
