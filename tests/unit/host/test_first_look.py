"""Where a replica begins: work in flight first, the rest spread out."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.first_look import FIRST_LOOK, STEP, has_work, is_over, spread
from devops_reconciler.host.loop import Loop
from devops_reconciler.host.queue import Key
from devops_reconciler.kinds import KINDS
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, REGISTRY_SETTINGS, Object
from tests.unit.world import TEAM, outside

from .test_loop import Outbox

READY = [{"type": "Ready", "status": "True"}]
FINISHED = [{"type": "Finished", "status": "True"}, {"type": "Ready", "status": "False"}]
NOW = outside().clock.now()


def obj(kind: str, conditions: list[dict[str, str]], *, seen: int = 1, **status: Any) -> Object:
    metadata: Object = {"name": "shop", "namespace": TEAM, "generation": 1, "resourceVersion": "1"}
    return {
        "kind": kind,
        "metadata": metadata,
        "status": {"observedGeneration": seen, "conditions": conditions, **status},
    }


RECORD = DEPLOYMENT_RECORD.kind


@pytest.mark.parametrize(
    ("it", "work"),
    [
        (obj("RegistrySettings", READY), False),
        (obj("RegistrySettings", READY, seen=-1), True),
        (obj("RegistrySettings", [{"type": "Ready", "status": "Unknown"}]), True),
        (obj("RegistrySettings", []), True),
        (obj(RECORD, FINISHED), False),
        (obj(RECORD, READY), True),
        (obj(RECORD, FINISHED, heartbeat={"sequence": 9, "outbox": [{}]}), True),
        (obj(RECORD, FINISHED, heartbeat={"sequence": 9, "outbox": []}), False),
        (obj(RECORD, FINISHED, expiresAt="2025-12-31T23:59:59Z"), True),
        (obj(RECORD, FINISHED, expiresAt="2026-12-31T23:59:59Z"), False),
        (
            obj(RECORD, [*FINISHED, {"type": "CleanupVerified", "status": "True"}], expiresAt="2025-12-31T23:59:59Z"),
            False,
        ),
    ],
)
def test_what_is_under_way_or_due_has_work(it: Object, work: bool) -> None:
    assert has_work(it, NOW) is work


GONE = [*FINISHED, {"type": "CleanupVerified", "status": "True"}]
SUSPENDED = [*FINISHED, {"type": "Suspended", "status": "True", "observedGeneration": 1}]


@pytest.mark.parametrize(
    ("it", "over"),
    [
        (obj(RECORD, FINISHED), True),
        (obj(RECORD, GONE, expiresAt="2025-12-31T23:59:59Z"), True),
        (obj(RECORD, FINISHED, expiresAt="2026-12-31T23:59:59Z"), False),
        (obj(RECORD, FINISHED, seen=0), False),
        (obj(RECORD, FINISHED, heartbeat={"sequence": 9, "outbox": [{}]}), False),
        (obj(RECORD, READY), False),
        (obj(RECORD, SUSPENDED), False),
        (obj("RegistrySettings", [*READY, *FINISHED]), False),
    ],
)
def test_what_is_over_is_a_deployment_that_nothing_is_left_to_do_for(it: Object, over: bool) -> None:
    assert is_over(it) is over


@pytest.mark.parametrize(("state", "over"), [("retired", False), ("cleanup_failed", False), ("active", True)])
def test_a_deployment_that_has_replaced_something_is_not_over_before_that_is_removed(state: str, over: bool) -> None:
    entry = {"step": "secret-pull", "kind": "SecretCopy", "key": "shop/pull", "state": state, "shared": True}
    assert is_over(obj(RECORD, FINISHED, applied=[entry])) is over


def test_a_pause_that_is_not_told_yet_is_not_over() -> None:
    it = obj(RECORD, FINISHED)
    it["metadata"]["annotations"] = {"freeleaps.com/paused": "true"}
    assert not is_over(it)


@pytest.mark.parametrize("kind", ["RegistrySettings", RECORD])
def test_a_deletion_is_work(kind: str) -> None:
    it = obj(kind, [*READY, *FINISHED])
    it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert has_work(it, NOW)


def _paused(*, seen: int = 2, deleted: bool = False, pause: str = "", **spec: Any) -> Object:
    """Of generation 2, of which only the pause was taken note of."""
    said = {"type": "Suspended", "status": "True", "observedGeneration": seen}
    it = obj("RegistrySettings", [{"type": "Ready", "status": "Unknown"}, said]) | {"spec": spec}
    it["metadata"] |= {"generation": 2, "annotations": {"freeleaps.com/paused": pause} if pause else {}}
    if deleted:
        it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return it


@pytest.mark.parametrize(
    ("it", "work"),
    [
        (_paused(suspend=True), False),
        (_paused(managementPolicies=[]), False),
        (_paused(pause="true"), False),
        (_paused(pause="all", deleted=True), False),
        (_paused(suspend=True, seen=1), True),
        (_paused(), True),
        (_paused(pause="true", deleted=True), True),
        (_paused(suspend=True, deleted=True), True),
    ],
    ids=["spec", "policies", "annotation", "deletion", "pause not seen", "resumed", "deleted", "deleted in a pause"],
)
def test_what_is_paused_and_says_so_has_no_work(it: Object, work: bool) -> None:
    assert has_work(it, NOW) is work


def test_deployments_are_looked_at_before_all_else() -> None:
    assert FIRST_LOOK[0] == DEPLOYMENT_RECORD
    assert {kind.kind for kind in FIRST_LOOK} == set(KINDS)


@pytest.mark.parametrize("count", [1, 20, 1000, 5000])
def test_the_rest_is_spread_evenly_and_not_in_step(count: int) -> None:
    keys = [Key("RegistrySettings", TEAM, f"shop-{number}") for number in range(count)]
    over = timedelta(seconds=60)
    planned = list(spread(keys, over))
    assert Counter(key for key, _ in planned) == Counter(keys)
    waits = [after for _, after in planned]
    assert timedelta(0) < waits[0] <= STEP
    assert waits[-1] <= over
    per_second = Counter(int(after.total_seconds()) for after in waits)
    assert max(per_second.values()) <= max(20, count / 60) + 2
    if count >= 20:
        assert [key for key, _ in planned] != keys


def test_without_a_spread_all_come_at_once() -> None:
    keys = [Key("RegistrySettings", TEAM, f"shop-{number}") for number in range(3)]
    assert [after for _, after in spread(keys, timedelta(0))] == [timedelta(0)] * 3


class Beginning:
    """A loop that begins to act over objects in memory; its passes are noted instead of run."""

    def __init__(self) -> None:
        self.out = outside(start_spread=timedelta(hours=1))
        self.loop = Loop(self.out.world, Outbox(), Metrics())

    def put(self, name: str, *, ready: bool) -> Key:
        status = {"observedGeneration": 1 if ready else -1, "conditions": READY}
        metadata = {"name": name, "finalizers": ["freeleaps.com/finalizer"]}
        self.out.kubernetes.put(REGISTRY_SETTINGS, TEAM, {"metadata": metadata, "spec": {}, "status": status})
        return Key("RegistrySettings", TEAM, name)

    def put_record(self, name: str, **status: Any) -> Key:
        record = obj(RECORD, status.pop("conditions", FINISHED), **status)
        record["metadata"] = {"name": name, "finalizers": ["freeleaps.com/finalizer"]}
        self.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, {**record, "spec": {"projectRef": {"name": "shop"}}})
        return Key(RECORD, TEAM, name)

    def see(self, key: Key) -> Object:
        found = self.out.kubernetes.see(REGISTRY_SETTINGS, TEAM, key.name)
        assert found is not None
        return found

    @property
    def at_once(self) -> set[Key]:
        return set(self.loop.queue._running)

    @property
    def later(self) -> set[Key]:
        return set(self.loop.queue._timers)


@pytest.fixture
async def begin() -> Any:
    made = Beginning()
    yield made
    for task in made.loop.queue._running.values():
        task.cancel()
    await asyncio.gather(*made.loop.queue._running.values(), return_exceptions=True)
    await made.loop.queue.close(timedelta(0))


async def test_what_has_work_is_looked_at_at_once_and_the_rest_later(begin: Beginning) -> None:
    new, done = begin.put("new", ready=False), begin.put("done", ready=True)
    await begin.loop.take_over()
    assert (begin.at_once, begin.later) == ({new}, {done})


async def test_what_a_message_makes_while_a_term_begins_is_looked_at_at_once(begin: Beginning) -> None:
    """The list was begun before it, and Kopf's own list may take long to come to it."""
    kubernetes, listed = begin.out.kubernetes, begin.out.kubernetes.kept

    async def listed_before(kind: Any, namespace: Any, keep: Any) -> Any:
        found = await listed(kind, namespace, keep)
        if kind is DEPLOYMENT_RECORD:
            begin.put_record("made", conditions=[])
            begin.loop.made({"kind": RECORD, **(kubernetes.see(DEPLOYMENT_RECORD, TEAM, "made") or {})})
        return found

    kubernetes.kept = listed_before  # type: ignore[method-assign]
    await begin.loop.take_over()
    assert begin.at_once == {Key(RECORD, TEAM, "made")}
    await begin.loop.stand_down(timedelta(0))
    begin.loop.made({"kind": RECORD, **(kubernetes.see(DEPLOYMENT_RECORD, TEAM, "made") or {})})
    assert begin.loop.queue.open() == set(), "who does not act keeps none of them"


async def test_a_deployment_that_is_over_is_not_looked_at_and_a_preview_is(begin: Beginning) -> None:
    begin.put_record("over")
    preview = begin.put_record("preview", expiresAt="2099-12-31T23:59:59Z")
    await begin.loop.take_over()
    assert (begin.at_once, begin.later) == (set(), {preview})


async def test_an_annotation_that_is_no_time_holds_up_nobody(begin: Beginning) -> None:
    ended = [{"type": "Finished", "status": "True", "reason": "Succeeded"}]
    begin.put_record("odd", conditions=ended, finishedAt="2026-01-01T00:01:00Z")
    odd = {"metadata": {"annotations": {"freeleaps.com/event-timestamp": "yesterday"}}}
    begin.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "odd", odd)
    new = begin.put("new", ready=False)
    await begin.loop.take_over()
    assert (begin.at_once, begin.loop.queue.is_open) == ({new}, True)


NONSENSE = [{"expiresAt": "soon"}, {"expiresAt": "2099-12-31T23:59:59"}, {"finishedAt": 7}, {"conditions": [{}]}]


@pytest.mark.parametrize("status", NONSENSE)
async def test_a_status_that_cannot_be_read_holds_up_nobody_and_has_a_pass_that_tells(
    begin: Beginning, status: dict[str, Any]
) -> None:
    odd = begin.put_record("odd", **status)
    done = begin.put("done", ready=True)
    await begin.loop.take_over()
    assert (begin.at_once, begin.later) == ({odd}, {done})
    found = begin.loop._metrics.exposition().decode()
    assert 'devops_reconciler_internal_errors_total{where="loop"} 1.0' in found
    assert begin.loop.expire_due() == 0, "the TTL monitor goes on, too"


@pytest.mark.parametrize("status", NONSENSE)
async def test_a_status_that_cannot_be_read_is_looked_at_when_the_watch_tells_of_it(
    begin: Beginning, status: dict[str, Any]
) -> None:
    begin.loop.queue.open()
    odd = begin.put_record("odd", **status)
    told = begin.out.kubernetes.see(DEPLOYMENT_RECORD, TEAM, "odd")
    assert told is not None
    begin.loop.noticed(told, deleted=False)
    assert begin.at_once == {odd}


async def test_the_watch_wakes_nothing_before_we_act_and_nothing_twice_after(begin: Beginning) -> None:
    done = begin.put("done", ready=True)
    begin.loop.noticed(begin.see(done), deleted=False)
    assert begin.loop.queue.planned == 0
    await begin.loop.take_over()
    begin.loop.noticed(begin.see(done), deleted=False)
    assert (begin.at_once, begin.later) == (set(), {done})


async def test_a_change_during_the_listing_is_looked_at_at_once(begin: Beginning) -> None:
    done = begin.put("done", ready=True)

    def somebody_changes(operation: str) -> None:
        if operation == f"kubernetes.list {FIRST_LOOK[-1].kind}":
            begin.out.line.before = None
            changed = begin.out.kubernetes.change(REGISTRY_SETTINGS, TEAM, "done", {"spec": {"private": False}})
            begin.loop.noticed(changed, deleted=False)

    begin.out.line.before = somebody_changes
    await begin.loop.take_over()
    assert begin.at_once == {done}


async def test_an_object_that_comes_to_be_after_its_listing_is_looked_at_at_once(begin: Beginning) -> None:
    last = FIRST_LOOK[-1].kind

    def somebody_creates(operation: str) -> None:
        if operation == f"kubernetes.list {last}":
            begin.out.line.before = None
            new = {"kind": "DeploymentRecord", "metadata": {"namespace": TEAM, "name": "new", "uid": "u-9"}}
            new["metadata"]["resourceVersion"] = "9"  # type: ignore[index]
            new["metadata"]["finalizers"] = ["freeleaps.com/finalizer"]  # type: ignore[index]
            begin.loop.noticed(new, deleted=False)

    begin.out.line.before = somebody_creates
    await begin.loop.take_over()
    assert begin.at_once == {Key("DeploymentRecord", TEAM, "new")}


async def test_what_is_gone_without_a_word_is_found_out_and_waits_no_more(begin: Beginning) -> None:
    """Kopf tells of no deletion that happened while it was paused."""
    record = obj(RECORD, [], seen=-1)
    record["metadata"] = {"name": "gone", "finalizers": ["freeleaps.com/finalizer"]}
    told = begin.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, {**record, "spec": {"projectRef": {"name": "shop"}}})
    begin.loop.noticed(told, deleted=False)
    begin.loop.queue.open()
    await begin.loop.stand_down(timedelta(0))
    begin.out.kubernetes.remove(DEPLOYMENT_RECORD, TEAM, "gone")
    await begin.loop.take_over()
    gone = Key(RECORD, TEAM, "gone")
    assert (begin.at_once, begin.later) == (set(), {gone})
    later = begin.out.clock.now() + timedelta(hours=1)
    assert begin.loop.index.oldest_wait(later) == 3600
    assert await begin.loop._run(gone) is None
    assert begin.loop.index.oldest_wait(later) == 0


async def test_without_a_listing_no_pass_begins(begin: Beginning) -> None:
    begin.put("new", ready=False)
    begin.out.line.fail("kubernetes.list*", ExternalServiceError("kubernetes: no answer", service="kubernetes"))
    with pytest.raises(ExternalServiceError):
        await begin.loop.take_over()
    assert begin.loop.queue.planned == 0


async def test_after_standing_down_nothing_is_planned_and_no_heartbeat_is_kept(begin: Beginning) -> None:
    begin.put("done", ready=True)
    await begin.loop.take_over()
    await begin.loop.stand_down(timedelta(seconds=5))
    assert begin.loop.queue.planned == 0
    begin.loop.queue.wake(Key("RegistrySettings", TEAM, "done"))
    assert begin.loop.queue.planned == 0
