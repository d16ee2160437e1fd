"""The value types of the configuration: each parses one textual form and says what it expects.

A parser raises `ValueError` with a sentence for people. It quotes what was written only through `shown`, which hides
everything that could hold a password.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from .settings_lists import AllowList, GitHost

M = TypeVar("M")

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_HOST_LABEL = r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?", re.IGNORECASE)
_SERVICE_LINK = re.compile(r"tcp://[^/]+:[0-9]+")


@dataclass(frozen=True, slots=True)
class Doc:
    """What the reference says about a variable: metadata of the field's annotation."""

    sentence: str
    example: str
    default: str | None = None
    """The default in words, where it is computed or where absence means something."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit or form that a type's text has."""

    text: str


def find_metadata(annotation: object, kind: type[M]) -> M | None:
    """The first metadata entry of this kind, also inside `X | None`."""
    for entry in getattr(annotation, "__metadata__", ()):
        if isinstance(entry, kind):
            return entry
    for inner in get_args(annotation):
        found = find_metadata(inner, kind)
        if found is not None:
            return found
    return None


def shown(text: str) -> str:
    """The text in quotes, shortened; hidden where it could hold a password."""
    if "@" in text:
        return "the value (not shown: it may hold a password)"
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}…'"


def parse_duration(value: object) -> object:
    """A duration from seconds (`90`, `0.5`) or a text with units (`90s`, `15m`, `1h30m`)."""
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    try:
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            return timedelta(seconds=float(text))
        parts = _DURATION_PART.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError(f"{shown(text)} is longer than any clock counts") from None
    raise ValueError(f"{shown(text)} is not a duration")


def format_duration(value: timedelta) -> str:
    """The duration in the largest unit that holds it whole: `90s`, `15m`, `24h`, `500ms`."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def display(value: object) -> str:
    """A value as one would write it into the environment; a secret as `****`; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "****"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def _between(low: Any, high: Any, text: Callable[[Any], str]) -> AfterValidator:
    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise ValueError(f"{text(value)} is outside {text(low)} to {text(high)}")
        return value

    return AfterValidator(check)


def _parse_integer(value: object) -> object:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError(f"{shown(text)} is not a whole number")
    return int(text)


def _parse_port(value: object) -> object:
    text = str(value).strip()
    if _SERVICE_LINK.fullmatch(text):
        raise ValueError(
            f"{shown(text)} is what Kubernetes sets for a Service of this name (a service link), not a port; "
            "set enableServiceLinks: false in the pod, or set the variable"
        )
    return _parse_integer(value)


def _parse_flag(value: object) -> object:
    text = str(value).strip().lower()
    if text in {"true", "1", "yes", "on"}:
        return True
    if text in {"false", "0", "no", "off"}:
        return False
    raise ValueError(f"{shown(text)} is neither true nor false")


def _parse_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


def check_host(text: str) -> str:
    """A DNS name or an IP address (IPv6 without brackets)."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if len(text) > 253 or not _HOST_NAME.fullmatch(text):
            raise ValueError(f"{shown(text)} is neither a host name nor an IP address") from None
    return text.lower().rstrip(".")


def check_url(text: str) -> str:
    """An http or https URL without user, query and fragment; a slash at the end is dropped."""
    try:
        url = urlsplit(text.strip())
        port = url.port
    except ValueError:
        raise ValueError(f"{shown(text)} is not a URL") from None
    problem = _url_problem(url)
    if problem:
        raise ValueError(f"{shown(text)} {problem}")
    if port == 0:
        raise ValueError(f"{shown(text)} has port 0")
    check_host(url.hostname or "")
    return text.strip().rstrip("/")


def _url_problem(url: SplitResult) -> str | None:
    if url.scheme not in {"http", "https"} or not url.netloc:
        return "is not an http or https URL"
    if "@" in url.netloc:
        return "has a user or password in the URL"
    if url.query or url.fragment:
        return "has a query or a fragment"
    if re.search(r"\s", url.geturl()):
        return "has white space in it"
    return None if url.hostname else "has no host"


def check_namespace(text: str) -> str:
    """A Kubernetes namespace (RFC 1123 label)."""
    if not _NAMESPACE.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a namespace name (small letters, digits and dashes, at most 63)")
    return text


def _check_namespaces(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("is an empty list")
    return tuple(dict.fromkeys(check_namespace(name) for name in names))


def check_resolver(text: str) -> str:
    """`host`, `host:port` or `[IPv6]:port`, written out with its port (53 where none is given)."""
    try:
        url = urlsplit(f"//{text}")
        host, port = check_host(url.hostname or ""), url.port or 53
    except ValueError:
        raise ValueError(f"{shown(text)} is not host:port") from None
    if url.path or "@" in text:
        raise ValueError(f"{shown(text)} is not host:port")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_txt_affix(text: str) -> str:
    if not re.fullmatch(r"(?:[-a-z0-9_.]|%\{record_type\})*", text):
        raise ValueError(f"{shown(text)} cannot be part of a DNS name")
    return text


def _git_hosts(value: object) -> object:
    entries = _parse_list(value)
    if not isinstance(entries, tuple | list):
        return entries
    return tuple(GitHost.parse(entry) if isinstance(entry, str) else entry for entry in entries)


def _allow_list(value: object) -> object:
    return AllowList.parse(value) if isinstance(value, str) else value


def _duration(low: timedelta) -> tuple[BeforeValidator, AfterValidator, Unit]:
    form = "duration: seconds, or `90s`, `15m`, `24h`"
    return BeforeValidator(parse_duration), _between(low, timedelta(days=365), format_duration), Unit(form)


_POSITIVE = _duration(timedelta(milliseconds=1))
_ANY = _duration(timedelta(0))

Duration = Annotated[timedelta, _POSITIVE[0], _POSITIVE[1], _POSITIVE[2]]
"""Longer than nothing."""
DurationOrZero = Annotated[timedelta, _ANY[0], _ANY[1], _ANY[2]]
Port = Annotated[int, BeforeValidator(_parse_port), _between(1, 65535, str), Unit("port, 1 to 65535")]
ListenPort = Annotated[int, BeforeValidator(_parse_port), _between(0, 65535, str), Unit("port; 0 takes a free one")]
Count = Annotated[int, BeforeValidator(_parse_integer), _between(1, 1_000_000, str), Unit("number, 1 or more")]
Prefetch = Annotated[int, BeforeValidator(_parse_integer), _between(1, 65535, str), Unit("number, 1 to 65535")]
Budget = Annotated[int, BeforeValidator(_parse_integer), _between(1, 1_000_000, str), Unit("requests per minute")]
Flag = Annotated[bool, BeforeValidator(_parse_flag), Unit("`true` or `false`")]
Text = Annotated[str, Unit("text")]
Secret = Annotated[SecretStr, Unit("secret text")]
FilePath = Annotated[Path, Unit("path")]
Host = Annotated[str, AfterValidator(check_host), Unit("host name or IP address")]
Url = Annotated[str, AfterValidator(check_url), Unit("http or https URL")]
Namespace = Annotated[str, AfterValidator(check_namespace), Unit("namespace")]
Namespaces = Annotated[
    tuple[str, ...], BeforeValidator(_parse_list), AfterValidator(_check_namespaces), Unit("comma-separated namespaces")
]
Resolvers = Annotated[
    tuple[Annotated[str, AfterValidator(check_resolver)], ...],
    BeforeValidator(_parse_list),
    Unit("comma-separated `host:port`"),
]
TxtAffix = Annotated[str, AfterValidator(_check_txt_affix), Unit("part of a DNS name")]
GitHosts = Annotated[
    tuple[GitHost, ...],
    BeforeValidator(_git_hosts),
    Unit("comma-separated `host`, `host:port` or `http://host[:port]`"),
]
Allowed = Annotated[
    AllowList, BeforeValidator(_allow_list), Unit("`value,value` or `namespace=value,value;…`, `*` allowed")
]
LogFormat = Annotated[Literal["json", "console"], Unit("`json` or `console`")]
TraceProtocol = Annotated[Literal["http/protobuf"], Unit("`http/protobuf`")]
TraceExporter = Annotated[Literal["otlp", "none"], Unit("`otlp` or `none`")]
