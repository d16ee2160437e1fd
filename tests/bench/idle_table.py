"""What objects cost at rest, as slopes: so much more with so many objects more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.figures import Findings, Goal, Table

KUBERNETES = "Kubernetes"
REQUESTS, KILOBYTES = 0.01, 12.0
REQUESTS_TEXT = """\
Children as in the storm above, whose source is a branch, are Ready and nothing changes. The requests of the operator
are counted while all are looked at again: to the API server by its audit log, the Lease and Kopf's peering apart; to
the vendors by their stand-ins, of which Argo CD's asks Git too. The slope between the two numbers of objects is what an
object costs, whatever the operator needs for itself. It is taken for each look, by the operator's own count of its
passes, and scaled to a look every 300 s, the default."""
MEMORY_TEXT = """\
Resident memory by the kernel, of one process each, at rest. The objects were created a hundred at a time: a process
keeps for long what its largest storm has taken, and that would count for each object otherwise. An object of the no-op
is about as large as one of ours."""


@dataclass
class AtRest:
    """One operator with so many objects Ready."""

    objects: int
    kilobytes: float
    """Resident memory."""
    requests: Counter[str] = field(default_factory=Counter)
    """In the window, to whom."""
    looks: int = 0
    """Passes over objects in the window."""

    def json(self) -> dict[str, Any]:
        """As plain values: `asdict` would make a Counter of pairs."""
        return {
            "objects": self.objects,
            "kilobytes": self.kilobytes,
            "requests": dict(self.requests),
            "looks": self.looks,
        }


def slope(some: Sequence[AtRest], values: Sequence[float]) -> float:
    """How much more for each object more, from the fewest objects to the most."""
    return (values[-1] - values[0]) / (some[-1].objects - some[0].objects)


def findings_of(ours: Sequence[AtRest], noop: Sequence[AtRest], *, looks_per_hour: float) -> Findings:
    """So many looks at each object make an hour at the default interval."""
    services = sorted({name for each in ours for name in each.requests}, key=lambda name: (name != KUBERNETES, name))
    counts = {name: [float(each.requests[name]) for each in ours] for name in services}
    looks = slope(ours, [at.looks for at in ours])
    hourly = {name: slope(ours, values) / looks * looks_per_hour for name, values in counts.items()}
    memory = {"ours": ours, "no-op of Kopf": noop}
    each = {who: slope(some, [at.kilobytes for at in some]) for who, some in memory.items()}
    more = each["ours"] - each["no-op of Kopf"]
    levels = [f"with {at.objects}" for at in ours]
    requests = Table(
        f"Requests at rest: {hourly[KUBERNETES]:.2f} to the API server for each object and hour",
        REQUESTS_TEXT,
        ("to", *levels, "for each object and hour"),
        [
            ["looks of the operator", *(str(at.looks) for at in ours), f"{looks_per_hour:.2f}"],
            *([name, *(f"{value:.0f}" for value in counts[name]), f"{hourly[name]:.2f}"] for name in services),
        ],
    )
    resident = Table(
        f"Memory of a Ready object: {more:.1f} KB more than with the no-op of Kopf",
        MEMORY_TEXT,
        ("who", *levels, "for each object"),
        [
            [who, *(f"{at.kilobytes / 1000:.1f} MB" for at in some), f"{each[who]:.1f} KB"]
            for who, some in memory.items()
        ],
    )
    goals = [
        Goal("API requests at rest, for each object and hour", round(hourly[KUBERNETES], 3), REQUESTS),
        Goal("memory of a Ready object beyond that of a no-op", round(more, 1), KILOBYTES, " KB"),
    ]
    raw = {
        "ours": [at.json() for at in ours],
        "noop": [at.json() for at in noop],
        "hourly": hourly,
        "kilobytes": each,
    }
    return Findings([requests, resident], goals, raw)
