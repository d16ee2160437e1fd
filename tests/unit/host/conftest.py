"""What runs with Kopf itself leaves its loggers as they were."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet_kopf() -> Iterator[None]:
    """The host makes a logger of Kopf's quieter, for the whole process."""
    logger = logging.getLogger("kopf.objects")
    level = logger.level
    yield
    logger.setLevel(level)
