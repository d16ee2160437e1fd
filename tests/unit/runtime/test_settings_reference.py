"""What the `config` commands print."""

import json
from pathlib import Path

import pytest

from devops_reconciler.runtime.settings import GROUPS, ConfigurationError, Settings, documentation, is_secret
from devops_reconciler.runtime.settings_reference import check_report, reference_markdown, show

REPOSITORY = Path(__file__).parents[3]
BASE = {
    "RABBITMQ_HOST": "rabbitmq",
    "RABBITMQ_PORT": "5672",
    "JENKINS_ENDPOINT": "http://jenkins",
    "ARGOCD_ENDPOINT": "http://argocd",
    "ARGOCD_TOKEN": "argo-hunter22",
    "DEFAULT_GIT_USERNAME": "git",
}
SECRETS = {name.upper() for name in Settings.model_fields if is_secret(Settings, name)}


def test_the_groups_hold_every_variable_once() -> None:
    names = [name for group in GROUPS for name in group.model_fields]
    assert sorted(names) == sorted(Settings.model_fields)
    assert len(names) >= 60


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_variable_is_documented(name: str) -> None:
    doc, unit = documentation(Settings, name)
    assert doc.sentence.endswith(".")
    assert doc.example
    assert unit
    assert f"| `{name.upper()}` | {doc.sentence} |" in reference_markdown()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_example_and_every_default_is_valid(name: str) -> None:
    doc, _ = documentation(Settings, name)
    field = Settings.model_fields[name]
    required = {key.lower(): value for key, value in BASE.items()}
    settings = Settings.model_validate(required | {name: doc.example})
    if not field.is_required() and field.default is not None and not is_secret(Settings, name):
        assert getattr(Settings.model_validate(required), name) is not None
        assert getattr(settings, name) != field.default, "an example should differ from the default"


def test_the_committed_reference_is_fresh() -> None:
    committed = REPOSITORY / "docs" / "reference" / "configuration.md"
    assert committed.read_text() == reference_markdown(), (
        "run: devops-reconciler config reference > docs/reference/configuration.md"
    )


def test_secrets_are_those_that_are_named_so() -> None:
    endings = ("_TOKEN", "_PASSWORD", "_API_KEY", "_API_SECRET", "_HEADERS")
    assert {name.upper() for name in Settings.model_fields if name.upper().endswith(endings)} == SECRETS


def test_the_report_of_a_check() -> None:
    assert check_report(BASE) == (0, "The configuration is good.")
    code, text = check_report(BASE | {"RABBITMQ_PORT": "x", "JENKINS_TOKN": "y"})
    assert code == 2
    assert "RABBITMQ_PORT: 'x' is not a whole number; expected: port, 1 to 65535, for example" in text
    assert "warning: JENKINS_TOKN is not a variable" in text


def test_show_tells_value_and_origin(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("git-hunter22\n")
    environ = BASE | {"DEFAULT_GIT_TOKEN_FILE": str(token), "POLL_INTERVAL": "600"}
    variables = json.loads(show(environ, json=True))["variables"]
    assert variables["POLL_INTERVAL"] == {"value": "10m", "origin": "environment"}
    assert variables["DEFAULT_GIT_TOKEN"] == {"value": "****", "origin": f"file {token}"}
    assert variables["SYNC_TIMEOUT"] == {"value": "15m", "origin": "default"}
    assert variables["OPERATOR_NAMESPACE"] == {"value": "freeleaps-devops-system", "origin": "default"}
    assert len(variables) == len(Settings.model_fields)
    line = next(line for line in show(environ).splitlines() if line.startswith("POLL_INTERVAL="))
    assert line.split("#") == [line.split("#")[0], " environment"]
    assert line.startswith("POLL_INTERVAL=10m ")


def test_show_tells_a_value_from_the_directory_apart_from_one_of_a_named_file(tmp_path: Path) -> None:
    (tmp_path / "JENKINS_USERNAME").write_text("someone\n")
    (tmp_path / "JENKINS_TOKEN").write_text("hunter22\n")
    variables = json.loads(show(BASE | {"RECONCILER_SECRETS_DIR": str(tmp_path)}, json=True))["variables"]
    assert variables["JENKINS_TOKEN"] == {"value": "****", "origin": f"directory {tmp_path / 'JENKINS_TOKEN'}"}


def test_no_secret_is_ever_printed() -> None:
    logins = {name.replace("_TOKEN", "_USERNAME").replace("_PASSWORD", "_USERNAME"): "someone" for name in SECRETS}
    environ = logins | BASE | {name: f"planted-{name}" for name in SECRETS}
    environ["GODADDY_API_KEY"] = "planted-key"
    environ = {name: value for name, value in environ.items() if name.lower() in Settings.model_fields}
    for text in (
        show(environ),
        show(environ, json=True),
        check_report(environ)[1],
        check_report(environ | {"RABBITMQ_PORT": "x"})[1],
    ):
        assert "planted-" not in text
    assert "guest" not in show(BASE).replace("RABBITMQ_USERNAME=guest", "")


def test_show_refuses_what_cannot_be_used() -> None:
    with pytest.raises(ConfigurationError, match="JENKINS_ENDPOINT"):
        show(BASE | {"JENKINS_ENDPOINT": "x"})
