"""Requests checked against Argo CD's own description of its API, of which argocd-swagger.json is an excerpt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parent / "argocd-swagger.json").read_text())
TYPES: dict[str, type | tuple[type, ...]] = {"boolean": bool, "object": dict, "array": list, "string": str}


def complaints(method: str, path: str, query: str = "", body: str = "") -> list[str]:
    """What Argo CD's description does not know of this request; empty when all is as it says.

    `path` as it goes over the wire, `body` as JSON.
    """
    found = _operation(method, path)
    if found is None:
        return [f"{method} {path} is not described"]
    known = {each["name"]: each for each in found.get("parameters", ())}
    wrong = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameter = known.get(name)
        if parameter is None or parameter["in"] != "query":
            wrong.append(f"query {name} is not described")
        elif parameter.get("type") == "boolean" and value not in ("true", "false"):
            wrong.append(f"query {name}={value} is no boolean")
    described = next((each["schema"] for each in known.values() if each["in"] == "body"), None)
    if described is None:
        return [*wrong, *(["there is a body, and none is described"] if body else [])]
    if not body:
        return [*wrong, "the body is missing"]
    return [*wrong, *_compare(json.loads(body), described, "body")]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    """Of templates that match, the one with the most literal text, as a router would take it."""
    matching = [
        each for each in DOCUMENT["paths"] if re.fullmatch(re.sub(r"\\{[^/]*\\}", "[^/]+", re.escape(each)), path)
    ]
    for template in sorted(matching, key=lambda each: each.count("{")):
        operation: dict[str, Any] | None = DOCUMENT["paths"][template].get(method.lower())
        if operation is not None:
            return operation
    return None


def _compare(value: Any, schema: dict[str, Any], at: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = DOCUMENT["definitions"][schema["$ref"].rpartition("/")[2]]
    kind = schema.get("type")
    if kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{at} is no integer"
    elif kind in TYPES and not isinstance(value, TYPES[kind]):
        yield f"{at} is no {kind}"
    elif kind == "array":
        for number, item in enumerate(value):
            yield from _compare(item, schema["items"], f"{at}[{number}]")
    elif kind == "object":
        yield from _compare_object(value, schema, at)


def _compare_object(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties")
    for name, inner in value.items():
        if name in properties:
            yield from _compare(inner, properties[name], f"{at}.{name}")
        elif isinstance(more, dict):
            yield from _compare(inner, more, f"{at}.{name}")
        elif properties or more is None:
            yield f"{at}.{name} is not described"


def check(method: str, url: str, body: str) -> None:
    """Raises AssertionError where the description does not know this request; `url` may have a query."""
    path, _, query = url.partition("?")
    wrong = complaints(method, path, query, body)
    assert not wrong, f"{method} {unquote(url)} {body}: {'; '.join(wrong)}"
