"""No `except` swallows: what is caught is raised again, told, or turned into a value; the few others say why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "src" / "devops_reconciler").rglob("*.py"))

SILENT_ON_PURPOSE: dict[tuple[str, str], str] = {
    ("cli/doctor_finding.py", "Examination.run"): "is the finding itself: not done within the limit",
    ("cli/doctor_finding.py", "note_clock"): "a time that cannot be read becomes a note of the finding",
    ("cli/doctor_vendors.py", "Vendors._read"): "is the finding itself: this login may not read",
    ("cli/watch.py", "watch_deployments"): "Ctrl-C is how a user ends it; the exit code says so",
    ("engine/pipeline.py", "Pipeline._announce"): "the step says it itself when its turn comes",
    ("host/errors.py", "ReconcilerErrorHandler.handle_operation"): "a lost save is counted and tried again at once",
    ("kinds/deployment_cleanup.py", "DeploymentCleanUp._policies"): "each entry has its own policies then",
    ("kinds/deployment_end.py", "DeploymentEnd.expiry"): "the record says InvalidSpec, and has no end until then",
    ("kinds/former_hosts.py", "_is_anothers"): "the removal of the record tells it",
    (
        "kinds/project_reconcile.py",
        "ProjectReconciliation._pass_policies_on",
    ): "the children keep the policies that they have",
    ("kinds/reconcile.py", "Reconciliation.removal_policies"): "each entry of the ledger has its own policies then",
    ("messages/cluster.py", "time_of"): "a text that is no time is no time",
    ("messages/decoding.py", "_table"): "what others have put there and nobody can read is left out, as documented",
    ("messages/decoding.py", "_time"): "a time that no datetime can hold is left out, as documented",
    ("messages/deletions.py", "Deletions._take"): "another object has the name by now: ours is gone, as wanted",
    ("messages/letter.py", "_event_type"): "a body that cannot be read as JSON, however deep, has no type",
    (
        "messages/publisher.py",
        "Publisher._is_blocked",
    ): "whether the broker answers is the question; this answers it",
    ("resources/jenkins_build.py", "JenkinsBuild._tail"): "the failed build is told all the same, without its log",
    ("runtime/audit_file.py", "read_head"): "where there is no head yet, there is none",
    ("runtime/audit_file.py", "_is_at"): "a file that was moved away is not the one that is open",
    ("runtime/settings_sources.py", "files_of_directory"): "is reported as a problem of the directory",
    ("runtime/secrets.py", "_signature"): "a file that is not there is what its caller looks for, and logs",
    ("services/dns.py", "Nameservers._addresses_of_configured"): "becomes the answer that the server has no address",
    ("services/dns.py", "Nameservers._reply"): "becomes the error of that server's answer",
    (
        "services/dns.py",
        "_addresses",
    ): "a name may have one family only; that it has none at all, the caller tells",
    ("services/dns.py", "_joined"): "text that is not in quotes is taken as it is",
    ("services/addresses.py", "literal"): "a text that is no address in this notation may be one in another, or a name",
    ("inputs/push_check.py", "check_push"): "that the registry cannot be asked, the steps that need it tell",
    ("services/jenkins.py", "Jenkins._executors"): "the build is looked for in its job, where a refusal shows",
    ("services/kubernetes_access.py", "AccessToken._read"): "the last token stays in force; the API server tells",
}
"""(file, function): why nobody has to hear of the error."""

ABOUT_VALUES = {"ValueError", "TypeError", "KeyError", "LookupError", "IndexError", "binascii.Error", "NotYet"}
LOGS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


class Caught:
    """One `except` clause and where it stands."""

    def __init__(self, path: str, function: str, clause: ast.ExceptHandler) -> None:
        self.path, self.function, self.clause = path, function, clause

    def __str__(self) -> str:
        kind = ast.unparse(self.clause.type) if self.clause.type is not None else "everything"
        return f"{self.path}:{self.clause.lineno} in {self.function}: except {kind}"

    @property
    def place(self) -> tuple[str, str]:
        return (self.path, self.function)

    @property
    def is_heard(self) -> bool:
        """It raises, ends the program, uses the error, logs, or gives another value than it would without the error."""
        inside = [node for statement in self.clause.body for node in ast.walk(statement)]
        if any(isinstance(node, ast.Raise) for node in inside):
            return True
        if any(isinstance(node, ast.Name) and node.id == self.clause.name for node in inside):
            return True
        if any(_is_log(node) for node in inside):
            return True
        last = self.clause.body[-1]
        answers = (isinstance(last, ast.Return) and last.value is not None) or isinstance(last, ast.Assign)
        return answers and self._is_about_values

    @property
    def _is_about_values(self) -> bool:
        """What says that a text is no number or a name no key: an answer, not a failure."""
        kinds = self.clause.type.elts if isinstance(self.clause.type, ast.Tuple) else [self.clause.type]
        return all(kind is not None and ast.unparse(kind) in ABOUT_VALUES for kind in kinds)


def _is_log(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOGS


def clauses(path: Path) -> Iterator[Caught]:
    name = path.relative_to(ROOT / "src" / "devops_reconciler").as_posix()

    def walk(node: ast.AST, function: str) -> Iterator[Caught]:
        for child in ast.iter_child_nodes(node):
            within = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                within = f"{function}.{child.name}".lstrip(".")
            if isinstance(child, ast.ExceptHandler):
                yield Caught(name, function, child)
            yield from walk(child, within)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def every() -> list[Caught]:
    return [caught for path in SOURCES for caught in clauses(path)]


def test_no_error_is_swallowed() -> None:
    silent = [str(caught) for caught in every() if not caught.is_heard and caught.place not in SILENT_ON_PURPOSE]
    assert silent == []


def test_the_list_of_exceptions_names_nothing_that_is_not_there() -> None:
    places = {caught.place for caught in every() if not caught.is_heard}
    assert set(SILENT_ON_PURPOSE) - places == set()
    assert all(reason for reason in SILENT_ON_PURPOSE.values())


def test_nothing_is_suppressed_but_what_a_reader_would_expect() -> None:
    """`contextlib.suppress` is an `except: pass` by another name."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                found.add((path.relative_to(ROOT / "src" / "devops_reconciler").as_posix(), ast.unparse(node)))
    assert found <= SUPPRESSED.keys(), found - SUPPRESSED.keys()
    assert found == SUPPRESSED.keys()


SUPPRESSED = {
    ("cli/run.py", "contextlib.suppress(NotImplementedError)"): "an event loop without signals",
    ("services/git_process.py", "suppress(FileNotFoundError)"): "a file that git has taken away again needs no room",
    ("services/git_process.py", "suppress(ProcessLookupError)"): "the process to be ended has ended",
    ("services/git_process.py", "suppress(ChildProcessError)"): "the process to be waited for was waited for",
}


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ("except ValueError:\n    pass", False),
        ("except ValueError:\n    x = 1", True),
        ("except (ValueError, OSError):\n    x = 1", False),
        ("except OSError:\n    return None", False),
        ("except Exception:\n    return 1", False),
        ("except ValueError:\n    return None", True),
        ("except ValueError:\n    return", False),
        ("except:\n    raise", True),
        ("except OSError as error:\n    x = str(error)", True),
        ("except OSError as error:\n    pass", False),
        ("except OSError:\n    log.warning('x')", True),
        ("except OSError:\n    if x:\n        raise\n    return None", True),
    ],
)
def test_what_counts_as_heard(body: str, heard: bool) -> None:
    tree = ast.parse("def f():\n    try:\n        g()\n" + "\n".join(f"    {line}" for line in body.splitlines()))
    clause = next(node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))
    assert Caught("x", "f", clause).is_heard is heard
