"""What a command prints passes the same hiding of secrets as the logs: a service may quote what it was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.logs import Redactor
from ..runtime.secrets import secrets_in


def hider(environ: Mapping[str, str]) -> Redactor:
    """Hides every secret of the environment and its files, whether or not the configuration is good as a whole."""
    known = secrets_in(environ)
    return Redactor(lambda: known)


def hidden(value: Any, hide: Redactor) -> Any:
    """A JSON value with the secrets in its texts hidden; before it is written, so that it stays JSON."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {hide(str(key)): hidden(inner, hide) for key, inner in value.items()}
    if isinstance(value, list):
        return [hidden(inner, hide) for inner in value]
    return value
