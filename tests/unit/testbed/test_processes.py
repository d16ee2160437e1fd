"""Child processes end with their parent, however it ends, and say why they did not start."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from testbed import warden
from testbed.processes import ChildProcess, ProcessError, Processes, RunFolder, free_port

LIMIT_SECONDS = 20


def child(tmp_path: Path, program: str) -> ChildProcess:
    return ChildProcess("child", [sys.executable, "-c", program], log=tmp_path / "child.log")


def runs(pid: int) -> bool:
    return warden.runs(pid)


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.02)


def test_ready_stop_and_start_again(tmp_path: Path) -> None:
    mark = tmp_path / "ready"
    process = child(tmp_path, f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(600)")
    for _ in range(2):
        process.start()
        process.wait_until_ready(mark.exists)
        assert process.alive
        pid = process.pid
        assert process.stop() == -15
        assert not process.alive
        assert not runs(pid)
        mark.unlink()


def test_a_child_that_ends_early_is_an_error_with_its_log(tmp_path: Path) -> None:
    process = child(tmp_path, "import sys; sys.exit('the disk is full')")
    process.start()
    with pytest.raises(ProcessError, match=r"child ended with 1 before it was ready(.|\n)*the disk is full"):
        process.wait_until_ready(lambda: False)
    process.stop()


def test_a_child_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    process = child(tmp_path, "import time; time.sleep(600)")
    process.start()
    with pytest.raises(ProcessError, match="was not ready within 0 s"):
        process.wait_until_ready(lambda: False, timedelta(milliseconds=10))
    process.kill()


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    process = ChildProcess("child", [tmp_path / "nothing"], log=tmp_path / "log")
    with pytest.raises(ProcessError, match="child cannot be started"):
        process.start()


def test_a_child_that_ignores_term_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "ready"
    program = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(mark)!r}).touch(); time.sleep(600)"
    )
    process = child(tmp_path, program)
    process.start()
    process.wait_until_ready(mark.exists)
    assert process.stop(grace=timedelta(milliseconds=100)) == -9


def test_what_the_child_started_goes_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = (
        "import os, pathlib, subprocess, time; child = subprocess.Popen(['sleep', '600']); "
        f"path = pathlib.Path({str(note)!r}); path.with_suffix('.new').write_text(str(child.pid)); "
        "os.rename(path.with_suffix('.new'), path); time.sleep(600)"
    )
    process = child(tmp_path, program)
    process.start()
    process.wait_until_ready(note.exists)
    grandchild = int(note.read_text())
    assert runs(grandchild)
    process.stop()
    until(lambda: not runs(grandchild))


def test_children_and_folder_go_when_the_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from testbed.processes import ChildProcess, RunFolder\n"
        "run = RunFolder('devops-reconciler-test')\n"
        "child = ChildProcess('child', ['sleep', '600'], log=run.path / 'log')\n"
        "child.start()\n"
        "print(child.pid, run.path, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert parent.returncode == -9
    pid, folder = parent.stdout.split()
    until(lambda: not runs(int(pid)) and not Path(folder).exists())


def test_the_run_folder_is_removed() -> None:
    with RunFolder("devops-reconciler-test") as run:
        (run.path / "file").touch()
        assert run.path.is_dir()
    assert not run.path.exists()


class Two(Processes):
    """Two that sleep; ``fails`` after both have started."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__("devops-reconciler-test")
        self.folder = self._run.path
        self.started: dict[str, int] = {}
        self._fails = fails

    def _set_up(self) -> None:
        for name in ("first", "second"):
            self._processes[name] = ChildProcess(name, ["sleep", "600"], log=self.folder / name)
            self._processes[name].start()
            self.started[name] = self._processes[name].pid
        if self._fails:
            raise ProcessError("no luck")

    @property
    def left(self) -> list[str]:
        return [name for name, pid in self.started.items() if runs(pid)]


async def test_processes_that_are_one_service_come_and_go_together() -> None:
    async with Two() as two:
        assert two.left == ["first", "second"]
        two.kill("first")
        assert two.left == ["second"]
        two.stop_processes()
        assert (two.left, two.folder.exists()) == ([], True)
    assert not two.folder.exists()


def test_a_start_that_fails_leaves_neither_process_nor_folder() -> None:
    two = Two(fails=True)
    with pytest.raises(ProcessError, match="no luck"):
        two.start()
    assert len(two.started) == 2
    assert (two.left, two.folder.exists()) == ([], False)


def test_a_free_port_is_given_once() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) == 20


def test_the_start_time_tells_processes_apart() -> None:
    assert warden.start_time(os.getpid()).isdigit()
    assert warden.start_time(2**22 + 1) == ""
