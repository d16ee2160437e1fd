"""When a preview goes away by its project, when that is announced, and in which words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..api.durations import parse_duration
from ..api.project import PreviewsBlock

WARNINGS = (timedelta(hours=24), timedelta(hours=1))
"""How long before its expiry a preview is announced to go away."""


def ttl_of_previews(project: Mapping[str, Any] | None) -> timedelta:
    """How long the project's previews live, by its spec as the API server has it; the default where it is gone.

    No end of a deployment is held up by a spec that this version cannot read.
    """
    said = ((project or {}).get("spec") or {}).get("previews") or {}
    try:
        return parse_duration(said.get("ttl"))
    except ValueError:
        return PreviewsBlock().ttl


def next_warning(expires: datetime | None, after: datetime) -> datetime | None:
    """The first moment of a warning that lies after this one; None when there is none.

    Counted from when the expiry was set, so that a preview that lives for two hours is not announced to go within a
    day; and from the last warning, so that of several that were missed only one is given.
    """
    if expires is None:
        return None
    return min((moment for lead in WARNINGS if (moment := expires - lead) > after), default=None)


def warning_text(expires: datetime, now: datetime) -> str:
    """The warning for people."""
    left = expires - now
    hours, minutes = divmod(max(1, round(left / timedelta(minutes=1))), 60)
    about = " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
    return f"expires in {about}, at {expires:%Y-%m-%d %H:%M} UTC; action extend, or spec.expiresAt, moves that"
