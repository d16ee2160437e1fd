"""Replicas end with their test, and what runs with Kopf itself leaves its loggers as they were."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from .replicas import Place


@pytest.fixture
def quiet_kopf() -> Iterator[None]:
    """The host makes a logger of Kopf's quieter, for the whole process."""
    logger = logging.getLogger("kopf.objects")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """One cluster with one Lease."""
    place = Place()
    yield place
    for replica in place.replicas:
        await replica.kill()
