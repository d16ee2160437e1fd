"""References from a spec to other objects in its namespace."""

from __future__ import annotations

from .model import Model
from .text import ObjectName, ShortName


class SecretRef(Model):
    """A Secret in the resource's own namespace that carries the label freeleaps.com/project-credential."""

    name: ObjectName
    """Name of the Secret."""


class ProjectRef(Model):
    """A DevOpsProject in the resource's own namespace."""

    name: ShortName
    """Name of the DevOpsProject."""
