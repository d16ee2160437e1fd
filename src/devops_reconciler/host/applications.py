"""Argo CD's watch: what changes there wakes the deployments that wait for it. Polls remain, as a net."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from ..api.errors import ReconcilerError
from ..resources.marks import ENVIRONMENT_LABEL, PROJECT_LABEL
from ..resources.world import World
from ..runtime.logs import get_logger
from ..runtime.manager import Backoff

IDLE = timedelta(minutes=10)
"""Silence after which the stream is opened anew. Argo CD sends all applications each time, and what a dead stream does
not tell is found by the polls."""
AGAIN = Backoff(first=timedelta(seconds=1))

Changed = Callable[[str, str], None]
"""Told the project and the environment whose application has changed."""

_log = get_logger(__name__)


async def watch_applications(world: World, changed: Changed) -> None:
    """The supervised task `argocd_watch`: until cancelled. Raises only what nobody foresaw.

    An Argo CD that cannot be watched is asked again with growing pauses; health tells of it by its own check.
    """
    failures = 0
    while True:
        try:
            async with aclosing(world.argocd.watch_applications(selector=PROJECT_LABEL, idle=IDLE)) as events:
                async for _, application in events:
                    failures = 0
                    _tell(changed, application)
        except ReconcilerError as error:
            failures += 1
            if failures == 1:
                _log.warning("Argo CD's applications cannot be watched; they are polled", error=error.message)
        await world.clock.sleep(AGAIN.delay(max(1, failures)))


def _tell(changed: Changed, application: dict[str, Any]) -> None:
    metadata = application.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    if isinstance(labels, dict) and labels.get(PROJECT_LABEL) and labels.get(ENVIRONMENT_LABEL):
        changed(str(labels[PROJECT_LABEL]), str(labels[ENVIRONMENT_LABEL]))
