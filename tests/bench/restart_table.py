"""What restarts with few records and with many have come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from tests.bench.figures import Findings, Goal, Spread, Table

WRITES, SECONDS = 0.0, 10.0
TEXT = """\
Each project has deployed once by message; the other records are copies of that one, with names and UIDs of their own,
as an operator leaves them: at their end, with nothing to do. The process is stopped in order and started again. Times
count from the start of the process: until `/readyz` answers 200, and until the first heartbeat of a deployment whose
message had come while no process ran. What is asked is counted at another start, without a message, until every project
and child has been looked at once and nothing more is written: to the API server by its audit log, the Lease, Kopf's
peering and watches apart; to the vendors by their stand-ins. The projects are the same each time, and each has four
children: what more records add is what the records cost. The vendors answer at once, and their budgets are lifted."""


@dataclass(frozen=True)
class Restarted:
    """Restarts with so many records. Times in seconds; memory in units of 1,000 bytes."""

    records: int
    ready: Spread
    heard: Spread
    record_writes: int
    """Written to records, refused or not."""
    other_writes: int
    reads: int
    """Of the API server."""
    vendors: dict[str, int]
    """Requests to each."""
    cpu: float
    """Seconds of a processor from the start until all was looked at."""
    resident: float
    peak: float


ROWS: tuple[tuple[str, Callable[[Restarted], str]], ...] = (
    ("ready after", lambda it: it.ready.text(" s", 1)),
    ("first heartbeat of a message that waited, after", lambda it: it.heard.text(" s", 1)),
    ("API writes to records", lambda it: str(it.record_writes)),
    ("other API writes", lambda it: str(it.other_writes)),
    ("API reads", lambda it: str(it.reads)),
    ("calls to vendors", lambda it: str(sum(it.vendors.values()))),
    ("processor until all was looked at", lambda it: f"{it.cpu:.1f} s"),
    ("resident memory", lambda it: f"{it.resident / 1000:.0f} MB"),
    ("its peak", lambda it: f"{it.peak / 1000:.0f} MB"),
)


def findings_of(few: Restarted, many: Restarted) -> Findings:
    """Side by side."""
    serves = max(many.ready.median, many.heard.median)
    title = f"Restart with {many.records:,} records: it serves after {serves:.1f} s"
    head = ("", *(f"{it.records:,} records" for it in (few, many)))
    rows = [[name, show(few), show(many)] for name, show in ROWS]
    goals = [
        Goal(f"API writes at a restart with {many.records:,} records", many.record_writes + many.other_writes, WRITES),
        Goal(f"calls to vendors for {many.records - few.records:,} records at a restart", _more_calls(few, many), 0.0),
        Goal(f"restart with {many.records:,} records until it serves", round(serves, 1), SECONDS, " s"),
    ]
    return Findings([Table(title, TEXT, head, rows)], goals, {"few": asdict(few), "many": asdict(many)})


def _more_calls(few: Restarted, many: Restarted) -> int:
    return sum(many.vendors.values()) - sum(few.vendors.values())
