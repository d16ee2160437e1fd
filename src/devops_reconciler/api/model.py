"""The two bases of everything in the API: what users write (`Model`) and what the operator reports (`StatusModel`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule of the CRD. `message` tells the user what to do."""

    rule: str
    message: str
    field_path: str | None = None
    """The field that the error is shown at, like `.metadata.name`; default: the object of the rule."""

    def manifest(self) -> dict[str, str]:
        """An entry of `x-kubernetes-validations`."""
        path = {"fieldPath": self.field_path} if self.field_path else {}
        return {"rule": self.rule, "message": self.message, **path}


def _manifest(value: Any, dumped: Any) -> Any:
    """`dumped` without the fields that are absent, as opposed to set to null on purpose."""
    if isinstance(value, BaseModel):
        result: dict[str, Any] = {}
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            if inner is None and field.get_default(call_default_factory=True, validated_data={}) is None:
                continue
            key = field.alias or name
            result[key] = _manifest(inner, dumped[key])
        return result
    if isinstance(value, list):
        return [_manifest(item, plain) for item, plain in zip(value, dumped, strict=True)]
    return dumped


class _Base(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True, validate_default=False
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules that the CRD carries at this object. A subclass adds to them with `Base.rules + (...)`."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        if cls.rules:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [rule.manifest() for rule in cls.rules]
        return schema

    def manifest(self) -> dict[str, Any]:
        """As the API server stores it: camelCase, JSON values, absent fields left out, an explicit null kept."""
        result: dict[str, Any] = _manifest(self, self.model_dump(mode="json", by_alias=True))
        return result


class Model(_Base):
    """Part of a spec: immutable, and a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def keeping(cls, wanted: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
        """`wanted`, and what of `there` only a newer version of the operator knows, in the parts that are wanted."""
        parts = {field.alias or name: _part_in(field.annotation) for name, field in cls.model_fields.items()}
        kept = {name: value for name, value in there.items() if name not in parts}
        for name, value in wanted.items():
            part, found = parts.get(name), there.get(name)
            if part is not None and isinstance(value, Mapping) and isinstance(found, Mapping):
                kept[name] = part.keeping(value, found)
            else:
                kept[name] = value
        return kept


def _part_in(annotation: Any) -> type[Model] | None:
    """The model that a field holds; None for a plain value."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Model)), None)


class StatusModel(_Base):
    """Part of a status: fields of a newer or older version of the operator are ignored. See `known` for words."""

    model_config = ConfigDict(extra="ignore")


def known(words: Iterable[str], otherwise: str | None) -> BeforeValidator:
    """For what stands in a status: a word that only a newer version of the operator has is read as `otherwise`.

    After a step back to the version before, an error would end every pass over the object, its deletion with it.
    """
    ours = tuple(words)
    return BeforeValidator(lambda value: value if value in ours else otherwise)


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        # Such as .NET's date that was never set, 0001-01-01, east of Greenwich.
        raise ValueError("in UTC it is before the year 1 or after the year 9999") from None


Timestamp = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A point in time: RFC 3339 with an offset on the outside, a UTC `datetime` inside."""

Opaque = dict[str, Any]
"""An object whose content belongs to the engine; the CRD preserves whatever is in it."""
