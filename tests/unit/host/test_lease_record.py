"""The table that says what to do about the Lease, and what is written then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devops_reconciler.host.lease_record import (
    Candidate,
    LeaseRecord,
    Move,
    decide,
    held_by,
    record_of,
    released,
    renewed_at,
    wanted_by,
)

OLD, ME, NEW = Candidate("old", 100), Candidate("me", 200), Candidate("new", 300)
DURATION = timedelta(seconds=15)
NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
LEASE = LeaseRecord("7", "old", 100, "some time", DURATION, 3, "", 0)


def by(holder: Candidate, wanted: Candidate | None = None) -> LeaseRecord:
    found = replace(LEASE, holder=holder.identity, holder_rank=holder.rank)
    return found if wanted is None else replace(found, wanted_by=wanted.identity, wanted_rank=wanted.rank)


def free(wanted: Candidate | None = None) -> LeaseRecord:
    return replace(by(OLD, wanted), holder="", holder_rank=0)


@pytest.mark.parametrize(
    ("record", "silent", "move"),
    [
        (None, None, Move.TAKE),
        (None, 14.9, Move.REST),
        (None, 15, Move.TAKE),
        (by(ME), 0, Move.RENEW),
        (by(ME), 99, Move.RENEW),
        (by(ME, NEW), 0, Move.HAND_OVER),
        (by(ME, OLD), 0, Move.RENEW),
        (by(OLD), None, Move.ASK),
        (by(OLD), 14.9, Move.ASK),
        (by(OLD), 15, Move.TAKE),
        (by(OLD, ME), 1, Move.REST),
        (by(OLD, NEW), 1, Move.REST),
        (by(NEW), 14.9, Move.REST),
        (by(NEW), 15, Move.TAKE),
        (by(NEW, ME), 1, Move.REST),
        (free(), None, Move.TAKE),
        (free(ME), 0, Move.TAKE),
        (free(NEW), 14.9, Move.REST),
        (free(NEW), 15, Move.TAKE),
        (free(OLD), 0, Move.TAKE),
    ],
)
def test_what_to_do_follows_from_the_record_and_from_how_long_it_is_silent(
    record: LeaseRecord | None, silent: float | None, move: Move
) -> None:
    seen = None if silent is None else timedelta(seconds=silent)
    assert decide(record, ME, seen, DURATION) is move


def test_the_duration_of_the_holder_counts_and_not_ours() -> None:
    longer = replace(by(NEW), duration=timedelta(seconds=60))
    assert decide(longer, ME, timedelta(seconds=59), DURATION) is Move.REST


def test_a_replica_that_stepped_back_asks_for_nothing_and_yields_to_each_that_asks() -> None:
    back = NEW.stepped_back()
    assert decide(by(OLD), back, timedelta(0), DURATION) is Move.REST
    assert decide(by(back, OLD), back, timedelta(0), DURATION) is Move.HAND_OVER
    assert decide(by(OLD), back, DURATION, DURATION) is Move.TAKE
    assert len({OLD.stepped_back().rank, ME.stepped_back().rank, back.rank}) == 3


@pytest.mark.parametrize(
    "obj",
    [
        {"metadata": {"resourceVersion": "7"}},
        {"metadata": {"resourceVersion": "7", "annotations": {"freeleaps.com/holder-rank": "soon"}}, "spec": {}},
        {"metadata": {"resourceVersion": "7"}, "spec": {"leaseDurationSeconds": -3, "leaseTransitions": "x"}},
    ],
)
def test_a_lease_that_somebody_has_emptied_or_edited_can_be_read(obj: dict[str, Any]) -> None:
    assert record_of(obj, DURATION) == LeaseRecord("7", "", 0, "", DURATION, 0, "", 0)


def test_what_is_written_can_be_read_again() -> None:
    taken = held_by(ME, timedelta(seconds=2.5), NOW, by(OLD, ME))
    assert taken["spec"]["renewTime"] == "2026-01-01T12:00:00.000005Z"
    assert taken["metadata"]["annotations"]["freeleaps.com/wanted-by"] is None
    read = record_of(taken, DURATION)
    assert (read.holder, read.holder_rank, read.duration) == ("me", 200, timedelta(seconds=3))
    assert read.transitions == 4


def test_each_change_names_the_version_that_it_is_about() -> None:
    before = by(OLD)
    changes = (
        held_by(ME, DURATION, NOW, before),
        renewed_at(NOW, before),
        wanted_by(ME, before),
        released(NOW, before),
    )
    assert {change["metadata"]["resourceVersion"] for change in changes} == {"7"}
