"""Ends what a testbed started when the testbed itself is gone, however it went.

Run as a program of its own by :mod:`testbed.processes`, which tells it over stdin, a line each, what there is::

    watch <pid> <start time>      a process group that was started
    forget <pid>                  it was stopped in order
    remove <folder>               a folder to remove at the end
    keep <folder>                 it was removed in order

The end of stdin is the end of the parent: also ``kill -9`` closes the pipe. Only the standard library is used.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 5.0


def start_time(pid: int) -> str:
    """When the kernel started this process, in clock ticks since boot; empty if there is no such process.

    Pid and start time together are never used twice, so a process is never mistaken for another.
    """
    fields = _fields(pid)
    return fields[19] if fields else ""


def _fields(pid: int) -> list[str]:
    """What ``/proc/<pid>/stat`` says from the third field on: the second is the name and may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def runs(pid: int) -> bool:
    """Whether it runs. A process that ended but was not waited for (``Z``) does not."""
    fields = _fields(pid)
    return bool(fields) and fields[0] not in "ZX"


def end_groups(watched: dict[int, str]) -> None:
    """TERM to the first process of every group, KILL to what is left of the groups when they have ended."""
    groups = [pid for pid, started in watched.items() if start_time(pid) in ("", started)]
    for pid in groups:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(map(runs, groups)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in groups:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def main() -> None:
    """Keeps the list until stdin ends, then ends what is on it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, str] = {}
    folders: set[str] = set()
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "watch":
            pid, _, started = rest.partition(" ")
            watched[int(pid)] = started
        elif verb == "forget":
            watched.pop(int(rest), None)
        elif verb == "remove":
            folders.add(rest)
        elif verb == "keep":
            folders.discard(rest)
    end_groups(watched)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
