"""The command line: `devops-reconciler`."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ..api.errors import ReconcilerError
from ..api.plain_text import plain
from ..runtime.settings import ConfigurationError, load
from ..runtime.settings_reference import check_report, reference_markdown, show

app = typer.Typer(
    name="devops-reconciler",
    help="Turns a Git repository into a running, reachable application.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
config = typer.Typer(help="Check, show and explain the configuration.", no_args_is_help=True)
send = typer.Typer(help="Publish a message; prints its event id.", no_args_is_help=True)
app.add_typer(config, name="config")
dead_letters = typer.Typer(help="Look at refused messages, and publish them again.", no_args_is_help=True)
app.add_typer(send, name="send")
app.add_typer(dead_letters, name="dead-letters")

audit = typer.Typer(help="Verify the audit trail, and describe its lines.", no_args_is_help=True)
app.add_typer(audit, name="audit")

INVALID = 2
"""Exit code for a configuration or a call that cannot be used."""


def main() -> None:
    """Run a command. Errors that the user can mend are one line on stderr, never a traceback; none shows a secret."""
    try:
        app()
    except ConfigurationError as error:
        _fail(str(error), INVALID)
    except ReconcilerError as error:
        _fail(error.message, 1)
    except Exception as error:  # noqa: BLE001 - a fault of ours: the traceback is for the report
        _fail("".join(traceback.format_exception(error)).rstrip(), 1)


def _fail(text: str, code: int) -> None:
    from .hiding import hider

    for line in hider(os.environ)(text).split("\n"):
        sys.stderr.write(f"{plain(line)}\n")
    raise SystemExit(code)


def _print(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


@app.command()
def run() -> None:
    """Run the operator. The configuration comes from the environment alone."""
    from .run import run_operator

    settings = load(os.environ)
    raise SystemExit(run_operator(settings, dict(os.environ)))


@app.command()
def crds() -> None:
    """Print the custom resource definitions as YAML, for kubectl apply."""
    from ..api.crd import crds_yaml

    _print(crds_yaml())


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Log in to every service, and say a line of each: version, who we are, what we may do. Changes nothing."""
    from .doctor import examine_all

    raise SystemExit(examine_all(os.environ, _print, as_json=json))


@config.command("check")
def config_check() -> None:
    """Check the configuration; every problem at once, exit 2 if there is one."""
    code, text = check_report(os.environ)
    (sys.stderr if code else sys.stdout).write(text + "\n")
    raise SystemExit(code)


@config.command("show")
def config_show(json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Print the effective configuration and where each value comes from; secrets as ****."""
    _print(show(os.environ, json=json))


@config.command("reference")
def config_reference() -> None:
    """Print the reference of all variables as Markdown."""
    _print(reference_markdown())


@config.command("metrics")
def config_metrics() -> None:
    """Print the reference of all metrics as Markdown."""
    from ..runtime.metrics_reference import metrics_markdown

    _print(metrics_markdown())


FileOption = Annotated[Optional[Path], typer.Option("--file", help="The whole message as JSON; its event_id is kept.")]  # noqa: UP045
Text = Annotated[Optional[str], typer.Option()]  # noqa: UP045


@send.command("initialize")
def send_initialize(
    project: Annotated[Optional[str], typer.Argument(help="Name of the project.")] = None,  # noqa: UP045
    git_url: Text = None,
    host: Text = None,
    spec: Annotated[Optional[Path], typer.Option(help="File with the spec of the DevOpsProject, YAML or JSON.")] = None,  # noqa: UP045
    requested_by: Text = None,
    namespace: Text = None,
    file: FileOption = None,
) -> None:
    """Set a project up: DevOpsInitialize."""
    from .send import initialize

    _print(
        initialize(
            os.environ,
            project=project,
            git_url=git_url,
            host=host,
            spec=spec,
            namespace=namespace,
            file=file,
            requested_by=requested_by,
        )
    )


@send.command("reconcile")
def send_reconcile(
    project: Annotated[Optional[str], typer.Argument(help="Name of the project.")] = None,  # noqa: UP045
    action: Annotated[str, typer.Option(help="deploy, rollback, cancel, extend or delete.")] = "deploy",
    environment: Text = None,
    revision: Text = None,
    ttl: Text = None,
    to: Text = None,
    deployment: Text = None,
    concurrency_policy: Text = None,
    requested_by: Text = None,
    namespace: Text = None,
    file: FileOption = None,
) -> None:
    """Deploy, roll back, cancel, extend or delete: DevOpsReconcile."""
    from .send import reconcile

    payload: dict[str, Any] = {
        "environment": environment,
        "revision": revision,
        "ttl": ttl,
        "to": to,
        "deployment": deployment,
        "concurrency_policy": concurrency_policy,
        "requested_by": requested_by,
        "namespace": namespace,
    }
    _print(reconcile(os.environ, project, action, payload, file))


AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
OfReason = Annotated[Optional[str], typer.Option("--reason", help="Only those with this x-reason.")]  # noqa: UP045


@dead_letters.command("list")
def dead_letters_list(reason: OfReason = None, json: AsJson = False) -> None:
    """List the dead letters, the oldest first. They stay where they are."""
    from .dead_letters import list_letters

    list_letters(os.environ, _print, reason=reason, as_json=json)


@dead_letters.command("show")
def dead_letters_show(
    id: Annotated[str, typer.Argument(help="Its id in the list, or its message_id.")],
    json: AsJson = False,
    body: Annotated[bool, typer.Option("--body", help="Only the body, byte for byte.")] = False,
) -> None:
    """Show one dead letter whole: headers and body."""
    from .dead_letters import show_letter

    show_letter(os.environ, _print, id, as_json=json, only_body=body)


@dead_letters.command("replay")
def dead_letters_replay(
    ids: Annotated[Optional[list[str]], typer.Argument(help="Which ones: ids of the list, or message_ids.")] = None,  # noqa: UP045
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    reason: OfReason = None,
) -> None:
    """Publish dead letters again, byte for byte; each is removed once the broker has confirmed its copy."""
    from .dead_letters import replay_letters

    raise SystemExit(replay_letters(os.environ, _print, ids or (), every=every, reason=reason))


AuditFiles = Annotated[Optional[list[Path]], typer.Argument(help="Oldest first; default: RECONCILER_AUDIT_FILE.")]  # noqa: UP045


@audit.command("verify")
def audit_verify(
    files: AuditFiles = None,
    since: Annotated[Optional[str], typer.Option(help="Hash of the line before the first one, kept elsewhere.")] = None,  # noqa: UP045
    head: Annotated[Optional[str], typer.Option(help="Hash of the last line, as it stands in the log.")] = None,  # noqa: UP045
    json: AsJson = False,
) -> None:
    """Find lines that are missing or were changed; exit 1 if there are any."""
    from .audit import verified

    paths = files or [Path(found) for found in [os.environ.get("RECONCILER_AUDIT_FILE")] if found]
    if not paths:
        _fail("name the files of the trail, or set RECONCILER_AUDIT_FILE", INVALID)
    code, text = verified(paths, since=since, head=head, as_json=json)
    _print(text)
    raise SystemExit(code)


@audit.command("schema")
def audit_schema() -> None:
    """Print the JSON Schema of a line."""
    from .audit import schema_text

    _print(schema_text())


@app.command()
def watch(
    project: Annotated[Optional[str], typer.Argument(help="Only this project.")] = None,  # noqa: UP045
    deployment: Annotated[Optional[str], typer.Option(help="Only this deployment; ends with it.")] = None,  # noqa: UP045
    namespace: Text = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line per change.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Only print the JSON Schema of such a line.")] = False,
) -> None:
    """Show deployments live: a progress bar each, until they end."""
    from .watch import watch_deployments
    from .watch_line import schema_text

    if schema:
        _print(schema_text())
        return
    raise SystemExit(watch_deployments(os.environ, project, deployment, namespace, as_json=json))


@app.command()
def orphans(
    json: Annotated[bool, typer.Option("--json", help="The whole report as one JSON object.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what resources hold.")] = False,
) -> None:
    """List marked things that no resource of this cluster owns; exit 0: none, 1: some, 3: not all could be read."""
    from .orphans import list_orphans

    code, text = list_orphans(load(os.environ), os.environ, as_json=json, everything=everything)
    if text:
        _print(text)
    raise SystemExit(code)


@app.command()
def drain(
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete all resources through the operator, and wait.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking; needed without a terminal.")] = False,
    timeout: Annotated[str, typer.Option(help="How long --delete may take, for example 30m.")] = "15m",
) -> None:
    """Take the operator off this cluster: no finalizer stays; what runs outside keeps running, unless --delete."""
    from ..api.durations import parse_duration
    from .drain import drain as take_off

    try:
        within = parse_duration(timeout)
    except ValueError as error:
        _fail(f"--timeout: {error}", INVALID)
    raise SystemExit(take_off(os.environ, delete=delete, yes=yes, within=within))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the last chapter.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, last line.")] = False,
    real: Annotated[bool, typer.Option("--real", help="Play it against the real services.")] = False,
) -> None:
    """Play the whole story on this machine: a cluster, the services, the operator."""
    try:
        from testbed.demo import main as play
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("testbed"):
            raise
        _fail("the demo needs the project's checkout: clone the repository and run `make demo` there", INVALID)
    raise SystemExit(play(once=once, as_json=json, real=real))
