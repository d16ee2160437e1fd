"""Kopf: which events wake which object. The handlers decide nothing; the loop works from the status."""

from __future__ import annotations

import base64
import math
from typing import Any

import kopf

from ..api.definitions import FINALIZER, GROUP, VERSION
from ..kinds import KINDS
from ..runtime.settings import Settings
from ..services.kubernetes_access import ClusterAccess
from .diffbase import ObservedGeneration
from .loop import Loop

ANNOTATIONS = "kopf.freeleaps.com"
CHUNK = 100
"""Objects in each answer to a list of Kopf's: by default one answer has all, some 100 KB for each record."""
IDLE_TIMEOUT = 1.0
"""Seconds for which Kopf keeps an object after it has told of it. By default so long that a start holds nearly all."""
EXIT_TIMEOUT = 2.0
"""Seconds for handlers to end: they have nothing to end but their waiting, the work is in our loop."""


def registry_of(loop: Loop, access: ClusterAccess) -> kopf.OperatorRegistry:
    """All handlers, for one loop.

    No timers and daemons: for each object Kopf would keep a task, and the whole object for it. The loop comes back by
    itself.
    """
    registry = kopf.OperatorRegistry()

    async def woken(body: kopf.Body, **_: Any) -> None:
        loop.noticed(_plain(body), deleted=False)

    async def changed(event: Any, **_: Any) -> None:
        loop.noticed(dict(event["object"]), deleted=event["type"] == "DELETED")

    async def deleted(body: kopf.Body, **_: Any) -> None:
        await loop.wait_released(_plain(body))

    async def login(**_: Any) -> kopf.ConnectionInfo:
        return connection_of(access)

    kopf.on.login(registry=registry)(login)
    for what in KINDS.values():
        resource = (GROUP, VERSION, what.kind.plural)
        kopf.on.create(*resource, registry=registry, id="created")(woken)
        kopf.on.update(*resource, registry=registry, id="updated")(woken)
        kopf.on.resume(*resource, registry=registry, id="resumed")(woken)
        kopf.on.delete(*resource, registry=registry, id="deleted")(deleted)
        kopf.on.event(*resource, registry=registry, id="changed")(changed)
    return registry


def _plain(body: kopf.Body) -> dict[str, Any]:
    return {"kind": body["kind"], "metadata": dict(body.metadata), "spec": dict(body.spec), "status": dict(body.status)}


def connection_of(access: ClusterAccess) -> kopf.ConnectionInfo:
    """The same cluster and identity that our own client uses."""
    token = access.token
    if token is None and access.token_file is not None:
        with open(access.token_file, encoding="utf-8") as file:
            token = file.read().strip()
    return kopf.ConnectionInfo(
        server=access.server,
        ca_data=_base64(access.ca_data),
        ca_path=access.ca_file if access.ca_data is None else None,
        insecure=access.insecure,
        token=token,
        certificate_data=_base64(access.client_cert_data),
        certificate_path=access.client_cert_file if access.client_cert_data is None else None,
        private_key_data=_base64(access.client_key_data),
        private_key_path=access.client_key_file if access.client_key_data is None else None,
    )


def _base64(data: bytes | None) -> bytes | None:
    """Kopf expects PEM data as it stands in a kubeconfig."""
    return None if data is None else base64.b64encode(data)


def operator_settings(settings: Settings, priority: int) -> kopf.OperatorSettings:
    """How Kopf runs; each value has its story in Kopf's issues (docs/architecture.md)."""
    found = kopf.OperatorSettings()
    found.persistence.finalizer = FINALIZER
    found.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=ANNOTATIONS)
    found.persistence.diffbase_storage = ObservedGeneration()
    found.posting.enabled = False
    found.peering.name = settings.reconciler_peering_name
    found.peering.priority = priority
    # As the Lease: a holder must not be paused for longer than it takes to become one.
    found.peering.lifetime = max(1, math.ceil(settings.lease_duration.total_seconds()))
    found.peering.mandatory = True
    found.watching.chunk_size = CHUNK
    found.watching.connect_timeout = 10
    found.networking.connect_timeout = 10
    found.networking.request_timeout = 30
    found.networking.enforce_retry_after = True
    found.networking.error_backoffs = (0.2, 0.5, 1, 2, 3, 5, 5, 5)
    found.queueing.exit_timeout = EXIT_TIMEOUT
    found.queueing.idle_timeout = IDLE_TIMEOUT
    found.process.ultimate_exiting_timeout = settings.reconciler_shutdown_timeout.total_seconds() + 4
    found.scanning.disabled = True
    return found
