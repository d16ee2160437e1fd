"""What processes have used of the processor and of memory, by the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterable

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Of these processes since they began, and of their children that have ended."""
    return sum(_ticks(pid) for pid in pids) / TICK


def _ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        # The name, in brackets, may hold anything; utime, stime, cutime and cstime are the 12th to 15th field after it.
        fields = file.read().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:15])


def own_cpu_seconds() -> float:
    """Of this process, and of its children that have ended, such as those that answer for Git."""
    return sum(os.times()[:4])


def resident_kilobytes(pid: int) -> float:
    """Resident memory of a process, in units of 1,000 bytes."""
    return _kilobytes(pid, "VmRSS")


def peak_kilobytes(pid: int) -> float:
    """The most that it has had resident since it began, in the same units."""
    return _kilobytes(pid, "VmHWM")


def _kilobytes(pid: int, name: str) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1.024
