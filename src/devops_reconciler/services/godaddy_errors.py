"""What GoDaddy's error codes mean for us. It is the `code` that counts: several come with more than one status."""

from __future__ import annotations

from datetime import timedelta

from ..api.conditions import Reason
from ..api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ReconcilerError,
    Refused,
    ValidationError,
)

UNKNOWN_DOMAIN = "UNKNOWN_DOMAIN"
ACCESS_DENIED = "ACCESS_DENIED"
QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
DUPLICATE_RECORD = "DUPLICATE_RECORD"


def unknown_domain(service: str, operation: str, zone: str) -> ValidationError:
    """GoDaddy does not serve the zone: it answers so too when the nameservers of one of its domains are elsewhere."""
    return ValidationError(
        f"{service}: {operation}: zone {zone} is not in this account, or its nameservers are not GoDaddy's; "
        "use a zone of the account, or let its nameservers be GoDaddy's",
        status=404,
        code=UNKNOWN_DOMAIN,
    )


def translated(service: str, operation: str, zone: str, error: Refused) -> ReconcilerError:
    """The error that says what is to be done, for an answer that the status table refused."""
    where = f"{service}: {operation} in zone {zone}"
    said = error.details.get("message")
    text = f": {said}" if isinstance(said, str) and said else ""
    if error.code == UNKNOWN_DOMAIN:
        return unknown_domain(service, operation, zone)
    if error.code == DUPLICATE_RECORD:
        return ConflictError(
            f"{where}: another record excludes this one{text}; a CNAME stands alone at its name, "
            "and no two records are equal",
            status=error.status,
            code=error.code,
            details=error.details,
        )
    if error.code == QUOTA_EXCEEDED:
        return _rate_limited(service, where, text, error)
    if error.status == 409:
        return ExternalServiceError(
            f"{where}: the zone is being processed{text}; tried again by itself", service=service, maybe_applied=False
        )
    if error.code == ACCESS_DENIED:
        return _denied(where, text, error)
    if error.status == 422:
        return ValidationError(
            f"{where}: refused: {field_texts(error) or said or 'no reason given'}",
            status=422,
            code=error.code,
            details=error.details,
        )
    return error


def _denied(where: str, text: str, error: Refused) -> CredentialsError:
    return CredentialsError(
        f"{where}: the account may not use the DNS API{text}. Since May 2024 GoDaddy gives it only to accounts with at "
        "least 10 domains or a Discount Domain Club plan; check the plan, and that the key belongs to the account that "
        "holds the zone",
        reason=Reason.PERMISSION_DENIED,
        status=error.status,
        code=error.code,
        details=error.details,
    )


def _rate_limited(service: str, where: str, text: str, error: Refused) -> ExternalServiceError:
    seconds = error.details.get("retryAfterSec")
    after = timedelta(seconds=float(seconds)) if isinstance(seconds, (int, float)) else None
    return ExternalServiceError(
        f"{where}: the quota is used up{text}",
        service=service,
        after=after,
        reason=Reason.RATE_LIMITED,
        maybe_applied=False,
    )


def field_texts(error: Refused) -> str:
    """`records[0].ttl must have a minimum value of 600; …` out of an INVALID_BODY."""
    fields = error.details.get("fields")
    if not isinstance(fields, list):
        return ""
    return "; ".join(
        " ".join(str(each[key]) for key in ("path", "message") if each.get(key))
        for each in fields
        if isinstance(each, dict)
    )
