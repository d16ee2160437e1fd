"""What holds for every model: descriptions, immutability, the two spellings of a field, round trips."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from devops_reconciler.api import messages
from devops_reconciler.api.base import Duration, Model, StatusModel, Timestamp
from devops_reconciler.api.definitions import DEFINITIONS
from devops_reconciler.api.project import DevOpsProjectSpec

SMALLEST = {"git": {"url": "https://git.example.com/shop.git"}, "ingress": {"host": "shop.example.com"}}


def _inner_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inner_models(argument)


def _reachable(*roots: type[BaseModel]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}
    waiting = list(roots)
    while waiting:
        model = waiting.pop()
        if model not in found:
            found[model] = None
            waiting += [inner for field in model.model_fields.values() for inner in _inner_models(field.annotation)]
    return list(found)


SPECS = [definition.spec for definition in DEFINITIONS]
STATUSES = [definition.status for definition in DEFINITIONS]
MESSAGES: list[type[BaseModel]] = [messages.InitializeMessage, messages.ReconcileMessage, messages.HeartbeatMessage]


@pytest.mark.parametrize("model", _reachable(*SPECS, *STATUSES, *MESSAGES), ids=lambda model: model.__name__)
def test_every_field_has_a_description_that_is_a_sentence(model: type[BaseModel]) -> None:
    missing = [name for name, field in model.model_fields.items() if not field.description]
    assert missing == []
    unfinished = [name for name, field in model.model_fields.items() if not str(field.description).endswith((".", "…"))]
    assert unfinished == []


@pytest.mark.parametrize("model", _reachable(*SPECS), ids=lambda model: model.__name__)
def test_every_part_of_a_spec_is_frozen_and_refuses_what_it_does_not_know(model: type[BaseModel]) -> None:
    assert issubclass(model, Model)
    assert model.model_config["frozen"] is True
    assert model.model_config["extra"] == "forbid"


@pytest.mark.parametrize("model", STATUSES, ids=lambda model: model.__name__)
def test_a_status_ignores_what_another_version_wrote(model: type[StatusModel]) -> None:
    status = model.model_validate({"fromTheFuture": 1})
    assert status.manifest()["observedGeneration"] == -1
    assert "fromTheFuture" not in status.manifest()


def _has_words(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return True
    return any(map(_has_words, get_args(annotation)))


WORDS = [
    (model, name)
    for model in _reachable(*STATUSES)
    for name, field in model.model_fields.items()
    if _has_words(field.annotation)
]


@pytest.mark.parametrize(("model", "name"), WORDS, ids=lambda each: getattr(each, "__name__", each))
def test_a_word_in_a_status_that_only_a_newer_version_has_is_no_error(model: type[StatusModel], name: str) -> None:
    field = model.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, *field.metadata])
    assert adapter.validate_python("OfTomorrow") == field.get_default()


@pytest.mark.parametrize("model", STATUSES, ids=lambda model: model.__name__)
def test_two_new_statuses_share_nothing(model: type[StatusModel]) -> None:
    one, other = model(), model()
    shared = [
        name
        for name in model.model_fields
        if isinstance(getattr(one, name), list | StatusModel) and getattr(one, name) is getattr(other, name)
    ]
    assert shared == []


def test_a_status_round_trips() -> None:
    for definition in DEFINITIONS:
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        plain = {"observedGeneration": 3, "conditions": [condition], "applied": [{"any": [1, {"x": None}]}], "plan": []}
        manifest = definition.status.model_validate(plain).manifest()
        assert {key: manifest[key] for key in plain} == plain


def test_a_spec_round_trips() -> None:
    spec = DevOpsProjectSpec.model_validate(SMALLEST)
    assert DevOpsProjectSpec.model_validate(spec.manifest()) == spec


def test_a_manifest_leaves_absent_fields_out_and_keeps_a_null_that_means_something() -> None:
    spec = DevOpsProjectSpec.model_validate({**SMALLEST, "ingress": {"host": "shop.example.com", "probe": None}})
    manifest = spec.manifest()
    assert manifest["ingress"]["probe"] is None
    assert "zone" not in manifest["ingress"]
    assert "displayName" not in manifest
    assert DevOpsProjectSpec.model_validate(manifest).ingress.probe is None


def test_fields_go_by_their_python_names_too() -> None:
    class Example(Model):
        time_to_live: Duration
        """Any."""

    assert Example(time_to_live="90s") == Example.model_validate({"timeToLive": 90})


def test_a_timestamp_is_utc_inside_and_needs_an_offset() -> None:
    class Example(StatusModel):
        at: Timestamp
        """Any."""

    assert Example.model_validate({"at": "2026-01-01T02:00:00+02:00"}).manifest() == {"at": "2026-01-01T00:00:00Z"}
    with pytest.raises(ValidationError, match="timezone"):
        Example.model_validate({"at": "2026-01-01T02:00:00"})
