"""No command shows a secret: not in what a service answers, not in an error, foreseen or not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from devops_reconciler import cli
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.cli.dead_letters import ERROR_WIDTH, listed, shown
from devops_reconciler.cli.doctor_finding import Examination, Finding
from devops_reconciler.cli.drain import speaker
from devops_reconciler.cli.hiding import hider
from devops_reconciler.cli.orphans import told
from devops_reconciler.cli.watch_view import JsonView
from devops_reconciler.kinds.orphans import Report
from devops_reconciler.runtime.secrets import basic

SECRET = "hunter2-pl@nted"
ENVIRON = {"RABBITMQ_USERNAME": "operator", "RABBITMQ_PASSWORD": SECRET}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def failing(error: Exception) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    return app


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    "error",
    [
        ExternalServiceError(f"RabbitMQ: PLAIN operator {SECRET} was refused", service="rabbitmq"),
        ValueError(f"cannot read amqp://operator:{SECRET}@host"),
    ],
    ids=["foreseen", "unforeseen"],
)
def test_the_error_that_ends_a_command_shows_none(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "app", failing(error))
    monkeypatch.setattr("sys.argv", ["devops-reconciler"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "****" in said
    assert SECRET not in said
    assert ("Traceback" in said) is isinstance(error, ValueError)


def test_secrets_of_files_and_logins_as_headers_have_them_are_hidden_whatever_else_is_set(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    hide = hider({**ENVIRON, "JENKINS_TOKEN_FILE": str(file), "RABBITMQ_PORT": "no number"})
    said = hide(f"{SECRET} from-a-file {basic('operator', SECRET)} no number operator")
    assert said == "**** **** **** no number operator"


def test_a_file_that_cannot_be_read_stops_no_command(tmp_path: Path) -> None:
    hide = hider({**ENVIRON, "JENKINS_TOKEN_FILE": str(tmp_path / "absent")})
    assert hide(SECRET) == "****"


async def test_the_doctor_shows_none_wherever_a_service_puts_it() -> None:
    async def look(finding: Finding) -> None:
        finding.address = f"https://x/{SECRET}"
        finding.version = finding.identity = SECRET
        finding.may.append(f"read {SECRET}")
        finding.notes.append(SECRET)
        finding.fail(f"may not {SECRET}", f"give {SECRET} more")

    finding = await Examination(Finding("argocd"), look).run(hider(ENVIRON))
    assert SECRET not in finding.line()
    assert SECRET not in json.dumps(finding.as_json())
    assert finding.problems == ["may not ****"]


async def test_what_was_not_foreseen_fails_one_finding_of_the_doctor_alone() -> None:
    async def look(finding: Finding) -> None:
        raise ValueError(f"not a version: {SECRET}")

    finding = await Examination(Finding("argocd"), look, endpoint="ARGOCD_ENDPOINT").run(hider(ENVIRON))
    assert (finding.ok, finding.problems) == (False, ["ValueError: not a version: ****"])


@pytest.mark.parametrize("as_json", [True, False])
def test_orphans_shows_none(as_json: bool) -> None:
    report = Report("team-a", failures={"jenkins": f"HTTP 500: {SECRET}"}, notes=[SECRET])
    said = told(report, hider(ENVIRON), as_json=as_json, everything=True)
    assert "HTTP 500: ****" in said
    assert SECRET not in said


class Letters:
    """A dead-letter queue with one letter, which tells the secret in its error and its body."""

    def summary(self, now: datetime) -> dict[str, Any]:
        row = dict.fromkeys(("message_id", "type", "routing_key", "reason"), "x")
        # So long that a cut would leave a part of the secret, were it cut before it is hidden.
        error = "e" * (ERROR_WIDTH - 8) + SECRET
        return {**row, "id": "1", "error": error, "sent_at": None, "dead_since": None, "age_seconds": 1, "size": 2}

    def whole(self, now: datetime) -> dict[str, Any]:
        return {**self.summary(now), "headers": {"x-error": SECRET}, "body": f'{{"password": "{SECRET}"}}'}


@pytest.mark.parametrize("as_json", [True, False])
def test_dead_letters_show_none(as_json: bool) -> None:
    now, letter, hide = datetime(2026, 1, 1, tzinfo=UTC), Letters(), hider(ENVIRON)
    for said in (
        listed([letter.summary(now)], hide, as_json=as_json),
        shown(letter.whole(now), hide, as_json=as_json),
    ):
        assert "****" in said
        assert "hunter2" not in said


@pytest.mark.usefixtures("planted")
def test_drain_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    speaker(hider(ENVIRON))(f"team-a/shop is left: HTTP 403: {SECRET}")
    assert capsys.readouterr().out == "team-a/shop is left: HTTP 403: ****\n"


def test_watch_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    JsonView(hider(ENVIRON)).show({"deployment": "shop-1", "message": f"build: {SECRET}", "terminal": False})
    assert json.loads(capsys.readouterr().out)["message"] == "build: ****"
