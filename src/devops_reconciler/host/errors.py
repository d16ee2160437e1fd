"""What happens to an error, in one place: who tries again, when, and who is told.

Steps turn the errors of external services into conditions themselves (`engine.conditions`); what comes up to here
stopped a whole pass: the API server, a lost race, a lost Lease, a fault of our own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import kopf

from ..api.errors import ConflictError, ExternalServiceError, Fenced, ReconcilerError, Refused, Waiting
from ..runtime.metrics import Metrics
from ..runtime.settings import Settings

T = TypeVar("T")

INTERNAL = "error"
"""The outcome of a fault of our own."""
RETRY_SAVE = timedelta(milliseconds=20)
"""After somebody else changed the object: it is read afresh and looked at again."""


class Logger(Protocol):
    """What is used of a logger."""

    def warning(self, event: str, **fields: object) -> object: ...

    def error(self, event: str, **fields: object) -> object: ...

    def exception(self, event: str, **fields: object) -> object: ...


@dataclass(frozen=True)
class Handled(Generic[T]):
    """The value, or what became of the error: `outcome` for the metric, `after` for the next try."""

    value: T | None
    outcome: str
    after: timedelta | None = None


class ReconcilerErrorHandler:
    """One table for all operations of the host.

    | error | what is done |
    |---|---|
    | Kopf's TemporaryError, PermanentError | raised again untouched |
    | ConflictError | tried again at once: the object has changed |
    | Fenced | another replica acts: tried again when it may be our turn |
    | Waiting | tried again after its time |
    | ExternalServiceError | a warning; after the service's time, else `RETRY_EXTERNAL_DELAY` |
    | Refused | an error; after `RETRY_UNEXPECTED_DELAY`: somebody must act (rights, above all) |
    | anything else | our fault: traceback and metric; after `RETRY_UNEXPECTED_DELAY` |
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    async def handle_operation(
        self, operation_name: str, operation: Callable[[], Awaitable[T]], logger: Logger
    ) -> Handled[T]:
        """Run the operation; never raises but for Kopf's own errors and cancellation."""
        try:
            return Handled(await operation(), "done")
        except (kopf.TemporaryError, kopf.PermanentError):
            raise
        except ConflictError:
            return Handled(None, "conflict", RETRY_SAVE)
        except Fenced as error:
            return Handled(None, "fenced", error.after)
        except Waiting as error:
            return Handled(None, "progress", error.after)
        except ExternalServiceError as error:
            logger.warning("an operation could not be done", operation=operation_name, error=error.message)
            return Handled(None, "retry", error.after or self._settings.retry_external_delay)
        except Refused as error:
            text = error.message
            logger.error("an operation was refused", operation=operation_name, error=text)  # noqa: TRY400 - no fault of ours
            return Handled(None, "failed", self._settings.retry_unexpected_delay)
        except Exception as error:
            self._metrics.internal_errors.labels("loop").inc()
            text = error.message if isinstance(error, ReconcilerError) else type(error).__name__
            logger.exception("an operation failed", operation=operation_name, error=text)
            return Handled(None, INTERNAL, self._settings.retry_unexpected_delay)
