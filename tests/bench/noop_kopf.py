"""An operator of Kopf that does nothing but write: `python -m tests.bench.noop_kopf NAMESPACE`.

It is as Kopf's documents have it, with Kopf's own settings but for two: no peers, and no log lines. It writes as often
as ours does for a child that somebody else has made: the finalizer, the status, an annotation that says what was
handled, and an event.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import kopf

from tests.bench.noop_kind import GROUP, PAYLOAD, PLURAL, READY, VERSION

WATCHES = "the no-op watches"


async def created(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
    """Ready, with an event."""
    patch.status.update({"observedGeneration": body.metadata["generation"], "conditions": [READY], "applied": PAYLOAD})
    kopf.info(body, reason="Succeeded", message="it is Ready")


async def deleted(**_: Any) -> None:
    """Nothing is left outside; that there is this handler is what the finalizer is for."""


def registry() -> kopf.OperatorRegistry:
    """Both handlers."""
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(kopf.login_with_kubeconfig)
    kopf.on.create(GROUP, VERSION, PLURAL, registry=found)(created)
    kopf.on.delete(GROUP, VERSION, PLURAL, registry=found)(deleted)
    return found


async def main(namespace: str) -> None:
    """Until SIGTERM."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    watches = asyncio.Event()
    running = kopf.operator(registry=registry(), namespaces=[namespace], standalone=True, ready_flag=watches)
    operator = asyncio.create_task(running)
    await watches.wait()
    sys.stdout.write(WATCHES + "\n")
    sys.stdout.flush()
    await operator


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
