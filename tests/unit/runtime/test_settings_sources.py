"""Environment, named file, directory of files, default: in this order."""

import os
from pathlib import Path

from devops_reconciler.runtime.settings_sources import resolve

NAMES = ("JENKINS_TOKEN", "ARGOCD_TOKEN", "DOCKERHUB_TOKEN", "RECONCILER_SECRETS_DIR")


def test_the_first_source_wins(tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.write_text("from the named file\r\n")
    directory = tmp_path / "secrets"
    directory.mkdir()
    for name in NAMES:
        (directory / name).write_text(f"{name} from the directory\n")
    environ = {
        "JENKINS_TOKEN": "from the environment",
        "ARGOCD_TOKEN": "",
        "ARGOCD_TOKEN_FILE": str(named),
        "RECONCILER_SECRETS_DIR": str(directory),
    }
    found = resolve(environ, NAMES)
    assert found.problems == ()
    assert {name: (given.text, given.origin) for name, given in found.given.items()} == {
        "JENKINS_TOKEN": ("from the environment", "environment"),
        "ARGOCD_TOKEN": ("from the named file", str(named)),
        "DOCKERHUB_TOKEN": ("DOCKERHUB_TOKEN from the directory", str(directory / "DOCKERHUB_TOKEN")),
        "RECONCILER_SECRETS_DIR": (str(directory), "environment"),
    }


def test_what_nobody_gives_is_absent(tmp_path: Path) -> None:
    (tmp_path / "JENKINS_TOKEN").write_text("\n")
    found = resolve({"RECONCILER_SECRETS_DIR": str(tmp_path), "ARGOCD_TOKEN": ""}, ("JENKINS_TOKEN", "ARGOCD_TOKEN"))
    assert found.given == {}
    assert found.problems == ()


def test_every_unusable_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    environ = {
        "JENKINS_TOKEN_FILE": str(tmp_path / "absent"),
        "ARGOCD_TOKEN_FILE": str(tmp_path / "empty"),
        "DOCKERHUB_TOKEN_FILE": str(tmp_path / "binary"),
        "GODADDY_API_KEY_FILE": str(tmp_path),
        "RECONCILER_SECRETS_DIR": str(tmp_path / "no-directory"),
    }
    found = resolve(environ, (*NAMES, "GODADDY_API_KEY"))
    wrong = {problem.variable: problem.wrong for problem in found.problems}
    assert set(wrong) == {*NAMES, "GODADDY_API_KEY"}
    assert os.strerror(2) in wrong["JENKINS_TOKEN"]
    assert "is empty" in wrong["ARGOCD_TOKEN"]
    assert "UTF-8" in wrong["DOCKERHUB_TOKEN"]
    assert "is not a directory" in wrong["RECONCILER_SECRETS_DIR"]


def test_a_file_beside_a_value_is_warned_about() -> None:
    found = resolve({"JENKINS_TOKEN": "x", "JENKINS_TOKEN_FILE": "/nowhere"}, NAMES)
    assert found.warnings == ("JENKINS_TOKEN_FILE is not used, because JENKINS_TOKEN is set too",)
    assert found.problems == ()
