"""Who asked for what an object says: for the audit trail.

By the message (`requested_by`, kept on the object), else the field manager that last wrote the spec, else `unknown`.
Children do what their project says: whoever asked for the project asked for them.
"""

from __future__ import annotations

from typing import Any

from ..resources.marks import DELETION_REQUESTED_BY, REQUESTED_BY
from ..runtime.audit_context import Cause
from ..runtime.audit_record import UNKNOWN, AuditedObject
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT

OURS = "devops-reconciler"
"""The field manager of the operator: it writes what somebody else has asked for."""
LONGEST = 253


class Requesters:
    """Remembers who asked for each project, so that its children can say it."""

    def __init__(self) -> None:
        self._of_project: dict[str, tuple[bool, str]] = {}

    def note(self, obj: dict[str, Any], *, deleted: bool = False) -> None:
        """An object as it was seen."""
        if obj.get("kind") != DEVOPS_PROJECT.kind:
            return
        uid = obj["metadata"]["uid"]
        if deleted:
            self._of_project.pop(uid, None)
        else:
            self._of_project[uid] = (is_going(obj), requester_of(obj))

    def cause(self, obj: dict[str, Any]) -> Cause:
        """For the pass over this object, as it was just read."""
        self.note(obj)
        metadata = obj["metadata"]
        about = AuditedObject(
            kind=obj["kind"], namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]
        )
        return Cause(about, self._who(obj))

    def _who(self, obj: dict[str, Any]) -> str:
        own = requester_of(obj)
        if own not in (OURS, UNKNOWN) or obj["kind"] == DEPLOYMENT_RECORD.kind:
            return own
        for owner in obj["metadata"].get("ownerReferences") or ():
            going, who = self._of_project.get(str(owner.get("uid")), (False, ""))
            # Whoever asked for a project did not ask for the deletion of its child.
            if who and going == is_going(obj):
                return who
        return own


def is_going(obj: dict[str, Any]) -> bool:
    """Whether its deletion was asked for."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def requester_of(obj: dict[str, Any]) -> str:
    """Who asked for the object's spec, or for its deletion where that is under way (the API server does not tell)."""
    said = said_by(obj)
    if said is not None:
        return said
    return UNKNOWN if is_going(obj) else field_manager_of(obj)


def said_by(obj: dict[str, Any]) -> str | None:
    """Who asked, by the message that the object comes from, or that asked for its deletion."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations") or {}
    if is_going(obj):
        found = annotations.get(DELETION_REQUESTED_BY)
    else:
        found = annotations.get(REQUESTED_BY) or (obj.get("spec") or {}).get("requestedBy")
    return str(found)[:LONGEST] if found else None


def field_manager_of(obj: dict[str, Any]) -> str:
    """The field manager that last wrote into the spec; the operator itself only where nobody else did."""
    entries = [
        entry
        for entry in obj["metadata"].get("managedFields") or ()
        if "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource") and entry.get("manager")
    ]
    entries.sort(key=lambda entry: (entry["manager"] != OURS, str(entry.get("time", ""))))
    return str(entries[-1]["manager"])[:LONGEST] if entries else UNKNOWN
