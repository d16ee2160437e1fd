"""One form for all lines, and no secret in any of them."""

import base64
import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from devops_reconciler.runtime import logs
from devops_reconciler.runtime.tracing import Kind, Origin, begin
from tests.unit.traces import traces_kept

SECRET = 'pl@nted/"secret"\\ é'


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream in the place of stderr; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_have_one_form(stream: io.StringIO) -> None:
    logs.configure("json", stream=stream)
    logs.get_logger("devops_reconciler.x").info("A build began", number=7)
    logging.getLogger("aio_pika").warning("connection %s", "lost")
    ours, theirs = lines(stream)
    assert (ours["event"], ours["number"], ours["level"], ours["logger"]) == (
        "A build began",
        7,
        "info",
        "devops_reconciler.x",
    )
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("connection lost", "warning", "aio_pika")
    assert ours["timestamp"].endswith("Z")
    assert set(theirs) == {"event", "level", "logger", "timestamp"}


def test_the_object_of_kopf_and_bound_fields_are_in_the_line(stream: io.StringIO) -> None:
    logs.configure("json", stream=stream)
    reference = {"apiVersion": "v", "kind": "DevOpsProject", "namespace": "n", "name": "shop", "uid": "u"}
    with structlog.contextvars.bound_contextvars(trace_id="abc"):
        logging.getLogger("kopf.objects").info("Creation is processed", extra={"k8s_ref": reference})
    [line] = lines(stream)
    assert line["object"] == {"kind": "DevOpsProject", "namespace": "n", "name": "shop", "uid": "u"}
    assert line["trace_id"] == "abc"


def test_a_line_says_the_span_that_is_active(stream: io.StringIO) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with traces_kept():
        logs.configure("json", stream=stream)
        with begin("take", Kind.CONSUMER, {}, Origin(f"00-{trace}-b7ad6b7169203331-01")):
            logs.get_logger("devops_reconciler.x").info("inside")
            logging.getLogger("aio_pika").warning("inside too")
        logs.get_logger("devops_reconciler.x").info("outside")
    ours, theirs, outside = lines(stream)
    assert ours["trace_id"] == theirs["trace_id"] == trace
    assert ours["span_id"] == theirs["span_id"] != "b7ad6b7169203331"
    assert "trace_id" not in outside


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_secret_is_hidden_wherever_it_stands(log_format: Any, stream: io.StringIO) -> None:
    logs.configure(log_format, hide=logs.Redactor(lambda: [SECRET]), stream=stream)
    log = logs.get_logger("x")
    log.info(f"message {SECRET}", field=SECRET, nested={"list": [SECRET]}, url=f"http://h/{quote(SECRET, safe='')}")
    log.info("encoded", basic=base64.b64encode(SECRET.encode()).decode(), password="another")
    logging.getLogger("aiohttp").warning("argument %r", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed")
        logging.getLogger("kopf").exception("failed")
    text = stream.getvalue()
    assert text.count(logs.HIDDEN) >= 8
    for form in ("pl@nted", "pl%40nted", "another", base64.b64encode(SECRET.encode()).decode()):
        assert form not in text
    assert "ValueError" in text


@pytest.mark.parametrize("secret", ['", "', '": "', "{", "event", "level", "info", "error", "project", "logger"])
def test_no_secret_takes_a_line_or_its_fields_apart(secret: str, stream: io.StringIO) -> None:
    logs.configure("json", hide=logs.Redactor(lambda: {secret, "other-secret"}), stream=stream)
    logs.get_logger("x").error(
        "Message refused", project=f"a {secret}", reason="InvalidSpec", nested={"event": [secret]}
    )
    [line] = lines(stream)
    assert set(line) == {"event", "level", "logger", "timestamp", "project", "reason", "nested"}
    assert (line["level"], line["logger"]) == ("error", "x")
    if len(secret) >= 4:
        assert (line["project"], line["nested"]) == ("a ****", {"event": ["****"]})


def test_nor_a_line_for_the_console(stream: io.StringIO) -> None:
    logs.configure("console", hide=logs.Redactor(lambda: {"project=", "level"}), stream=stream)
    logs.get_logger("x").error("Message refused", project="shop", level_of="level")
    assert "project=shop" in stream.getvalue()
    assert "level_of=****" in stream.getvalue()


def test_from_the_audit_trail_only_the_operators_own_secrets_are_taken(stream: io.StringIO) -> None:
    hide, hide_own = logs.Redactor(lambda: {"shop", "own-secret"}), logs.Redactor(lambda: {"own-secret"})
    logs.configure("json", hide=hide, hide_own=hide_own, stream=stream)
    for name in ("devops_reconciler.audit", "x"):
        logs.get_logger(name).info("an external change", target="jenkins.test/job/shop", asked_by="own-secret")
    assert [(line["target"], line["asked_by"]) for line in lines(stream)] == [
        ("jenkins.test/job/shop", "****"),
        ("jenkins.test/job/****", "****"),
    ]


def test_a_rotated_secret_is_hidden_too() -> None:
    known = ["first-secret"]
    redact = logs.Redactor(lambda: known)
    assert redact("first-secret second-secret") == "**** second-secret"
    known.append("second-secret")
    assert redact("first-secret second-secret") == "**** ****"


def test_a_longer_secret_is_hidden_as_a_whole() -> None:
    assert logs.Redactor(lambda: ["abcd", "abcdefgh", "x"])("abcdefgh abcd x") == "**** **** x"


def test_a_secret_is_made_into_its_forms_once_for_as_long_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    forms_of = logs._forms_of
    monkeypatch.setattr(logs, "_forms_of", lambda secret: made.append(secret) or forms_of(secret))
    known = [f"secret-{number}" for number in range(100)]
    redact = logs.Redactor(lambda: known)
    assert redact("secret-7 then") == "**** then"
    assert sorted(made) == sorted(known)
    made.clear()
    known[0] = "another-secret"
    assert redact("secret-0 another-secret") == "secret-0 ****"
    assert made == ["another-secret"]
    known[0] = "secret-0"
    assert redact("secret-0 another-secret") == "**** another-secret"
    assert made == ["another-secret", "secret-0"], "of what is no longer known nothing is kept"


class Looked(str):
    """A text that notes what is looked for in it."""

    __slots__ = ("looks",)
    looks: list[str]

    def __contains__(self, part: object) -> bool:
        self.looks.append(str(part))
        return super().__contains__(part)  # type: ignore[operator]


def test_no_text_is_searched_for_what_is_longer() -> None:
    redact = logs.Redactor(lambda: ["short", "a secret that is longer"])
    for text, most in (("", 0), ("shor", 4), ("a short", 7)):
        looked = Looked(text)
        looked.looks = []
        assert redact(looked) == text.replace("short", "****")
        assert ("short" in looked.looks) == (len(text) >= 5)
        assert all(len(form) <= most for form in looked.looks)


def test_debug_lines_only_when_asked_for(stream: io.StringIO) -> None:
    log = logs.get_logger("quiet")
    logs.configure("console", stream=stream)
    log.debug("unseen")
    logs.configure("console", debug=True, stream=stream)
    log.debug("seen")
    assert "unseen" not in stream.getvalue()
    assert stream.getvalue().count("seen") == 1


def test_lost_errors_of_tasks_are_logged(stream: io.StringIO) -> None:
    logging.getLogger("asyncio").propagate = False
    logs.configure("json", stream=stream)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert [line["logger"] for line in lines(stream)] == ["asyncio"]
