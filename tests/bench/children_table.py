"""Create storms as a table: who makes how many writes a second, and what each object costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.bare_api import CONNECTIONS
from tests.bench.figures import Findings, Goal, Spread, Table
from tests.bench.storm import Storm

RATIO = 80.0
TEXT = f"""\
Objects are created by a bare client over {CONNECTIONS} connections; the clock stops when a watch has seen all Ready.
Ours are RegistrySettings, JenkinsSettings, ArgoSettings and IngressResources in turn, with one source, of which Git is
asked once; of an address only the DNS record is made. The vendors answer at once, and their budgets are lifted. The
others bring a kind to Ready that means nothing, with as many writes. Each operator has a process and a namespace of its
own, and runs alone; the order turns. Writes are the accepted ones of the operator alone, by the audit log, from the
first creation to its last write. The bare client makes status patches over {CONNECTIONS} connections, and nothing else.
Milliseconds of a processor are for each object and the whole storm: of the operator, of API server with etcd, and of
the bench, whose process creates, watches, and has the stand-ins, with the programs that these run for Git."""
HEAD = (
    "who",
    "writes per object",
    "with events",
    "reads",
    "API writes a second",
    "of the bare client's",
    "all Ready after",
    "operator",
    "API server",
    "bench",
)


@dataclass
class Measured:
    """All storms of one size, by who was measured, and what a bare client did in each round."""

    size: int
    raw: list[float] = field(default_factory=list)
    storms: dict[str, list[Storm]] = field(default_factory=dict)

    def add(self, who: str, storm: Storm) -> None:
        self.storms.setdefault(who, []).append(storm)

    def spread(self, who: str, of: Callable[[Storm], float]) -> Spread:
        return Spread.of([of(storm) for storm in self.storms[who]])

    def ratio(self, ours: str, like: str) -> Spread:
        """Writes a second of the one as a share of the other's, in percent, of each round."""
        pairs = zip(self.storms[ours], self.storms[like], strict=True)
        return Spread.of([one.rate / other.rate * 100 for one, other in pairs])


def findings_of(measured: Sequence[Measured], ours: str, like: str) -> Findings:
    """A table for each size; the goal is about the largest."""
    tables = [_table(each, ours, like) for each in measured]
    largest = measured[-1]
    ratio = largest.ratio(ours, like).median
    name = f"API writes a second with {largest.size} children, against a no-op of Kopf"
    raw = {str(each.size): _raw(each, ours, like) for each in measured}
    return Findings(tables, [Goal(name, round(ratio), RATIO, " %", at_least=True)], {"storms": raw})


def _raw(measured: Measured, ours: str, like: str) -> dict[str, Any]:
    storms = {who: [{**asdict(each), "rate": each.rate} for each in some] for who, some in measured.storms.items()}
    return {"bare_patches_per_second": measured.raw, "percent": measured.ratio(ours, like).values, "storms": storms}


def _table(measured: Measured, ours: str, like: str) -> Table:
    raw = Spread.of(measured.raw)
    rows = [["bare client", "", "", "", raw.text(), "100 %", "", "", "", ""]]
    for who in measured.storms:
        rate = measured.spread(who, lambda storm: storm.rate)
        rows.append(
            [
                who,
                f"{measured.spread(who, lambda storm: storm.writes / storm.objects).median:.2f}",
                f"{measured.spread(who, lambda storm: (storm.writes + storm.others) / storm.objects).median:.2f}",
                f"{measured.spread(who, lambda storm: storm.reads / storm.objects).median:.2f}",
                rate.text(),
                f"{rate.median / raw.median:.0%}".replace("%", " %"),
                measured.spread(who, lambda storm: storm.seconds).text(" s", 1),
                *(f"{measured.spread(who, each).median:.1f} ms" for each in _costs()),
            ]
        )
    ratio = measured.ratio(ours, like)
    title = f"{measured.size} children at once: ours makes {ratio.text(' %')} of the writes a second of the {like}"
    return Table(title, TEXT, HEAD, rows)


def _costs() -> Sequence[Callable[[Storm], float]]:
    """Milliseconds of a processor for each object."""
    return (
        lambda storm: storm.operator_cpu / storm.objects * 1000,
        lambda storm: storm.server_cpu / storm.objects * 1000,
        lambda storm: storm.bench_cpu / storm.objects * 1000,
    )
