"""The rules that hold whatever happens: an error is no absence, what is not ours is not touched, successors first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import combinations

import pytest

from devops_reconciler.api.policies import Adoption
from devops_reconciler.engine.ledger import EntryState

from .host import SLOWLY, Host, converge
from .life import LAG, NO_LAG, Life
from .line import run
from .things import Spec, policy
from .world import Lags

SERVICES = ("items", "apps", "builds", "registry", "zone", "git")
LAGS = pytest.mark.parametrize("lags", [NO_LAG, LAG], ids=["at once", "2 s late"])


def passes(host: Host, number: int) -> None:
    for _ in range(number):
        host.world.clock.advance(run(host.look()) or SLOWLY)


@pytest.mark.parametrize(
    "down", [set(c) for n in (1, 2, 6) for c in combinations(SERVICES, n)], ids=lambda down: "+".join(sorted(down))
)
def test_while_a_service_cannot_be_read_nothing_is_made_or_removed_there(down: set[str]) -> None:
    life = Life.begin()

    def blind(name: str, writes: bool) -> bool:
        return not writes and name.split()[0] in down

    def touched() -> list[str]:
        return [op.name for op in life.world.line.ops if op.writes and op.name.split()[0] in down]

    life.world.line.down = blind
    passes(life.host, 25)
    assert touched() == []
    life.world.line.down = lambda name, writes: False
    life.set_up()
    life.assert_set_up()
    before = touched()
    life.world.line.down = blind
    life.store.delete()
    passes(life.host, 25)
    assert touched() == before
    assert down == {"git"} or life.store.object is not None, "the finalizer stays until all is proven gone"
    life.world.line.down = lambda name, writes: False
    life.end()
    life.assert_gone()


@pytest.mark.parametrize("adoption", Adoption)
@pytest.mark.parametrize("owner", [None, "mark-other"])
@pytest.mark.parametrize("name", ["team", "team/git", "team/job", "shop"])
def test_what_is_not_ours_is_never_touched_unless_adoption_says_so(
    name: str, owner: str | None, adoption: Adoption
) -> None:
    life = Life.begin(spec=Spec(policy=policy(adoption=adoption)))
    shelf = life.world.apps if name == "shop" else life.world.items
    if "/" in name:
        life.world.items.place("team", "mark-u1")
    shelf.place(name, owner, content="theirs")
    before = shelf.things[name]
    may = adoption is Adoption.ALWAYS or (adoption is Adoption.IF_UNOWNED and owner is None)
    if may:
        life.world.items.may_adopt = life.world.apps.may_adopt = True
        life.set_up()
        life.assert_harmless()
        assert shelf.things[name].owner == "mark-u1"
    else:
        passes(life.host, 40)
        assert shelf.things[name] == before
        assert life.store.object is not None
        kinds = {condition.type: condition.status for condition in life.store.object.conditions}
        assert (kinds["Ready"], kinds["Stalled"], kinds["Conflict"]) == ("False", "True", "True")
        life.store.delete()
        converge(life.host)
        assert shelf.things.get(name) == (before if "/" not in name else None), "a folder takes its contents along"
    assert life.world.violations == []


@pytest.mark.parametrize("owner", [None, "owner=mark-other"])
def test_a_name_of_others_keeps_its_values(owner: str | None) -> None:
    life = Life.begin()
    life.world.zone.place("api", ("203.0.113.7", 60))
    if owner is not None:
        life.world.zone.place("api/mark", (owner, 60))
    before = {name: life.world.zone.past.now[name] for name in life.world.zone.past.now if name.startswith("api")}
    passes(life.host, 60)
    life.store.delete()
    converge(life.host)
    assert {name: v for name, v in life.world.zone.past.now.items() if name.startswith("api")} == before


@LAGS
def test_the_old_goes_only_after_its_successor_is_ready(lags: Lags) -> None:
    life = Life.begin(lags=lags)
    life.set_up()
    assert life.store.object is not None
    life.store.edit(replace(life.store.object.spec, alone="api2", app="store"))
    both = False
    for _ in range(200):
        if run(life.host.look()) is None:
            break
        life.world.clock.advance(SLOWLY / 60)
        zone, apps = life.world.zone.past.now, life.world.apps.things
        assert "api" in zone or ("api2" in zone and "api2/mark" in zone), "for a moment the name was nowhere"
        assert "shop" in apps or "image" in apps["store"].fields, "for a moment there was no app with our image"
        both = both or ("api" in zone and "api2" in zone)
    assert both
    life.assert_set_up()


def test_a_successor_that_never_gets_ready_keeps_the_old_alive() -> None:
    life = Life.begin()
    life.set_up()
    life.world.apps.place("store", "mark-other")
    assert life.store.object is not None
    life.store.edit(replace(life.store.object.spec, app="store"))
    passes(life.host, 30)
    assert life.world.apps.things["shop"].fields["image"] == "sha256:tag-u1"
    entries = life.store.object.ledger().entries
    assert EntryState.RETIRED in {entry.state for entry in entries if entry.key == "shop"}


def test_rest_costs_no_write_at_all() -> None:
    life = Life.begin()
    life.set_up()
    saves = life.store.saves
    writes = len([op for op in life.world.line.ops if op.writes])
    for _ in range(20):
        life.world.clock.advance(SLOWLY)
        assert run(Host(life.world, life.store).look()) is None
    assert (life.store.saves, len([op for op in life.world.line.ops if op.writes])) == (saves, writes)


def test_a_build_that_someone_removed_is_not_made_a_second_time() -> None:
    life = Life.begin()
    while not life.world.builds.all:
        passes(life.host, 1)
    passes(life.host, 3)
    life.world.builds.all[0].uid = "removed"
    passes(life.host, 60)
    assert len(life.world.builds.all) == 1
    assert life.store.object is not None
    kinds = {condition.type: condition for condition in life.store.object.conditions}
    assert kinds["Stalled"].reason == "CreateResultUnknown"


def test_a_build_that_shows_late_is_not_triggered_again() -> None:
    for seconds in range(0, 30, 3):
        life = Life.begin()
        life.world.builds.lag = timedelta(seconds=seconds)
        life.set_up()
        life.assert_set_up()
