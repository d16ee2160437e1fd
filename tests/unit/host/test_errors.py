"""ReconcilerErrorHandler: each error once, in one table."""

from __future__ import annotations

from datetime import timedelta

import kopf
import pytest

from devops_reconciler.api.errors import (
    ConflictError,
    ExternalServiceError,
    Fenced,
    ValidationError,
    Waiting,
)
from devops_reconciler.host.errors import RETRY_SAVE, ReconcilerErrorHandler
from devops_reconciler.runtime.metrics import Metrics
from tests.unit.world import settings

SOON = timedelta(seconds=9)


class Lines:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.said.append(("warning", f"{event}: {fields.get('error')}"))

    def error(self, event: str, **fields: object) -> None:
        self.said.append(("error", f"{event}: {fields.get('error')}"))

    def exception(self, event: str, **fields: object) -> None:
        self.said.append(("exception", f"{event}: {fields.get('error')}"))


def raising(error: Exception):  # type: ignore[no-untyped-def]
    async def operation() -> str:
        raise error

    return operation


@pytest.mark.parametrize(
    ("error", "outcome", "after", "level"),
    [
        (ConflictError("changed"), "conflict", RETRY_SAVE, None),
        (Fenced("another replica acts"), "fenced", timedelta(seconds=1), None),
        (Waiting("soon", after=timedelta(seconds=7)), "progress", timedelta(seconds=7), None),
        (ExternalServiceError("ill", service="x"), "retry", timedelta(seconds=30), "warning"),
        (
            ExternalServiceError("busy", service="x", after=timedelta(seconds=9)),
            "retry",
            timedelta(seconds=9),
            "warning",
        ),
        (ValidationError("no"), "failed", timedelta(seconds=60), "error"),
        (KeyError("ours"), "error", timedelta(seconds=60), "exception"),
    ],
)
async def test_each_error_has_its_outcome(error: Exception, outcome: str, after: timedelta, level: str | None) -> None:
    lines, metrics = Lines(), Metrics()
    handled = await ReconcilerErrorHandler(settings(), metrics).handle_operation("op", raising(error), lines)
    assert (handled.outcome, handled.after, handled.value) == (outcome, after, None)
    assert [said for said, _ in lines.said] == ([level] if level else [])
    counted = 'internal_errors_total{where="loop"} 1.0' in metrics.exposition().decode()
    assert counted == (level == "exception")


async def test_a_value_comes_through() -> None:
    async def operation() -> str:
        return "value"

    handled = await ReconcilerErrorHandler(settings(), Metrics()).handle_operation("op", operation, Lines())
    assert (handled.value, handled.outcome, handled.after) == ("value", "done", None)


@pytest.mark.parametrize("error", [kopf.TemporaryError("later", delay=5), kopf.PermanentError("never")])
async def test_errors_of_kopf_pass_untouched(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        await ReconcilerErrorHandler(settings(), Metrics()).handle_operation("op", raising(error), Lines())
    assert raised.value is error
