"""Samples of a profiler, summed up."""

from __future__ import annotations

import pytest

from tests.bench.profile_shares import IDLE, by_owner, by_package, place

LIB = "/usr/lib/python3.11"
RUN = f"run_forever\0{LIB}/asyncio/base_events.py\x001"
POLL = "epoll.poll\0<built-in>\x000"
SELECT = f"select\0{LIB}/selectors.py\x00450"
LOOP = "_pass\0/w/src/devops_reconciler/host/loop.py\x00200"
KOPF = "process\0/w/.venv/lib/python3.11/site-packages/kopf/_core/processing.py\x001"
JSON = f"loads\0{LIB}/json/__init__.py\x001"
RECORDS = [
    ([RUN, SELECT, POLL], 4.0),
    ([RUN, SELECT], 1.0),
    ([RUN, LOOP, JSON, "scan\0<built-in>\x000"], 2.0),
    ([RUN, KOPF, JSON], 1.0),
    ([RUN, KOPF], 0.5),
    ([RUN], 0.25),
]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (LOOP, "devops_reconciler.host"),
        ("x\0/w/src/devops_reconciler/deployment.py\x001", "devops_reconciler.deployment"),
        (KOPF, "kopf"),
        (JSON, "json"),
        (POLL, ""),
    ],
)
def test_a_frame_belongs_to_a_package(frame: str, expected: str) -> None:
    assert place(frame) == expected


def test_time_is_that_of_the_code_that_ran_and_waiting_is_apart() -> None:
    assert by_package(RECORDS) == {IDLE: 5.0, "json": 3.0, "kopf": 0.5, "asyncio": 0.25}


def test_time_is_owed_to_whom_the_event_loop_called() -> None:
    assert by_owner(RECORDS) == {IDLE: 5.0, "devops_reconciler.host": 2.0, "kopf": 1.5, "asyncio": 0.25}
