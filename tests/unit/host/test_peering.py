"""Our place among Kopf's peers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, Waiting
from devops_reconciler.host.bindings import operator_settings
from devops_reconciler.host.lease_record import Candidate
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.operator import KopfHost, ensure_peering
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import PEERING
from devops_reconciler.services.kubernetes_access import ClusterAccess
from tests.unit.world import TEAM, Outside, outside, settings

from .test_loop import Outbox

NAME = "freeleaps-devops-reconciler"
ME = Candidate("me", 1_790_000_000_000_000)


def host(out: Outside) -> KopfHost:
    loop = Loop(out.world, Outbox(), Metrics())
    return KopfHost(loop, out.world, cast(Any, out.kubernetes), ClusterAccess("https://api"), ME)


async def test_there_is_a_peering_in_each_namespace_and_what_is_there_stays() -> None:
    out = outside(reconciler_namespaces=(TEAM, "team-b"))
    out.namespace("team-b")
    await ensure_peering(cast(Any, out.kubernetes), out.world.settings)
    await ensure_peering(cast(Any, out.kubernetes), out.world.settings)
    assert [write for write in out.kubernetes.writes if write[1] == PEERING.kind] == [
        ("create", PEERING.kind, NAME)
    ] * 2


async def test_a_namespace_that_refuses_us_or_is_not_there_keeps_no_other_one_from_its_peering() -> None:
    out = outside(reconciler_namespaces=("shut", "missing", TEAM))
    out.kubernetes.shut.add("shut")
    await ensure_peering(cast(Any, out.kubernetes), out.world.settings)
    assert out.kubernetes.see(PEERING, TEAM, NAME) is not None


async def test_without_the_permission_for_it_there_is_no_start() -> None:
    out = outside()
    out.line.fail("kubernetes.create KopfPeering", CredentialsError("kopfpeerings is forbidden"))
    with pytest.raises(CredentialsError):
        await ensure_peering(cast(Any, out.kubernetes), out.world.settings)


@pytest.mark.parametrize(
    "error",
    [
        Waiting("team-b is being terminated", after=timedelta(seconds=5)),
        ExternalServiceError("failed calling webhook", service="kubernetes"),
    ],
)
async def test_a_namespace_that_goes_or_whose_webhook_is_ill_does_without_and_the_next_one_has_its_own(
    error: Exception,
) -> None:
    out = outside(reconciler_namespaces=("team-b", TEAM))
    out.namespace("team-b")
    out.line.fail("kubernetes.create KopfPeering", error)
    await ensure_peering(cast(Any, out.kubernetes), out.world.settings)
    assert out.kubernetes.see(PEERING, "team-b", NAME) is None
    assert out.kubernetes.see(PEERING, TEAM, NAME) is not None


async def test_a_peer_of_the_lease_lives_as_long_as_the_lease() -> None:
    found = operator_settings(settings(lease_duration=timedelta(seconds=14.5)))
    assert found.peering.lifetime == 15
    assert not found.peering.mandatory, "a namespace without its peering would pause Kopf in all others"


async def test_of_many_objects_few_are_in_memory_at_a_start() -> None:
    found = operator_settings(settings())
    assert found.watching.chunk_size == 100
    assert found.queueing.idle_timeout == 1


async def test_it_is_not_ready_before_it_watches() -> None:
    with pytest.raises(RuntimeError, match="does not watch yet"):
        await host(outside()).check()
