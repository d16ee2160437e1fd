"""What may stand in a repository's URL, a revision and a path: everything that reaches `git` is checked here first.

All of it comes from users. A value that `git` or libcurl could read as something else (an option, another host, a user
name, a pathspec) is refused, not escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from ..api.errors import ValidationError
from ..runtime.settings_lists import GitHost
from .addresses import check_host, is_canonical, literal

URL_LIMIT = 2048
REVISION_LIMIT = 255
PATH_LIMIT = 1024

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()+,;=:@%/-]*)?"
)
"""No `*`: Argo CD would read it as a pattern of repositories."""
# git check-ref-format(1), rules 3 to 9: control characters, space, ~ ^ : ? * [ \ "..", "@{", "//".
_FORBIDDEN_IN_REVISION = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
FULL_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,63}")

_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_url(url: str, allowed: Sequence[GitHost]) -> None:
    """Raise ValidationError, saying what to do, unless `url` is an http(s) URL at one of the allowed hosts.

    Without a list every host is allowed, by https, but the operator's own. Link-local addresses and cloud metadata are
    never allowed. What a name means is judged when it is resolved (`addresses`).
    """
    match = _URL.fullmatch(url) if len(url) <= URL_LIMIT else None
    if match is None:
        raise ValidationError(_url_problem(url))
    for part in (match["path"] or "").split("/"):
        plain = unquote(part, errors="replace")
        if plain in {".", ".."} or re.search(r"[\x00-\x1f\x7f/\\*\ufffd]", plain):
            raise ValidationError("the Git URL has '.', '..' or encoded separators in its path; write the path out")
    host, port = match["host"], int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValidationError("the Git URL has a port that is none; use one from 1 to 65535")
    if any(place.allows(match["scheme"], host, port) for place in allowed):
        return check_host(host, loopback=True)
    if not allowed and match["scheme"] == "https":
        return _check_unlisted(host)
    place = f"{host.lower()}:{port}" if port else host.lower()
    if match["scheme"] == "http" and any(entry.allows("https", host, port) for entry in allowed):
        raise ValidationError(
            f"the Git host '{place}' is allowed over https only; use https://, "
            f"or add 'http://{place}' to GIT_ALLOWED_HOSTS"
        )
    entry = f"http://{place}" if match["scheme"] == "http" else place
    raise ValidationError(
        f"the Git host '{place}' is not allowed; use an allowed host, or add '{entry}' to GIT_ALLOWED_HOSTS"
    )


def _check_unlisted(host: str) -> None:
    if literal(host) is not None and not is_canonical(host):
        raise ValidationError(f"the Git host '{host.lower()}' is an address in disguise; write it out, or use a name")
    if ".." in host:
        raise ValidationError("the Git URL has characters or a host that are not allowed; write it out")
    check_host(host)


def _url_problem(url: str) -> str:
    """Why `url` is no URL for us. The URL itself is not quoted: it may hold a password."""
    if len(url) > URL_LIMIT:
        return f"the Git URL is longer than {URL_LIMIT} characters"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the Git URL is not a URL; write it as https://host/path.git"
    if "@" in parts.netloc:
        return "the Git URL holds a user or password; put them into a Secret and name it in git.credentialsRef"
    if parts.scheme not in {"http", "https"}:
        return "the Git URL is neither https nor http; write it as https://host/path.git"
    if parts.query or parts.fragment:
        return "the Git URL has a query or a fragment; write it as https://host/path.git"
    return "the Git URL has characters or a host that are not allowed; write it as https://host/path.git"


def host_of(url: str) -> str:
    """The host of a checked URL in lower case, with the port where it is not the scheme's own."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{parts.port}"


def is_at(url: str, place: str) -> bool:
    """Whether a checked URL is at `place`: `host`, `host:port` or `http://host[:port]`."""
    parts = urlsplit(url)
    scheme, _, authority = place.strip().lower().rpartition("://")
    if scheme and scheme != parts.scheme:
        return False
    default = _DEFAULT_PORTS[parts.scheme]
    try:
        wanted = urlsplit(f"//{authority}")
        return (parts.hostname, parts.port or default) == (wanted.hostname, wanted.port or default)
    except ValueError:
        return False


def check_revision(revision: str) -> None:
    """Raise ValidationError unless `revision` can be the name of a branch, a tag or a commit (git check-ref-format)."""
    parts = revision.split("/")
    if (
        not revision
        or len(revision) > REVISION_LIMIT
        or revision.startswith("-")
        or revision == "@"
        or _FORBIDDEN_IN_REVISION.search(revision)
        or revision.endswith(".")
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise ValidationError(f"{revision[:80]!r} cannot be a Git revision; name a branch, a tag or a commit")


def check_path(path: str) -> None:
    """Raise ValidationError unless `path` is a plain relative path of a file in a repository."""
    parts = path.split("/")
    if (
        len(path) > PATH_LIMIT
        or any(part in {"", ".", ".."} for part in parts)
        or re.search(r"[\x00-\x1f\x7f\\]", path)
    ):
        raise ValidationError(f"{path[:80]!r} cannot be the path of a file in a repository; write it as folder/file")
