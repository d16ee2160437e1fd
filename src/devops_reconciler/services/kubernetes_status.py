"""How fields of a status are written: a JSON patch (RFC 6902) that sets each of them whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.nulls import without_nulls


def status_patch(fields: Mapping[str, Any], resource_version: str) -> list[dict[str, Any]]:
    """The patch that sets these fields, and takes away those that are None, while the object is at this version.

    Why no merge patch: in an object it keeps what is no longer there, and it costs the API server a tenth more.
    """
    # As a value and not as a `test`: another version is then a conflict (409) and no invalid patch (422).
    steps: list[dict[str, Any]] = [{"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}]
    for name, value in fields.items():
        path = f"/status/{name}"
        steps.append({"op": "add", "path": path, "value": without_nulls(value)})
        if value is None:
            # What is absent cannot be removed: so it is put there first.
            steps.append({"op": "remove", "path": path})
    return steps
