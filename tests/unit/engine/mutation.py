"""Tries each mutant in a process of its own: the quick tests of the engine, then the first states of the model.

    python -m tests.unit.engine.mutation [name...]

writes a verdict per line as JSON, first that on the engine as it is, which nothing may notice.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from .mutant import Mutant
from .mutants import MUTANTS

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent.parent
ENGINE = REPOSITORY / "src" / "devops_reconciler" / "engine"
PACKAGE = "devops_reconciler.engine"
QUICK = (
    "test_decide",
    "test_pipeline",
    "test_deadlines",
    "test_pipeline_drift",
    "test_lifecycle",
    "test_slow_answers",
    "test_memory",
    "test_versions",
    "test_ledger",
    "test_rules",
)
"""Tests that are quick; what takes long in them is left out by `LONG`."""
LONG = "not combination"
STATES = 1_000
"""Of each scenario of the model."""
PATIENCE = 120
"""Seconds of a mutant: some never end."""
AT_ONCE = 2


@dataclass(frozen=True)
class Verdict:
    """What came of one mutant. `caught` names what has noticed it; empty: nothing has."""

    mutant: str
    caught: str


def source(mutant: Mutant) -> str:
    """The module with the wrong in it. Raises LookupError where the text to be replaced is not there exactly once."""
    right = (ENGINE / f"{mutant.module}.py").read_text()
    if right.count(mutant.old) != 1:
        raise LookupError(f"{mutant.name}: {right.count(mutant.old)} times in {mutant.module}.py: {mutant.old!r}")
    return right.replace(mutant.old, mutant.new)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, mutant: Mutant) -> None:
        super().__init__(f"{PACKAGE}.{mutant.module}", str(ENGINE / f"{mutant.module}.py"))
        self._source = source(mutant)

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"{PACKAGE}.{mutant.module}"
        self._loader = _Loader(mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self._loader)


class _First:
    """Notes the first test that fails."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid.rpartition("/")[2]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.name:
            self.name = f"collecting {report.nodeid}"


def noticed(mutant: Mutant | None) -> str:
    """What notices it, in this process, where the engine was not imported yet."""
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    return _by_tests(mutant) or _by_the_model()


def _by_tests(mutant: Mutant | None) -> str:
    own = f"test_{mutant.module}" if mutant is not None else ""
    files = [str(HERE / f"{name}.py") for name in sorted(QUICK, key=lambda name: name != own)]
    options = ["-x", "-q", "--noconftest", "-p", "no:cacheprovider", "-k", LONG, f"--rootdir={REPOSITORY}"]
    first = _First()
    code = pytest.main([*options, *files], plugins=[first])
    return first.name or ("" if code == 0 else f"pytest ended with {code}")


def _by_the_model() -> str:
    from .model import explore
    from .model_scenarios import LARGE, SCENARIOS

    for scenario in (*SCENARIOS, *LARGE):
        try:
            explore(scenario, STATES)
        except Exception as error:  # noqa: BLE001 - whatever it is, it has been noticed
            return f"the model: {str(error).splitlines()[0]}"
    return ""


def _try(mutant: Mutant | None) -> tuple[int, int]:
    """A child process that tries it: its id, and where it writes its verdict."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(PATIENCE)
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
            caught = noticed(mutant)
        os.write(write, caught.encode()[:4000])
        os._exit(0)
    os.close(write)
    return child, read


def try_all(mutants: Sequence[Mutant | None]) -> Iterator[Verdict]:
    """A few at a time, in their order."""
    running: list[tuple[Mutant | None, int, int]] = []
    ahead = list(mutants)
    while ahead or running:
        while ahead and len(running) < AT_ONCE:
            mutant = ahead.pop(0)
            running.append((mutant, *_try(mutant)))
        mutant, child, read = running.pop(0)
        with os.fdopen(read, "rb") as pipe:
            caught = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            caught = f"ended by signal {os.WTERMSIG(status)}: it never ends"
        elif status:
            caught = f"ended with {status}"
        yield Verdict("" if mutant is None else mutant.name, caught)


def mutants(*names: str) -> list[Verdict]:
    """The verdicts on all mutants, or on those of these names; the first one is on the engine as it is."""
    command = [sys.executable, "-m", __name__, *names]
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]


def main(names: Sequence[str]) -> None:
    """What the engine stands on is imported once, before the first child."""
    import pydantic  # noqa: F401

    import devops_reconciler.api.errors
    import devops_reconciler.api.policies
    import devops_reconciler.runtime.clock  # noqa: F401

    if any(name.startswith(f"{PACKAGE}.") for name in sys.modules):
        raise RuntimeError("the engine is imported already, so that no mutant can take its place")
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    for verdict in try_all([None, *chosen]):
        sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
