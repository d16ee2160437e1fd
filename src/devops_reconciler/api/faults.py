"""Whose a failure is: who has to do something about it."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """USER: the spec, the repository, the build, the application, a login or a limit; a person has to act.

    VENDOR: a service is ill, slow or busy; it is tried again by itself. OPERATOR: a mistake of the operator's own;
    it is tried again, and belongs into a bug report.
    """

    USER = "User"
    VENDOR = "Vendor"
    OPERATOR = "Operator"
