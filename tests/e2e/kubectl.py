"""kubectl as a user types it, and what it shows in words that are the same in each run."""

from __future__ import annotations

import asyncio
import os
import re
from difflib import unified_diff
from pathlib import Path

from testbed.stage_cluster import NAMESPACE

from .play import Play

GOLDEN = Path(__file__).parent / "golden"
"""What kubectl shows, a file an outcome. ``GOLDEN=write`` writes them anew: then read the difference."""
CHANGING = (
    (r"\bshop-[a-z0-9]{8,10}-[a-z0-9]{5}\b", "shop-<pod>"),
    (r"\bshop-[0-9a-f]{10}\b", "shop-1"),
    (r"sha256:[0-9a-f]{64}", "sha256:…"),
    (r"\b[0-9a-f]{40}\b", "<commit>"),
    (r"\b[0-9a-f]{12}\b", "<short commit>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r"\b(?:\d+[dhms])+\b(?: \(x\d+ over [\dms]+\))?", "<age>"),
)


async def kubectl(play: Play, *arguments: str, stdin: str = "", fails: bool = False) -> str:
    """Runs kubectl as admin; stdout, or stderr when it is expected to fail."""
    plane = play.stage.control_plane
    process = await asyncio.create_subprocess_exec(
        str(plane.programs / "kubectl"),
        f"--kubeconfig={plane.kubeconfig(namespace=NAMESPACE)}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(stdin.encode())
    assert bool(process.returncode) is fails, f"kubectl {' '.join(arguments)}: {errors.decode()}{out.decode()}"
    return (errors if fails else out).decode()


async def shown(play: Play, short: str, name: str) -> str:
    """What ``kubectl get`` and the conditions and events of ``kubectl describe`` show of one object."""
    row = await kubectl(play, "get", short, name, "--output=wide")
    description = await kubectl(play, "describe", short, name)
    parts = [f"$ kubectl get {short} {name} --output=wide", *_table(row), ""]
    parts += [f"$ kubectl describe {short} {name}", "Conditions:", *_conditions(description), "Events:"]
    lines = [_settled(line, play.project) for line in parts]
    events = [_settled(line, play.project) for line in _table(description.partition("\nEvents:")[2])]
    # Those of one second have no order.
    return "\n".join([*lines, *events[:1], *sorted(set(events[1:]))]) + "\n"


def _table(text: str) -> list[str]:
    """Columns one space pair apart: their width depends on names that differ in each run."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]
    return ["  ".join(row) for row in rows if not set("".join(row)) <= {"-"}]


def _conditions(description: str) -> list[str]:
    """A line per condition: type, status, reason, message."""
    body = description.partition("\n  Conditions:\n")[2]
    found: list[dict[str, str]] = []
    for line in body.splitlines():
        if not line.startswith("    "):
            break
        name, _, value = line.strip().partition(":")
        if name == "Last Transition Time":
            found.append({})
        found[-1][name] = value.strip()
    return [
        "  ".join(each.get(name, "") for name in ("Type", "Status", "Reason", "Message")).rstrip() for each in found
    ]


def _settled(line: str, project: str) -> str:
    line = line.replace(project, "shop")
    for pattern, stands in CHANGING:
        line = re.sub(pattern, stands, line)
    return line


def expect(outcome: str, text: str) -> None:
    """Compares with the file of this outcome. Raises AssertionError with the difference."""
    path = GOLDEN / f"{outcome}.txt"
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    kept = path.read_text() if path.exists() else ""
    difference = "\n".join(unified_diff(kept.splitlines(), text.splitlines(), str(path.name), "shown", lineterm=""))
    assert not difference, f"kubectl shows something else now; with GOLDEN=write it is kept:\n{difference}"
