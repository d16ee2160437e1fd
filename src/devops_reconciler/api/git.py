"""The source of a project: its Git repository."""

from __future__ import annotations

from .model import Model
from .references import SecretRef
from .text import GitUrl, Revision


class GitSpec(Model):
    """A Git repository, its branch, and how to log in to it."""

    url: GitUrl
    """Address of the repository over http(s), without user, password or query."""
    branch: Revision = "main"
    """The branch that deployments take when they name no revision."""
    credentials_ref: SecretRef | None = None
    """Secret of type kubernetes.io/basic-auth to read the repository with; default: the operator's own account."""
