"""What the expiry of many previews has come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tests.bench.figures import Findings, Goal, Spread, Table

LAG = 5.0
LAG_TEXT = """\
The ends of all previews fall into one minute, evenly; from then to when a watch sees what is told of each. Of each
project one preview was deployed by message; the others are copies of it, record and all that it has outside:
application, namespace, Ingress, DNS record with its mark, image, and its place in the project's list. `CleanupVerified`
means that all of that was looked for and is gone. Hosts are in ten zones. The vendors answer at once, their budgets are
lifted, and so is `EXPIRY_RATE`, which by default lets 60 previews a minute begin to expire."""
COST_TEXT = """\
For each preview, from the first end until all are gone: requests of the operator to the API server by its audit log,
the Lease and Kopf's peering apart, requests to vendors by their stand-ins, and milliseconds of a processor: of the
operator, and of API server, etcd and the controller manager, which empties the namespaces."""


@dataclass(frozen=True)
class Cost:
    """For each preview. Processor in seconds."""

    writes: Mapping[str, float]
    """By resource, refused ones too."""
    reads: float
    vendors: float
    operator_cpu: float
    server_cpu: float


def findings_of(lags: Mapping[str, Spread], cost: Cost) -> Findings:
    """`lags`, in seconds, by what was seen: `Expired` first."""
    first = lags["Expired"]
    count = len(first.values)
    lag = Table(
        f"{count:,} previews expire within a minute: p99 of the lag {first.percentile(99):.1f} s",
        LAG_TEXT,
        ("seen", "p50", "p99", "longest"),
        [
            [f"`{what}=True`", *(f"{each:.1f} s" for each in (*map(it.percentile, (50, 99)), it.values[-1]))]
            for what, it in lags.items()
        ],
    )
    writes = [[f"writes to {kind}", f"{number:.2f}"] for kind, number in sorted(cost.writes.items(), key=_most)]
    rows = [
        *writes,
        ["reads", f"{cost.reads:.2f}"],
        ["requests to vendors", f"{cost.vendors:.2f}"],
        ["processor, operator", f"{cost.operator_cpu * 1000:.0f} ms"],
        ["processor, API server", f"{cost.server_cpu * 1000:.0f} ms"],
    ]
    costs = Table(f"What the end of each of {count:,} previews costs", COST_TEXT, ("what", "for each"), rows)
    name = f"p99 of the lag from expiresAt to Expired=True, {count:,} previews in a minute"
    goal = Goal(name, round(first.percentile(99), 1), LAG, " s")
    raw = {"seconds": {what: it.values for what, it in lags.items()}, "cost": asdict(cost)}
    return Findings([lag, costs], [goal], raw)


def _most(item: tuple[str, float]) -> float:
    return -item[1]
