"""`devops-reconciler send`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..api.errors import ValidationError
from ..messages.publish import initialize_message, publish, reconcile_message
from ..runtime.logs import Redactor, configure
from ..runtime.settings import load_group
from ..runtime.settings_variables import RabbitmqVariables, TracingVariables
from .traces import traced


def initialize(
    environ: Mapping[str, str],
    *,
    project: str | None,
    git_url: str | None,
    host: str | None,
    spec: Path | None,
    namespace: str | None,
    file: Path | None,
    requested_by: str | None = None,
) -> str:
    """Publish a DevOpsInitialize; gives its event id."""
    if file is not None:
        return _publish(environ, _read(file))
    if project is None:
        raise ValidationError("name the project, or give the whole message with --file")
    wanted = _spec(spec) if spec is not None else {}
    if git_url is not None:
        wanted["git"] = {**(wanted.get("git") or {}), "url": git_url}
    if host is not None:
        wanted["ingress"] = {**(wanted.get("ingress") or {}), "host": host}
    return _publish(environ, initialize_message(project, wanted, namespace, requested_by))


def reconcile(
    environ: Mapping[str, str], project: str | None, action: str, payload: Mapping[str, Any], file: Path | None
) -> str:
    """Publish a DevOpsReconcile; gives its event id."""
    if file is not None:
        return _publish(environ, _read(file))
    if project is None:
        raise ValidationError("name the project, or give the whole message with --file")
    try:
        message = reconcile_message(project, action, **payload)
    except ValueError as error:
        raise ValidationError(str(error)) from error
    return _publish(environ, message)


def _spec(path: Path) -> dict[str, Any]:
    """The spec in a file. Raises ValidationError where it is none."""
    try:
        found = yaml.safe_load(_read(path))
    except (yaml.YAMLError, ValueError) as error:
        raise ValidationError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    blocks = found if isinstance(found, dict) else {"": found}
    wrong = [name for name in ("", "git", "ingress") if not isinstance(blocks.get(name) or {}, dict)]
    if found is not None and wrong:
        raise ValidationError(f"{path}: {wrong[0] or 'the file'} is no mapping; write the spec of a DevOpsProject")
    _require_json(found, path)
    return dict(found or {})


def _require_json(spec: Any, path: Path) -> None:
    """YAML has dates, bytes, sets and circles, which a message cannot carry."""
    try:
        json.dumps(spec, allow_nan=False)
    except TypeError as error:
        raise ValidationError(f"{path}: {_foreign(spec, '')}, which JSON has not; write it in quotes") from error
    except ValueError as error:
        raise ValidationError(f"{path} cannot be written as JSON: {error}") from error


def _foreign(value: Any, where: str) -> str | None:
    """The first key or value that JSON has not, in the order in which `json.dumps` comes to it."""
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            name = f"{where}.{key}" if where else str(key)
            if not isinstance(key, str | int | float | None):
                return f"the key {name} is a {type(key).__name__}"
            if (found := _foreign(inner, name)) is not None:
                return found
        return None
    return None if isinstance(value, str | int | float | None) else f"{where} is a {type(value).__name__}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValidationError(f"{path} cannot be read: {error.strerror}") from error


def _publish(environ: Mapping[str, str], message: Mapping[str, Any] | bytes) -> str:
    broker, tracing = load_group(RabbitmqVariables, environ), load_group(TracingVariables, environ)
    if tracing.traces_url is None:
        return asyncio.run(publish(broker, message))
    secrets = [
        each.get_secret_value() for each in (broker.rabbitmq_password, tracing.otel_exporter_otlp_headers) if each
    ]
    hide = Redactor(lambda: secrets)
    configure("console", hide=hide)  # that a collector is away is told on stderr
    with traced(tracing, hide=hide):
        return asyncio.run(publish(broker, message))
