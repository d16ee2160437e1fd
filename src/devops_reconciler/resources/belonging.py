"""Whether an entry of a ledger can be of the object that has it: told by its value, where no mark outside tells it.

A ledger is in the status, and who may write the status of one object may write anything there. What carries our mark is
looked at before it is touched; a build, a tag, a claim and a child are ours by their names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..api.names import is_tag_of
from ..engine.ledger import Entry
from .child import ProjectChild
from .environment import EnvironmentClaim
from .image import Image
from .jenkins_build import JenkinsBuild

NOT_OF_THIS = "not of this object"
"""What is noted of an entry that is let go for it."""

Values = Mapping[str, Any]


def _is_build(value: Values, metadata: Values) -> bool:
    return bool(value.get("uid") == metadata["uid"])


def _is_image(value: Values, metadata: Values) -> bool:
    return is_tag_of(str(value.get("tag")), metadata["uid"])


def _is_claim(value: Values, metadata: Values) -> bool:
    return (value.get("namespace"), value.get("record")) == (metadata["namespace"], metadata["name"])


def _is_child(value: Values, metadata: Values) -> bool:
    return (value.get("namespace"), value.get("owner_uid")) == (metadata["namespace"], metadata["uid"])


TELLS: dict[str, Callable[[Values, Values], bool]] = {
    JenkinsBuild.__name__: _is_build,
    Image.__name__: _is_image,
    EnvironmentClaim.__name__: _is_claim,
    ProjectChild.__name__: _is_child,
}
"""By kind, from the value of an entry and the metadata of the object. None of these passes to another object."""


def is_foreign(obj: Mapping[str, Any], entry: Entry) -> bool:
    """Whether the entry cannot be of this object: nothing may be done outside because of it."""
    tells = TELLS.get(entry.kind)
    return tells is not None and not tells(entry.value, obj["metadata"])
