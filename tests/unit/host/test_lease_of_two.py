"""Two releases in one namespace have one Lease: who stands by while the other's namespaces are served says so."""

from __future__ import annotations

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.lease import APART
from devops_reconciler.host.lease_record import WATCHES
from devops_reconciler.services.kubernetes import LEASE
from tests.unit.messages.broker import turns

from .replicas import SYSTEM, Place

NAME = "devops-reconciler"
LONG = APART.total_seconds() + 5


async def test_a_standby_of_one_that_watches_other_namespaces_is_not_well_and_names_both(place: Place) -> None:
    ours = await place.replica("a-1", watches="ci,qa")
    theirs = await place.replica("b-1", watches="ops")
    await place.passes(10)
    assert (ours.acts, theirs.acts) == (False, True)
    assert await ours.lease.check() == "standby; b-1 acts"
    await place.passes(LONG)
    with pytest.raises(ExternalServiceError) as told:
        await ours.lease.check()
    assert "b-1 holds it, which watches ops; this replica watches ci,qa" in told.value.message
    assert await theirs.lease.check() == "b-1 acts"


async def test_in_a_rollout_of_other_namespaces_all_are_well(place: Place) -> None:
    old = await place.replica("old", watches="ci")
    await place.passes(LONG)
    new = await place.replica("new", watches="ci,qa")
    await place.passes(APART.total_seconds() - 10)
    assert (await old.lease.check(), await new.lease.check()) == ("standby; new acts", "new acts")
    newer = await place.replica("newer", watches="qa")
    await place.passes(60)
    assert await old.lease.check() == "standby; newer acts", "another holder has its own time"
    await newer.kill()


async def test_one_that_takes_over_from_the_other_release_is_well(place: Place) -> None:
    ours = await place.replica("ours", watches="ci")
    theirs = await place.replica("theirs", watches="qa")
    await place.passes(LONG)
    await theirs.kill()
    await place.passes(20, stopped=(theirs,))
    assert await ours.lease.check() == "ours acts"


@pytest.mark.parametrize(("standby", "holder"), [("ci,qa", "ci,qa"), ("ci", ""), ("", "ci")])
async def test_the_same_namespaces_and_what_is_not_said_are_no_trouble(standby: str, holder: str, place: Place) -> None:
    old = await place.replica("old", watches=standby)
    await place.replica("new", watches=holder)
    await place.passes(LONG)
    assert await old.lease.check() == "standby; new acts"


async def test_who_says_nothing_leaves_nothing_of_the_holder_before(place: Place) -> None:
    said = []
    for name, watches in (("one", "ci"), ("drain", "")):
        await place.replica(name, watches=watches)
        await place.passes(10)
        await turns()
        found = place.cluster.see(LEASE, SYSTEM, NAME)
        assert found is not None
        said.append(found["metadata"]["annotations"].get(WATCHES))
    assert said == ["ci", None]
