"""Traces of a command, where its configuration says where they go. The SDK is loaded only then."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from ..runtime.clock import Clock, SystemClock
from ..runtime.settings_variables import TracingVariables

PRODUCT = "freeleaps-devops-reconciler"
FLUSH = timedelta(seconds=5)
"""How long a command waits at its end for a collector."""


def traced(
    settings: TracingVariables,
    *,
    headers: Callable[[], str | None] | None = None,
    hide: Callable[[str], str] = str,
    clock: Clock | None = None,
    flush: timedelta = FLUSH,
) -> AbstractContextManager[None]:
    """Traces made inside are exported; at the end what is left is sent, within the time of `flush`."""
    if settings.traces_url is None:
        return nullcontext()
    from ..runtime.tracing_export import exported  # here, because it takes a third of a second

    given = settings.otel_exporter_otlp_headers
    known = headers or (lambda: None if given is None else given.get_secret_value())
    return exported(settings, importlib.metadata.version(PRODUCT), clock or SystemClock(), known, hide, flush)
