"""Fixtures of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from .bench import Bench
from .box import Box
from .desk import Desk


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.deliveries.stop(timedelta(0))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await made.end()


@pytest.fixture
def box() -> Box:
    return Box()
