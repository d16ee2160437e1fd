"""Who goes first, which previews count, and which old records go: tables of pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.api.deployment_record import LAST_HEALTHY, ConcurrencyPolicy
from devops_reconciler.kinds.crowd import Rival, Turn, previews_taken, rival, turn
from devops_reconciler.kinds.project_reconcile import surplus
from devops_reconciler.resources.marks import EVENT_TIMESTAMP

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICIES = {"q": ConcurrencyPolicy.QUEUE, "r": ConcurrencyPolicy.REPLACE, "f": ConcurrencyPolicy.FORBID}
GO = Turn(True)


def some(text: str, environment: str = "production") -> list[Rival]:
    """Rivals from words, oldest first: the policy's letter, then `+` finished, `-` being deleted, `*` elsewhere."""
    found = []
    for number, word in enumerate(text.split()):
        found.append(
            Rival(
                name=f"r{number}",
                created_at=NOON + timedelta(minutes=number),
                triggered_at=NOON + timedelta(minutes=number),
                environment="elsewhere" if "*" in word else environment,
                finished="+" in word,
                result="Succeeded" if "+" in word else None,
                deleting="-" in word,
                policy=POLICIES[word[0]],
            )
        )
    return found


@pytest.mark.parametrize(
    ("crowd", "me", "wanted"),
    [
        ("q", 0, GO),
        ("q q", 0, GO),
        ("q q", 1, Turn(False, waits_for="r0")),
        ("q q q", 2, Turn(False, waits_for="r1")),
        ("q+ q", 1, GO),
        ("q- q", 1, GO),
        ("q* q", 1, GO),
        ("q+ q- q* q", 3, GO),
        # The newer record's policy decides.
        ("q r", 0, Turn(False, superseded_by="r1")),
        ("q r", 1, Turn(False, waits_for="r0")),
        ("q q r", 0, Turn(False, superseded_by="r2")),
        ("q q r", 1, Turn(False, superseded_by="r2")),
        ("q r q", 0, Turn(False, superseded_by="r1")),
        ("q r q", 2, Turn(False, waits_for="r1")),
        ("q r r", 0, Turn(False, superseded_by="r2")),
        ("r r", 0, Turn(False, superseded_by="r1")),
        ("f r", 0, Turn(False, superseded_by="r1")),
        ("q r+", 0, GO),
        ("q r-", 0, GO),
        ("q r*", 0, GO),
        ("r q", 0, GO),
        # Forbid refuses itself, never the other.
        ("q f", 0, GO),
        ("q f", 1, Turn(False, forbidden_by="r0")),
        ("f f", 1, Turn(False, forbidden_by="r0")),
        ("q+ f", 1, GO),
        ("q- f", 1, GO),
        ("q* f", 1, GO),
        ("f", 0, GO),
    ],
)
def test_whose_turn_it_is(crowd: str, me: int, wanted: Turn) -> None:
    rivals = some(crowd)
    assert turn(rivals[me], rivals) == wanted
    assert turn(rivals[me], reversed(rivals)) == wanted


@pytest.mark.parametrize("crowd", ["q q q", "q r q", "r r r", "q f f", "f q r", "q+ r f"])
def test_at_any_moment_exactly_one_of_a_crowd_may_go(crowd: str) -> None:
    rivals = some(crowd)
    active = [each for each in rivals if each.active]
    going = [each for each in active if turn(each, rivals).go]
    stopped = [each for each in active if turn(each, rivals).superseded_by or turn(each, rivals).forbidden_by]
    assert len(going) == 1 or (not going and stopped), "nobody goes and nobody gives way"


def test_records_of_the_same_second_go_by_their_messages_and_then_by_name() -> None:
    two = [Rival(name, NOON, NOON, "production", False, None, False, ConcurrencyPolicy.QUEUE) for name in ("b", "a")]
    assert turn(two[1], two) == GO
    assert turn(two[0], two) == Turn(False, waits_for="a")
    later = [replace(two[1], triggered_at=NOON + timedelta(milliseconds=1)), two[0]]
    assert turn(two[0], later) == GO
    assert turn(later[0], later) == Turn(False, waits_for="b")


def test_a_record_as_read_becomes_a_rival() -> None:
    metadata = {"name": "one", "creationTimestamp": "2026-01-01T12:00:00Z"}
    bare = rival({"metadata": metadata})
    assert (bare.environment, bare.finished, bare.result, bare.policy, bare.active) == (
        "production",
        False,
        None,
        ConcurrencyPolicy.QUEUE,
        True,
    )
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Finished", "status": "True", "reason": "Cancelled"}]
    done = rival(
        {
            "metadata": {**metadata, "deletionTimestamp": "2026-01-01T13:00:00Z"},
            "spec": {"environment": "pr-1", "concurrencyPolicy": "Forbid"},
            "status": {"conditions": conditions},
        }
    )
    assert (done.environment, done.finished, done.result, done.deleting) == ("pr-1", True, "Cancelled", True)


def test_previews_that_count_are_those_held_and_those_asked_for_before() -> None:
    me = some("q q q q q", "pr-2")[2]
    rivals = [
        Rival("old", NOON, NOON, "pr-1", False, None, False, ConcurrencyPolicy.QUEUE),
        Rival("done", NOON, NOON, "pr-0", True, "Failed", False, ConcurrencyPolicy.QUEUE),
        Rival("new", NOON + timedelta(hours=1), NOON, "pr-3", False, None, False, ConcurrencyPolicy.QUEUE),
        Rival("prod", NOON, NOON, "production", False, None, False, ConcurrencyPolicy.QUEUE),
        me,
    ]
    assert previews_taken(me, rivals, ["production", "pr-9"]) == {"pr-1", "pr-9"}
    assert previews_taken(me, rivals, ["pr-2", "pr-1"]) == {"pr-1"}


# historyLimit


def records(text: str) -> list[dict[str, Any]]:
    """Records from words, oldest first: the environment, `+` succeeded, `x` failed, `e` expired, `v` with its clean-up
    verified, `-` being deleted.

    `<` and a name make it a rollback to that one, `<last` one to the last healthy one.
    """
    found = []
    for number, words in enumerate(text.split()):
        word, _, back = words.partition("<")
        metadata: dict[str, Any] = {"name": f"r{number}", "creationTimestamp": f"2026-01-01T12:{number:02}:00Z"}
        if "-" in word:
            metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        result = "BuildFailed" if "x" in word else "Succeeded"
        ended = set(word) & set("+xe")
        conditions = [{"type": "Finished", "status": "True", "reason": result}] if ended else []
        if "e" in word:
            conditions.append({"type": "Expired", "status": "True", "reason": "Expired"})
        if "v" in word:
            conditions.append({"type": "CleanupVerified", "status": "True", "reason": "CleanupVerified"})
        spec = {"environment": word.rstrip("+-xev")}
        if back:
            spec["rollbackTo"] = back.replace("last", LAST_HEALTHY)
        found.append({"metadata": metadata, "spec": spec, "status": {"conditions": conditions}})
    return found


@pytest.mark.parametrize(
    ("text", "holders", "limit", "gone"),
    [
        ("px px px", {}, 3, []),
        ("px px px", {}, 2, ["r0"]),
        ("p+ p+ p+", {"p": "r2"}, 2, ["r0"]),
        ("p+ p+ p+", {"p": "r0"}, 1, ["r1"]),
        ("p+ p+ p+", {"p": "r0", "q": "r1"}, 1, []),
        ("p px p px p", {}, 1, ["r1"]),
        ("px- px px", {}, 1, ["r1"]),
        ("px qx px qx", {}, 1, ["r0", "r1"]),
        ("p+ q+ r+", {"p": "r0", "q": "r1", "r": "r2"}, 1, []),
        ("pe pe pe", {}, 1, ["r0", "r1"]),
        ("p+ px px px", {"p": "r3"}, 1, ["r1", "r2"]),
        ("p+ p+ px px", {"p": "r3"}, 1, ["r0", "r2"]),
        ("p+ p+- px px", {"p": "r3"}, 1, ["r2"]),
        ("pe px px px", {"p": "r3"}, 1, ["r0", "r1", "r2"]),
        ("", {}, 1, []),
    ],
)
def test_finished_records_beyond_the_limit_go_the_oldest_first(
    text: str, holders: dict[str, str | None], limit: int, gone: list[str]
) -> None:
    found = surplus(records(text), holders, limit)
    assert [each["metadata"]["name"] for each in found] == gone


@pytest.mark.parametrize(
    ("text", "holders", "gone"),
    [
        ("p+ p+ px p<r0", {"p": "r1"}, []),
        ("p+ p+ px q<r0", {"p": "r1"}, []),
        ("p+ p+ p+ px p<last", {"p": "r2"}, ["r0"]),
        ("p+ p+ p+- px p<last", {"p": "r2"}, []),
        ("p+ p+ p+ px q<last", {"p": "r2"}, ["r0", "r1"]),
        ("p+ p+ px p-<r0", {"p": "r1"}, ["r0"]),
        ("p+ p+ px p+<r0", {"p": "r3"}, ["r0", "r1", "r2"]),
        ("p+ p+ px px<r0", {"p": "r1"}, ["r0", "r2"]),
        ("px p+ px p<r7", {"p": "r1"}, ["r0"]),
    ],
)
def test_what_a_rollback_that_has_not_ended_may_go_back_to_stays(
    text: str, holders: dict[str, str | None], gone: list[str]
) -> None:
    found = surplus(records(text), holders, 1)
    assert [each["metadata"]["name"] for each in found] == gone


@pytest.mark.parametrize(
    ("text", "holders", "gone"),
    [
        ("aev bev cev dev", {}, ["r0", "r1"]),
        ("aev aev bev cev aev", {}, ["r2"]),
        ("aev ax bev cev dev", {}, ["r2"]),
        ("ax aev bev cev dev", {}, ["r0", "r1", "r2"]),
        ("aev bev cev de", {}, ["r0"]),
        ("aev b+ cev dev", {"b": "r1"}, ["r0"]),
        ("aev b cev dev", {}, ["r0"]),
        ("aev- bev cev dev", {}, ["r1"]),
        ("productionev bev cev dev", {}, ["r1"]),
        ("aev bev cev d<r0", {}, []),
    ],
)
def test_of_previews_that_have_ended_the_newest_leave_their_records(
    text: str, holders: dict[str, str | None], gone: list[str]
) -> None:
    found = surplus(records(text), holders, 10, ended=2)
    assert [each["metadata"]["name"] for each in found] == gone


class Counted(dict[str, Any]):
    """A record that knows how often it is looked at."""

    looks = 0

    def __getitem__(self, name: str) -> Any:
        Counted.looks += 1
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(name, default)


def test_many_ended_previews_cost_what_they_are_many_and_no_more() -> None:
    def looks(count: int) -> int:
        Counted.looks = 0
        ended = [{**each, "spec": {"environment": each["metadata"]["name"]}} for each in records("pe " * count)]
        assert surplus([Counted(each) for each in ended], {}, 1) == []
        return Counted.looks

    assert looks(60) <= 2.5 * looks(30)


@pytest.mark.parametrize(
    ("text", "holders", "gone"),
    [("p+ px px px", {}, []), ("p+ px px q+ qx qx", {"q": "r3"}, ["r4"]), ("p+ px px", {"p": "r0"}, ["r1"])],
)
def test_where_a_success_has_no_holder_the_status_has_lost_its_memory_and_nothing_goes(
    text: str, holders: dict[str, str | None], gone: list[str]
) -> None:
    found = surplus(records(text), holders, 1)
    assert [each["metadata"]["name"] for each in found] == gone


@pytest.mark.parametrize(
    ("annotation", "order"),
    [
        (None, "2026-01-01T12:00:00Z"),
        ("2026-01-01T12:00:00.250Z", "2026-01-01T12:00:00.250Z"),
        ("2026-01-01T12:00:00", "2026-01-01T12:00:00Z"),
        ("not a time", "2026-01-01T12:00:00Z"),
    ],
)
def test_the_time_of_the_message_counts_where_it_is_one(annotation: str | None, order: str) -> None:
    metadata: dict[str, Any] = {"name": "one", "creationTimestamp": "2026-01-01T12:00:00Z"}
    if annotation is not None:
        metadata["annotations"] = {EVENT_TIMESTAMP: annotation}
    assert rival({"metadata": metadata}).triggered_at == datetime.fromisoformat(order)
