"""Pydantic models as structural OpenAPI v3 schemas, the dialect that the API server takes in a CRD."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from .durations import format_duration
from .text import RULE_OF_PARENT, SUBJECT

Schema = dict[str, Any]

_DROPPED = {"title", "$defs", "$ref", "allOf"}


class SchemaGenerator(GenerateJsonSchema):
    """Pydantic's generator, with default durations in our own form instead of ISO 8601's."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of `model`: references put in place, null only where it means something, defaults the shortest."""
    schema = model.model_json_schema(by_alias=True, mode="validation", schema_generator=SchemaGenerator)
    return _convert(schema, schema.get("$defs", {}))


def without_defaults(schema: Schema) -> Schema:
    """`schema` without any default: what is absent from a status stays absent."""
    result = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in result:
        result["properties"] = {name: without_defaults(inner) for name, inner in result["properties"].items()}
    if "items" in result:
        result["items"] = without_defaults(result["items"])
    return result


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    merged = _resolve(node, definitions)
    result = {key: copy.deepcopy(value) for key, value in merged.items() if key not in _DROPPED}
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "properties" in merged:
        result["properties"] = {name: _convert(inner, definitions) for name, inner in merged["properties"].items()}
        _lift_rules(result)
    if "items" in merged:
        result["items"] = _convert(merged["items"], definitions)
    _convert_free_form(result, merged, definitions)
    if "default" in result:
        _shorten_default(result)
    return result


def _resolve(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`node` with its reference and its alternative null merged in; what the node itself says comes first."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _resolve({**target, **node, "$ref": ""} if target.get("$ref") else _over(target, node), definitions)
    alternatives = node.get("anyOf", [])
    kept = [item for item in alternatives if item.get("type") != "null"]
    if not alternatives or node.get("x-kubernetes-int-or-string"):
        return node
    if len(kept) != 1:
        raise TypeError(f"a union of several types has no structural schema: {node}")
    outer = {key: value for key, value in node.items() if key != "anyOf"}
    if node.get("default") is not None:
        outer["nullable"] = True
    return _resolve(_over(kept[0], outer), definitions)


def _over(below: Schema, above: Schema) -> Schema:
    return {**below, **{key: value for key, value in above.items() if key != "$ref"}}


def _lift_rules(schema: Schema) -> None:
    """Let `schema` carry the rules that its properties leave to it."""
    required = schema.get("required", [])
    for name, inner in schema["properties"].items():
        if RULE_OF_PARENT in inner:
            rule = inner.pop(RULE_OF_PARENT)
            check = rule["rule"].replace(SUBJECT, f"self.{name}")
            lifted = check if name in required else f"!has(self.{name}) || ({check})"
            entry = {"rule": lifted, "message": rule["message"], "fieldPath": f".{name}"}
            schema["x-kubernetes-validations"] = [*schema.get("x-kubernetes-validations", []), entry]


def _convert_free_form(result: Schema, merged: Schema, definitions: dict[str, Schema]) -> None:
    extra = merged.get("additionalProperties")
    if extra is True:
        del result["additionalProperties"]
        result["x-kubernetes-preserve-unknown-fields"] = True
    elif extra is False:
        del result["additionalProperties"]
    elif isinstance(extra, dict):
        result["additionalProperties"] = _convert(extra, definitions)


def _shorten_default(schema: Schema) -> None:
    if schema["default"] is None:
        del schema["default"]
        return
    schema["default"] = _shortest(schema["default"], schema)


def _shortest(default: Any, schema: Schema) -> Any:
    """`default` without what the defaults of the inner properties say already."""
    if not isinstance(default, dict) or "properties" not in schema:
        return default
    result: Schema = {}
    for name, value in default.items():
        inner = schema["properties"][name]
        shorter = _shortest(value, inner)
        if value is not None and shorter != inner.get("default"):
            result[name] = shorter
    return result
