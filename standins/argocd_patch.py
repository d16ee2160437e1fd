"""JSON patches as Argo CD takes them: merge patches (RFC 7386) and JSON patches (RFC 6902, without move and copy)."""

from __future__ import annotations

import copy
import json
from typing import Any

from .argocd_errors import UNKNOWN, GrpcError, invalid
from .argocd_state import Json


def patched(document: Json, kind: str, text: str) -> Json:
    """`document` with the patch applied, as a new object. `kind` is "merge", "json" or empty, which means json."""
    if kind not in ("merge", "json", ""):
        raise invalid(f"Patch type '{kind}' is not supported")
    try:
        patch = json.loads(text)
    except ValueError as error:
        raise GrpcError(UNKNOWN, f"error decoding patch: {error}") from error
    if kind == "merge":
        merged: Json = merge(copy.deepcopy(document), patch)
        return merged
    if not isinstance(patch, list):
        raise GrpcError(UNKNOWN, "error decoding patch: json: cannot unmarshal object into Go value of type Patch")
    result = copy.deepcopy(document)
    for operation in patch:
        _apply(result, operation)
    return result


def merge(document: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = document if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _apply(document: Any, operation: Json) -> None:
    *parents, last = [
        part.replace("~1", "/").replace("~0", "~") for part in str(operation.get("path", "")).split("/")[1:]
    ]
    target = document
    try:
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        _change(target, last, operation)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        path = operation.get("path")
        raise GrpcError(
            UNKNOWN, f"error applying patch: operation does not apply: doc is missing path: {path}"
        ) from error


def _change(target: Any, last: str, operation: Json) -> None:
    kind = operation.get("op")
    if isinstance(target, list):
        index = len(target) if last == "-" else int(last)
        if kind == "add":
            target.insert(index, operation["value"])
        elif kind == "replace":
            target[index] = operation["value"]
        elif kind == "remove":
            del target[index]
        return
    if kind == "remove" or kind == "replace":
        del target[last]
    if kind in ("add", "replace"):
        target[last] = operation["value"]
    if kind == "test" and target[last] != operation["value"]:
        raise ValueError(last)
