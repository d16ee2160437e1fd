"""What `docs/mission.md` says is where it says."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "mission.md"
PACKAGE = "src/devops_reconciler/"
ROWS = {"M1": 6, "M2": 4, "M3": 5, "M4": 7, "M5": 4}
NAMES = {
    *("EventType", "MessageListener", "HeartbeatSender", "ReconcilerManager", "ReconcilerErrorHandler"),
    *("ExternalServiceError", "ValidationError", "SecretNotFoundError", "ConfigurationValidator", "CircuitBreaker"),
    *("HealthChecker", "ResourceLifecycleManager", "cleanup_application_resources", "ArgoApplicationInfo"),
    *("on_devops_proj_created", "poll_project_config"),
}

DUTIES = {
    "ReconcilerManager": {"start", "stop"},
    "ReconcilerErrorHandler": {"handle_operation"},
    "CircuitBreaker": {"state", "call"},
    "HealthChecker": {"run_health_checks"},
    "ResourceLifecycleManager": {"create_resource", "cleanup_resource"},
}
"""What those who know these classes call."""


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is about, where that is, which tests hold it."""

    part: str
    where: str
    tests: str

    @property
    def missing(self) -> bool:
        return self.where.lower().startswith("not yet")

    @property
    def modules(self) -> list[Path]:
        return [ROOT / text.replace("…/", PACKAGE) for text in code(self.where) if "/" in text]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and not set(cells[0]) <= {"-"} and cells[1] != "where":
            found.append(Row(*cells))
    return found


def defined(module: Path) -> set[str]:
    """The classes and functions that a module defines at its top level."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(module.read_text()).body if isinstance(node, kinds)}


def methods(module: Path, name: str) -> set[str]:
    """What a class defines itself."""
    classes = [node for node in ast.parse(module.read_text()).body if isinstance(node, ast.ClassDef)]
    body = next(node.body for node in classes if node.name == name)
    return {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_each_row_and_each_name_is_there_once() -> None:
    numbers = [match[1] for row in rows() if (match := re.match(r"(M\d\.\d) ", row.part))]
    assert numbers == [f"{group}.{number}" for group, last in ROWS.items() for number in range(1, last + 1)]
    named = [name for row in rows() if row.part.startswith("`") for name in code(row.part)]
    assert sorted(named) == sorted(NAMES)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.part)
def test_each_module_and_each_test_exists(row: Row) -> None:
    tests = [ROOT / text for text in code(row.tests)]
    assert [str(path) for path in (*row.modules, *tests) if not path.exists()] == []


@pytest.mark.parametrize("row", [row for row in rows() if not row.missing], ids=lambda row: row.part)
def test_what_is_there_has_a_place_and_a_test(row: Row) -> None:
    assert row.modules or "](" in row.where
    assert code(row.tests)


@pytest.mark.parametrize("row", [row for row in rows() if row.part.startswith("`")], ids=lambda row: row.part)
def test_each_name_is_defined_where_the_page_says(row: Row) -> None:
    here = set().union(*(defined(module) for module in row.modules))
    there = set().union(*(defined(path) for path in (ROOT / PACKAGE).rglob("*.py")))
    for name in code(row.part):
        assert name not in there if row.missing else name in here


@pytest.mark.parametrize("name", DUTIES)
def test_each_class_does_what_it_is_known_for(name: str) -> None:
    (module,) = [row.modules[0] for row in rows() if code(row.part) == [name]]
    assert methods(module, name) >= DUTIES[name]
