"""One object as read from the API server, and whose mark its external things carry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import pydantic

from ..api.errors import ValidationError
from ..api.names import controller, mark_for
from ..api.status import ResourceStatus
from ..resources.child import REQUESTED_ANNOTATION
from ..services.kubernetes_kinds import Kind

Spec = TypeVar("Spec", bound=pydantic.BaseModel)
Status = TypeVar("Status", bound=ResourceStatus)

__all__ = [
    "FORCE_ANNOTATION",
    "PAUSED_ANNOTATION",
    "REQUESTED_ANNOTATION",
    "Subject",
    "controller",
    "mark_for",
    "parse_spec",
    "parse_status",
]

PAUSED_ANNOTATION = "freeleaps.com/paused"
FORCE_ANNOTATION = "freeleaps.com/force-delete"
"""Lets an object go whose deletion is blocked; its value says who asks."""


@dataclass(frozen=True)
class Subject(Generic[Spec, Status]):
    """An object of ours under reconciliation."""

    kind: Kind
    obj: dict[str, Any]
    spec: Spec
    status: Status
    me: str
    """The mark: of the project that controls the object, else of the object itself."""

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self.obj["metadata"])

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        return str(self.obj["metadata"]["uid"])

    @property
    def generation(self) -> int:
        return int(self.obj["metadata"]["generation"])

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.obj["metadata"]["creationTimestamp"])

    @property
    def deleting(self) -> bool:
        return bool(self.obj["metadata"].get("deletionTimestamp"))

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.obj["metadata"].get("annotations") or {})

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.obj["metadata"].get("labels") or {})


def parse_spec(model: type[Spec], obj: dict[str, Any]) -> Spec:
    """The spec; raises ValidationError with one sentence per problem (the API server refuses most of them earlier).

    Fields that we do not know are no problem. They have passed the CRD, which may be that of a newer version: it is
    there before its operator, and the API server fills its defaults into every object.
    """
    try:
        return model.model_validate(obj.get("spec") or {}, extra="ignore")
    except pydantic.ValidationError as error:
        problems = "; ".join(f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValidationError(problems) from error


def parse_status(model: type[Status], obj: dict[str, Any]) -> Status:
    """The status; a part that cannot be read is an error, never an empty status: that would lose the ledger."""
    return model.model_validate(obj.get("status") or {})
