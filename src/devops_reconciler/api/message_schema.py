"""JSON Schemas of the messages, without what only the API server understands."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from .project import DevOpsProjectSpec
from .structural import SchemaGenerator

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _ProjectSpecForm:
    """Documents the spec in the schema, and leaves its check to the API server, whose word counts."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(DevOpsProjectSpec.__pydantic_core_schema__)


ProjectSpec = Annotated[dict[str, Any], _ProjectSpecForm()]
"""A DevOpsProject's spec in a message: any object here, but described in the schema."""


def draft_schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The schema of `model` in the dialect that AsyncAPI 3 and validators take."""
    generated = model.model_json_schema(by_alias=True, mode="validation", schema_generator=SchemaGenerator)
    schema: dict[str, Any] = _plain(generated)
    return {"$schema": DIALECT, "$id": f"https://freeleaps.com/schemas/{name}.json", **schema}


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if not key.startswith("x-")}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node
