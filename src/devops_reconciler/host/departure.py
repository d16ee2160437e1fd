"""Deleting all our objects through the operator, in the right order, with all that they have outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..api.errors import ExternalServiceError
from ..runtime.clock import Clock
from ..runtime.settings_variables import OperatorVariables
from ..services.kubernetes import (
    ARGO_SETTINGS,
    DEPLOYMENT_RECORD,
    DEVOPS_PROJECT,
    INGRESS_RESOURCE,
    JENKINS_SETTINGS,
    LEASE,
    REGISTRY_SETTINGS,
    Kubernetes,
)
from ..services.kubernetes_kinds import Kind
from .drain import Held, Say, held_objects
from .lease import NAME
from .lease_record import record_of

ORDER: tuple[Kind, ...] = (
    DEVOPS_PROJECT,
    DEPLOYMENT_RECORD,
    INGRESS_RESOURCE,
    ARGO_SETTINGS,
    JENKINS_SETTINGS,
    REGISTRY_SETTINGS,
)
"""Projects first: each takes its deployments and children along in its own order. Then what stands alone."""
LOOK_EVERY = timedelta(seconds=1)


async def require_operator(kubernetes: Kubernetes, settings: OperatorVariables, clock: Clock) -> None:
    """Raises ExternalServiceError where no replica shows that it acts, for the duration of a Lease."""
    first = None
    since = clock.monotonic()
    while clock.monotonic() - since <= settings.lease_duration.total_seconds() * 2:
        obj = await kubernetes.get(LEASE, settings.operator_namespace, NAME)
        record = record_of(obj, settings.lease_duration) if obj is not None else None
        if record is not None and record.holder:
            if first is not None and record.pulse != first:
                return
            first = first or record.pulse
        await clock.sleep(settings.lease_renew_interval / 2)
    raise ExternalServiceError(
        f"no operator acts: nobody renews the Lease {settings.operator_namespace}/{NAME}, and it is the operator that "
        "deletes; start it, or drain without --delete. If it runs in another namespace, set OPERATOR_NAMESPACE to that",
        service="kubernetes",
    )


async def delete_all(
    kubernetes: Kubernetes, namespaces: Sequence[str], clock: Clock, within: timedelta, say: Say
) -> list[Held]:
    """Delete kind by kind and wait; gives what is left after this time. What was deleted before is only waited for."""
    deadline = clock.monotonic() + within.total_seconds()
    told: dict[str, str] = {}
    for kind in ORDER:
        while left := await held_objects(kubernetes, namespaces, (kind,)):
            for held in left:
                metadata = held.obj["metadata"]
                if not metadata.get("deletionTimestamp"):
                    await kubernetes.delete(kind, metadata["namespace"], metadata["name"], uid=metadata["uid"])
                    say(f"{held.who}: deletion asked for")
                elif held.said and told.get(held.who) != held.said:
                    told[held.who] = held.said
                    say(f"{held.who}: {held.said}")
            if clock.monotonic() >= deadline:
                return await held_objects(kubernetes, namespaces)
            await clock.sleep(LOOK_EVERY)
    return await held_objects(kubernetes, namespaces)
