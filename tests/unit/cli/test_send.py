"""`send`: what cannot be sent is one sentence, before anything is connected."""

from __future__ import annotations

from pathlib import Path

import pytest

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.cli.send import _spec, initialize, reconcile
from devops_reconciler.runtime.settings import ConfigurationError

NOTHING: dict[str, str] = {}


def start(project: str | None = "shop", spec: Path | None = None, file: Path | None = None) -> str:
    return initialize(NOTHING, project=project, git_url=None, host=None, spec=spec, namespace=None, file=file)


def test_a_message_needs_a_project_or_a_file() -> None:
    with pytest.raises(ValidationError, match="--file"):
        start(project=None)
    with pytest.raises(ValidationError, match="--file"):
        reconcile(NOTHING, None, "deploy", {}, None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(ValidationError, match="cannot be read"):
            start(spec=path)
        with pytest.raises(ValidationError, match="cannot be read"):
            start(file=path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("git: [", "neither YAML nor JSON"),
        ("\x00", "neither YAML nor JSON"),
        ("day: 2024-99-99", "neither YAML nor JSON"),
        ("just text", "the file is no mapping"),
        ("[1, 2]", "the file is no mapping"),
        ("git: text", "git is no mapping"),
        ("ingress: [1]", "ingress is no mapping"),
        ("jenkins: {parameters: {day: 2026-11-30}}", "jenkins.parameters.day is a date, .* write it in quotes"),
        ("jenkins: {parameters: {2026-11-30: day}}", "the key jenkins.parameters.2026-11-30 is a date, .* in quotes"),
        ("git: {branch: main, refs: [a, 2026-11-30T08:00:00Z]}", "git.refs.1 is a datetime, .* write it in quotes"),
        ("jenkins: {timeout: .nan}", "cannot be written as JSON"),
        ("jenkins: &all {again: *all}", "cannot be written as JSON: Circular"),
    ],
)
def test_a_spec_that_is_none_is_refused_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(ValidationError, match=says) as caught:
        start(spec=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "{}",
        "git:",
        "jenkins: {parameters: {1: 2.5, yes: null}}",
        '{"git": {"url": "https://x/y.git"}}',
    ],
)
def test_an_empty_spec_and_json_are_as_good(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    assert isinstance(_spec(path), dict)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValidationError, match="explode"):
        reconcile(NOTHING, "shop", "explode", {}, None)


def test_a_missing_configuration_names_its_variables() -> None:
    with pytest.raises(ConfigurationError, match="RABBITMQ_HOST"):
        reconcile(NOTHING, "shop", "deploy", {}, None)
