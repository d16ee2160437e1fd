"""Logs: one line per event on stderr, JSON or for the console, in the same form for us and for the libraries.

Secrets are replaced by `****` in all that is told, whoever wrote it: message, field or traceback. Not in the finished
line: a secret may be `", "` or the name of a field, and the line must stay one that can be read.
"""

import base64
import json
import logging
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TextIO
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .tracing import log_fields

HIDDEN = "****"
_SHORTEST_SECRET = 4
"""Shorter texts are not searched for: they stand in ordinary words."""
_OURS = frozenset({"level", "logger", "timestamp"})
"""Fields whose values are ours alone."""
AUDIT = "devops_reconciler.audit"
"""The logger whose lines are the audit trail: only the operator's own secrets are taken out of them."""
_SECRET_KEYS = frozenset({"authorization", "password", "token", "secret", "cookie", "api_key", "api_secret"})
_NOISY = dict.fromkeys(("aiohttp.access", "asyncio", "aiormq", "urllib3"), logging.WARNING)


class Redactor:
    """Replaces secrets in a text. `secrets` is asked for each text, so that rotated ones are known."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets
        self._known: frozenset[str] = frozenset()
        self._forms_by_secret: dict[str, frozenset[str]] = {}
        """Of those that are known: they come and go one by one, and each has many forms."""
        self._forms: tuple[str, ...] = ()
        """The longest stands first."""

    def __call__(self, text: str) -> str:
        forms = self._current_forms()
        # A longer one is not in it, and will not be: what stands for a secret is never longer than that.
        for form in forms[bisect_left(forms, -len(text), key=_by_length) :]:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text

    def _current_forms(self) -> tuple[str, ...]:
        known = frozenset(self._secrets())
        if known is not self._known and known != self._known:
            before, searched = self._forms_by_secret, (each for each in known if len(each) >= _SHORTEST_SECRET)
            forms = {each: before.get(each) or _forms_of(each) for each in searched}
            self._forms = tuple(sorted(frozenset[str]().union(*forms.values()), key=_by_length))
            self._forms_by_secret, self._known = forms, known
        return self._forms


def _by_length(form: str) -> int:
    return -len(form)


def _forms_of(secret: str) -> frozenset[str]:
    """A secret as it may stand in a line: plain, in a URL, in base64; each of these quoted once or twice."""
    plain = {secret, quote(secret, safe=""), quote(secret), base64.b64encode(secret.encode()).decode()}
    once = {quoted for text in plain for quoted in _quoted(text)}
    return frozenset(plain | once | {quoted for text in once for quoted in _quoted(text)})


def _quoted(text: str) -> set[str]:
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger with structured fields: `log.info("Sentence", field=value)`. Works on the standard library's loggers."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_common_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger


def configure(
    log_format: Literal["json", "console"],
    *,
    debug: bool = False,
    hide: Callable[[str], str] = str,
    hide_own: Callable[[str], str] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send all logs of the process to `stream` (stderr) in one form. To be called after Kopf set its own handler up.

    `hide` takes the secrets out of each text (`Secrets.hide`), `hide_own` those that are taken out of the audit trail.
    """
    handler = _OurHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(log_format, hide, hide_own or hide))
    root = logging.getLogger()
    for other in [other for other in root.handlers if _is_plain_stream(other)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name, level in _NOISY.items():
        logging.getLogger(name).setLevel(level)
    # Kopf silences this one, but "Task exception was never retrieved" must be seen.
    logging.getLogger("asyncio").propagate = True


class _OurHandler(logging.StreamHandler[TextIO]):
    pass


def _is_plain_stream(handler: logging.Handler) -> bool:
    """Handlers that would print a line a second time, perhaps with secrets: Kopf's, the default one, our last one."""
    return isinstance(handler, _OurHandler) or type(handler).__name__ in {"StreamHandler", "_KopfStreamHandler"}


def _formatter(
    log_format: Literal["json", "console"], hide: Callable[[str], str], hide_own: Callable[[str], str]
) -> logging.Formatter:
    def redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        redact = hide_own if event.get("logger") == AUDIT else hide
        return {key: value if key in _OURS else _without_secrets(value, redact) for key, value in event.items()}

    chain: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _hide_secret_keys,
        structlog.processors.format_exc_info,
        redacted,
    ]
    if log_format == "json":
        chain.append(structlog.processors.JSONRenderer(default=str))
    else:
        chain.append(structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback))
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_common_processors(), _object_of_kopf], processors=chain
    )


def _without_secrets(value: Any, hide: Callable[[str], str]) -> Any:
    """The value of a field, with secrets hidden in each text of it. What is neither a text nor a number becomes one."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _without_secrets(each, hide) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_without_secrets(each, hide) for each in value]
    return hide(str(value))


def _common_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _span_of_the_moment,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _span_of_the_moment(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.update(log_fields())
    return event


def _object_of_kopf(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Kopf hangs the object it works on to its records: it becomes the same field that our own lines have."""
    reference = getattr(event.get("_record"), "k8s_ref", None)
    if reference:
        event["object"] = {key: reference.get(key) for key in ("kind", "namespace", "name", "uid")}
    return event


def _hide_secret_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if key.lower() in _SECRET_KEYS:
            event[key] = HIDDEN
    return event
