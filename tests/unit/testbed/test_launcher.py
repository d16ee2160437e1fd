"""Operators that a launcher forks, as real processes: they are like those that the interpreter starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from testbed.launcher import Forked, Launcher
from testbed.processes import ProcessError
from testbed.stage_operator import Operator
from testbed.warden import runs

LIMIT = timedelta(seconds=60)


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECONCILER_AUDIT_FILE", "/not/for/its/children")
        launcher.start()
    yield launcher
    launcher.stop()


def _start(launcher: Launcher, log: Path, *arguments: str, **environment: str) -> Forked:
    return launcher.start_process(list(arguments), environment, log.parent, log)


@pytest.mark.parametrize(("own", "code"), [({"RECONCILER_AUDIT_FILE": "trail"}, 0), ({}, 2)])
def test_a_command_runs_in_its_folder_with_its_environment_alone_and_ends_with_its_exit_code(
    launcher: Launcher, tmp_path: Path, own: dict[str, str], code: int
) -> None:
    (tmp_path / "trail").touch()
    process = _start(launcher, tmp_path / "log", "audit", "verify", **own)

    assert process.wait(LIMIT.total_seconds()) == code
    assert ("set RECONCILER_AUDIT_FILE" in (tmp_path / "log").read_text()) is (code == 2)


def test_a_refused_configuration_is_exit_2_and_stands_in_the_log(launcher: Launcher, tmp_path: Path) -> None:
    process = _start(launcher, tmp_path / "log", "run")

    assert process.wait(LIMIT.total_seconds()) == 2
    assert "RABBITMQ_HOST" in (tmp_path / "log").read_text()


def test_a_process_that_runs_leads_a_session_and_can_be_killed(launcher: Launcher, tmp_path: Path) -> None:
    # A FIFO that nobody writes: it runs until it is killed.
    pipe = tmp_path / "trail"
    os.mkfifo(pipe)
    process = _start(launcher, tmp_path / "log", "audit", "verify", str(pipe))

    assert process.poll() is None
    assert os.getsid(process.pid) == process.pid
    process.send_signal(signal.SIGKILL)
    assert process.wait(LIMIT.total_seconds()) == -signal.SIGKILL
    assert not runs(process.pid)
    process.send_signal(signal.SIGKILL)


def test_two_do_not_wait_for_each_other(launcher: Launcher, tmp_path: Path) -> None:
    pipe = tmp_path / "trail"
    os.mkfifo(pipe)
    stuck = _start(launcher, tmp_path / "stuck", "audit", "verify", str(pipe))

    assert _start(launcher, tmp_path / "log", "crds").wait(LIMIT.total_seconds()) == 0
    assert stuck.poll() is None
    stuck.send_signal(signal.SIGTERM)
    assert stuck.wait(LIMIT.total_seconds()) == -signal.SIGTERM


async def test_an_operator_with_another_source_is_not_forked(launcher: Launcher, tmp_path: Path) -> None:
    environment = {"RECONCILER_HTTP_HOST": "127.0.0.1", "RECONCILER_HTTP_PORT": "1", "PYTHONPATH": str(tmp_path)}
    (tmp_path / "devops_reconciler").mkdir()
    (tmp_path / "devops_reconciler" / "__init__.py").touch()
    (tmp_path / "devops_reconciler" / "__main__.py").write_text("print('another source')")
    operator = Operator(environment, tmp_path / "log", launcher=launcher)

    await operator.start()
    with pytest.raises(ProcessError, match="another source"):
        await operator.wait_ready(LIMIT)


def test_what_it_started_outlives_it_and_is_then_not_known_to_have_ended(tmp_path: Path) -> None:
    launcher = Launcher()
    launcher.start()
    pipe = tmp_path / "trail"
    os.mkfifo(pipe)
    process = _start(launcher, tmp_path / "log", "audit", "verify", str(pipe))
    launcher.stop()
    try:
        assert runs(process.pid)
        # Not at once: what was just forked has the launcher's end of the connection for a moment.
        with pytest.raises(ProcessError, match="the launcher ended before"):
            process.wait(LIMIT.total_seconds())
        with pytest.raises(ProcessError, match="no operator can be started"):
            _start(launcher, tmp_path / "log", "crds")
    finally:
        os.kill(process.pid, signal.SIGKILL)
