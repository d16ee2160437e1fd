"""What the subjects of the bench make of their measurements."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.bench.broken import broken
from tests.bench.children import turned
from tests.bench.children_table import Measured
from tests.bench.children_table import findings_of as of_children
from tests.bench.contenders import NOOP, OURS, PEER
from tests.bench.figures import Spread
from tests.bench.idle_table import AtRest
from tests.bench.idle_table import findings_of as of_idle
from tests.bench.latency import findings_of as of_latency
from tests.bench.metronome import latencies
from tests.bench.mix import MIX, children
from tests.bench.noisy import ALONE, BESIDE, MEANWHILE, is_broken, rights_in
from tests.bench.noisy import findings_of as of_noisy
from tests.bench.storm import Storm


def storm(rate: float, objects: int = 100) -> Storm:
    return Storm(
        objects,
        4 * objects / rate,
        3 * objects,
        objects,
        0,
        4 * objects / rate,
        1.0,
        2.0,
        0.5,
        {"get x": objects, "patch x": 1},
    )


def test_latency_counts_from_when_a_message_was_due() -> None:
    assert latencies({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.5, "c": 9.0, "other": 1.0}) == [0.5, None, 6.0]


def test_the_tail_of_the_storm_is_compared_with_that_at_rest() -> None:
    found = of_latency({"at rest": Spread.of([10.0, 20.0]), "in a storm": Spread.of([15.0, 210.0])})
    assert (found.goals[0].value, found.goals[0].reached) == (10.5, False)
    assert found.tables[0].rows[1] == ["in a storm", "2", "15 ms", "210 ms", "210 ms"]


def test_the_tail_of_the_quiet_tenant_may_grow_by_less_than_a_fifth() -> None:
    alone, meanwhile, beside = (Spread.of(each) for each in ([10.0, 20.0], [10.0, 300.0], [15.0, 25.0]))
    found = of_noisy({ALONE: alone, MEANWHILE: meanwhile, BESIDE: beside}, broken=200)
    assert (found.goals[0].value, found.goals[0].limit, found.goals[0].reached) == (25, 20, False)
    assert found.tables[0].rows[1:] == [
        ["while they are made", "2", "10 ms", "300 ms", "300 ms"],
        ["beside them", "2", "15 ms", "25 ms", "25 ms"],
    ]
    assert "200 children" in found.tables[0].text


def test_broken_children_have_names_of_their_own_and_none_may_become_ready() -> None:
    made = list(broken("noisy", 8))
    assert len({body["metadata"]["name"] for _, body in made}) == 8
    assert len({path for path, _ in made}) == 4
    for _, body in made:
        assert not is_broken(body), "nobody has looked at it"
        body["status"] = {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Stalled", "status": "True"}]}
        assert is_broken(body)
    ready = made[0][1] | {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    with pytest.raises(RuntimeError, match="broken-00000 was to be broken"):
        is_broken(ready)


def test_the_operator_may_in_another_namespace_what_it_may_at_home() -> None:
    found = rights_in("other", "home")
    assert {each["metadata"]["namespace"] for each in found} == {"other"}
    assert {each["kind"] for each in found} == {"Role", "RoleBinding"}
    accounts = {who["namespace"] for each in found if each["kind"] == "RoleBinding" for who in each["subjects"]}
    assert accounts == {"home"}


def test_writes_a_second_are_compared_round_by_round() -> None:
    measured = Measured(100, raw=[400.0, 400.0, 400.0])
    for ours, noop in ((80, 100), (30, 60), (90, 100)):
        measured.add("ours", storm(ours))
        measured.add("noop", storm(noop))
    found = of_children([measured], ours="ours", like="noop")
    assert measured.ratio("ours", "noop").values == pytest.approx((50, 80, 90))
    assert (found.goals[0].value, found.goals[0].reached) == (80, True)
    ours = next(row for row in found.tables[0].rows if row[0] == "ours")
    assert ours[1:6] == ["3.00", "4.00", "1.00", "80 (30 to 90)", "20 %"]


def test_the_largest_storm_is_what_the_goal_is_about() -> None:
    small, large = Measured(100, raw=[1.0]), Measured(1000, raw=[1.0])
    for measured, ours in ((small, 90.0), (large, 10.0)):
        measured.add("ours", storm(ours, measured.size))
        measured.add("noop", storm(100.0, measured.size))
    assert of_children([small, large], ours="ours", like="noop").goals[0].value == 10


def test_in_each_round_another_one_is_the_first() -> None:
    orders = [turned([OURS, NOOP, PEER], number) for number in range(4)]
    assert orders == [[OURS, NOOP, PEER], [NOOP, PEER, OURS], [PEER, OURS, NOOP], [OURS, NOOP, PEER]]


def test_what_the_operator_needs_for_itself_is_no_cost_of_an_object() -> None:
    ours = [
        AtRest(100, 90_000, Counter(Kubernetes=250, Jenkins=40), looks=200),
        AtRest(600, 100_000, Counter(Kubernetes=1250), looks=1200),
    ]
    noop = [AtRest(100, 50_000), AtRest(600, 55_000)]
    found = of_idle(ours, noop, looks_per_hour=12)
    assert [goal.value for goal in found.goals] == [12.0, 10.0]
    assert json.loads(json.dumps(found.json()))["ours"][1]["requests"] == {"Kubernetes": 1250}
    assert found.tables[0].rows[:2] == [
        ["looks of the operator", "200", "1200", "12.00"],
        ["Kubernetes", "250", "1250", "12.00"],
    ]


def test_children_are_of_all_kinds_in_turn_and_have_names_of_their_own() -> None:
    made = list(children("team", "storm", {"url": "http://git/x.git", "branch": "main"}, 8))
    assert [path.rpartition("/")[2] for path, _ in made] == [*MIX, *MIX]
    assert len({body["metadata"]["name"] for _, body in made}) == 8
    assert {body["metadata"]["namespace"] for _, body in made} == {"team"}
