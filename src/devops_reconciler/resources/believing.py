"""Answers that are not believed, since they contradict what is known: an absence must be proven."""

from __future__ import annotations

from datetime import timedelta

from ..api.errors import ExternalServiceError

AGAIN = timedelta(seconds=2)


def not_credible(what: str, service: str = "kubernetes") -> ExternalServiceError:
    """An answer with status 200 that cannot be true. It is asked again soon, and nothing is done meanwhile."""
    return ExternalServiceError(
        f"{service}: {what}, which cannot be; nothing is removed on such an answer",
        service=service,
        after=AGAIN,
        maybe_applied=False,
    )
