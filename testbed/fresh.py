"""Compares the files that are made from the code with what the code makes now.

``python -m testbed.fresh`` exits 1 and names each file that is out of date; ``--write`` writes them anew.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from devops_reconciler.api.documents import documents
from testbed import chart, dashboard, sbom

ROOT = Path(__file__).parent.parent
MAX_DIFF_LINES = 20
# Arguments of `devops-reconciler`, and the file that holds what they print.
GENERATED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("crds",), "deploy/chart/devops-reconciler/files/crds.yaml"),
    (("config", "reference"), "docs/reference/configuration.md"),
    (("audit", "schema"), "docs/reference/audit.schema.json"),
    (("watch", "--schema"), "docs/reference/watch.schema.json"),
    (("config", "metrics"), "docs/reference/metrics.md"),
)


def generate(arguments: Sequence[str]) -> str:
    """What the command prints; its errors go to stderr and end this program."""
    command = [sys.executable, "-m", "devops_reconciler", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def difference(file: str, expected: str) -> str:
    """The first lines of a diff between the file and ``expected``; empty when they are equal."""
    path = ROOT / file
    found = path.read_text() if path.exists() else ""
    lines = difflib.unified_diff(found.splitlines(), expected.splitlines(), file, "generated", lineterm="")
    return "\n".join(list(lines)[:MAX_DIFF_LINES])


def expected_files(*, write: bool) -> Iterator[tuple[str, str]]:
    """Each generated file and what should be in it. Only writing needs helm, and only where the chart has changed."""
    yield from documents().items()
    for arguments, file in GENERATED:
        yield file, generate(arguments)
    yield "deploy/dashboards/devops-reconciler.json", dashboard.text()
    yield _name(chart.SCHEMA), chart.schema()
    yield _name(sbom.SBOM), sbom.sbom()
    for path, text in chart.alerts().items():
        yield _name(path), text
    for path in set(chart.ALERTS.glob("*")) - set(chart.alerts()):
        yield _name(path), ""
    found = chart.MANIFESTS.read_text() if chart.MANIFESTS.exists() else ""
    head, _, rest = found.partition("\n")
    if write and f"{head}\n" != chart.head():
        yield _name(chart.MANIFESTS), chart.manifests()
    else:
        yield _name(chart.MANIFESTS), chart.head() + rest


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def replace(file: str, text: str) -> None:
    """Writes the file; one without content goes."""
    path = ROOT / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if not text:
        path.unlink()


def main() -> int:
    """Checks, or with ``--write`` writes, every generated file."""
    write = "--write" in sys.argv[1:]
    stale = 0
    for file, expected in expected_files(write=write):
        if write:
            replace(file, expected)
        elif shown := difference(file, expected):
            stale += 1
            sys.stderr.write(f"{file} is out of date; run 'make docs'.\n{shown}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
