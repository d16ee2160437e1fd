"""Drain at a real API server: the Lease and the peering as a running replica meets them, whatever becomes of drain."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.definitions import FINALIZER
from devops_reconciler.api.errors import ValidationError
from devops_reconciler.cli.drain import _drain
from devops_reconciler.host.drain import HOLD, acting_alone, release_all
from devops_reconciler.host.lease_record import micro_time
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_variables import OperatorVariables
from devops_reconciler.services.kubernetes import LEASE, PEERING, REGISTRY_SETTINGS, Kubernetes
from testbed.kubernetes import ControlPlane

from .test_lease import DURATION, NAME, client, replica

__all__ = ["client"]

WITHIN = timedelta(seconds=60)
ME = "drain"


@pytest.fixture
async def settings(client: Kubernetes, namespace: str) -> OperatorVariables:
    """Of an operator in this namespace, whose peering is there."""
    found = OperatorVariables(reconciler_namespaces=(namespace,), lease_duration=DURATION)
    await client.create(PEERING, namespace, {"metadata": {"name": found.reconciler_peering_name}})
    return found


async def peers(client: Kubernetes, settings: OperatorVariables) -> dict[str, Any]:
    peering = await client.get(PEERING, settings.reconciler_namespaces[0], settings.reconciler_peering_name)
    assert peering is not None
    return dict(peering.get("status") or {})


async def test_the_older_replica_steps_back_and_stays_so_and_a_newer_one_takes_over(
    control_plane: ControlPlane, client: Kubernetes, namespace: str, settings: OperatorVariables
) -> None:
    clock, said = SystemClock(), []
    metadata = {"name": "shop", "finalizers": [FINALIZER, "example.com/theirs"]}
    spec = {"namespace": "acme", "repository": "shop"}
    await client.create(REGISTRY_SETTINGS, namespace, {"metadata": metadata, "spec": spec})
    async with replica(control_plane, namespace, "old", 1) as old:
        await old.acts()
        async with acting_alone(client, settings, clock, ME, WITHIN) as alone:
            assert not old.lease.acts
            assert await release_all(alone, [namespace], clock, said.append) == 1
        found = await client.get(REGISTRY_SETTINGS, namespace, "shop")
        assert found is not None
        assert found["metadata"]["finalizers"] == ["example.com/theirs"]
        assert said == [f"RegistrySettings {namespace}/shop: released; nothing of it is outside"]
        assert (await peers(client, settings))["drain"]["lifetime"] == int(HOLD.total_seconds())
        async with replica(control_plane, namespace, "new", 20) as new:
            await new.acts()
            assert old.terms == 1
    await client.json_patch(REGISTRY_SETTINGS, namespace, "shop", [{"op": "remove", "path": "/metadata/finalizers"}])


class Desk(SystemClock):
    """The clock of a workstation."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


@pytest.mark.parametrize("minutes", [5, -5])
async def test_whatever_the_workstations_clock_says_the_operator_that_comes_next_acts(
    control_plane: ControlPlane, client: Kubernetes, namespace: str, settings: OperatorVariables, minutes: int
) -> None:
    began = int(SystemClock().now().timestamp() * 1_000_000)
    async with replica(control_plane, namespace, "old", began) as old:
        await old.acts()
        async with acting_alone(client, settings, Desk(timedelta(minutes=minutes)), ME, WITHIN):
            assert not old.lease.acts
        async with replica(control_plane, namespace, "new", began + 10_000_000) as new:
            await new.acts()
            assert old.terms == 1


async def test_after_an_error_the_older_replica_goes_on(
    control_plane: ControlPlane, client: Kubernetes, namespace: str, settings: OperatorVariables
) -> None:
    async with replica(control_plane, namespace, "old", 1) as old:
        await old.acts()
        with pytest.raises(RuntimeError):
            await _breaks_off(client, settings)
        await old.acts()
        assert "drain" not in await peers(client, settings)


async def _breaks_off(client: Kubernetes, settings: OperatorVariables) -> None:
    async with acting_alone(client, settings, SystemClock(), ME, WITHIN):
        assert "drain" in await peers(client, settings)
        raise RuntimeError("anything")


async def test_without_any_operator_the_lease_is_free_at_once(
    client: Kubernetes, namespace: str, settings: OperatorVariables
) -> None:
    async with acting_alone(client, settings, SystemClock(), ME, WITHIN):
        lease = await client.get(LEASE, namespace, NAME)
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == "drain"
    lease = await client.get(LEASE, namespace, NAME)
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")
    assert lease["spec"]["leaseDurationSeconds"] == int(HOLD.total_seconds())


@pytest.mark.parametrize("delete", [False, True])
async def test_an_operator_that_runs_in_another_namespace_is_not_taken_for_absent(
    control_plane: ControlPlane, client: Kubernetes, namespace: str, settings: OperatorVariables, delete: bool
) -> None:
    said: list[str] = []
    metadata = {"name": "shop", "finalizers": [FINALIZER]}
    spec = {"namespace": "acme", "repository": "shop"}
    await client.create(REGISTRY_SETTINGS, namespace, {"metadata": metadata, "spec": spec})
    alive = {"priority": 1, "lifetime": 60, "lastseen": micro_time(SystemClock().now())}
    await client.merge_patch(PEERING, namespace, settings.reconciler_peering_name, {"status": {"one": alive}})
    here = settings.model_copy(update={"kubeconfig": str(control_plane.kubeconfig())})

    with pytest.raises(ValidationError, match=f"the Lease {namespace}/{NAME} is not there, .*: one. Set OPERATOR_NAM"):
        await _drain(here, said.append, delete=delete, yes=True, within=WITHIN)

    assert said == []
    found = await client.get(REGISTRY_SETTINGS, namespace, "shop")
    assert found is not None
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert await client.get(LEASE, namespace, NAME) is None
    await client.json_patch(REGISTRY_SETTINGS, namespace, "shop", [{"op": "remove", "path": "/metadata/finalizers"}])
