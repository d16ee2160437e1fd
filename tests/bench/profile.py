"""`python -m tests.bench.profile`: where the operator spends its time while many children are created at once.

It runs under pyinstrument, which looks a thousand times a second at what the one thread of the event loop does. Slower
than otherwise, so that shares count, not times.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from pyinstrument.renderers import ConsoleRenderer
from pyinstrument.session import Session

from tests.bench.contenders import operator_in, running_in
from tests.bench.figures import Table
from tests.bench.ground import stage_at_once
from tests.bench.profile_shares import IDLE, by_owner, by_package
from tests.bench.storm import Storm, create_storm

NAMESPACE = "bench-profile"
LEAST = 0.01
"""Smaller shares are left out."""


async def profiled(count: int, file: Path) -> Storm:
    """One storm of so many children; the session is written when the operator has ended."""
    python = [sys.executable, "-m", "pyinstrument", "--renderer=pyisession", f"--outfile={file}"]
    async with stage_at_once() as stage, operator_in(stage, NAMESPACE, python) as operator:
        return await create_storm(stage, await running_in(stage, NAMESPACE, operator, prefix=NAMESPACE), count)


def tables(session: Session) -> list[Table]:
    """Shares of the time in which the event loop did not wait."""
    found = []
    for title, of in (("on whose behalf", by_owner), ("in whose code", by_package)):
        seconds = of(session.frame_records)
        busy = sum(spent for name, spent in seconds.items() if name != IDLE)
        shares = [(name, spent / busy) for name, spent in seconds.items() if name != IDLE]
        rows = [[name, f"{share:.0%}"] for name, share in shares if share >= LEAST]
        found.append(Table(f"{busy:.1f} s busy, {title}", "", ("what", "share"), rows))
    return found


def main() -> None:
    """Prints the shares, and the tree of calls."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many children")
    parser.add_argument("--keep", type=Path, help="file for the session, to be read by pyinstrument --load")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        file = options.keep or Path(folder) / "operator.pyisession"
        storm = asyncio.run(profiled(options.count, file))
        session = Session.load(file)
    tree = ConsoleRenderer(processor_options={"filter_threshold": LEAST}).render(session)
    said = [tree, *(table.plain() for table in tables(session))]
    said.append(
        f"{storm.objects} children, all Ready after {storm.seconds:.1f} s, {storm.rate:.0f} API writes a second"
    )
    said.append(
        ", ".join(f"{count / storm.objects:.2f} {kind}" for kind, count in storm.requests.items()) + " per child"
    )
    sys.stdout.write("\n\n".join(said) + "\n")


if __name__ == "__main__":
    main()
