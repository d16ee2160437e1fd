"""The generated documents: that the committed ones are fresh, and that they hang together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devops_reconciler.api.definitions import DEFINITIONS
from devops_reconciler.api.documents import documents, write
from devops_reconciler.api.examples import EXAMPLES

ROOT = Path(__file__).parents[3]
DOCUMENTS = documents()


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_committed_document_is_fresh(path: str) -> None:
    assert (ROOT / path).read_text() == DOCUMENTS[path], "run: python -m devops_reconciler.api.documents"


def test_writing_makes_the_folders(tmp_path: Path) -> None:
    write(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(DOCUMENTS)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_each_kind_has_a_page_with_every_field_and_an_example(definition: Any) -> None:
    page = DOCUMENTS[f"docs/reference/{definition.kind.lower()}.md"]
    missing = [
        field.alias
        for model in (definition.spec, definition.status)
        for field in model.model_fields.values()
        if f"| `{field.alias}` |" not in page
    ]
    assert missing == []
    assert definition.spec.model_validate(EXAMPLES[definition.kind][1])


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_each_page_has_its_four_parts_and_nothing_is_left_to_fill_in(definition: Any) -> None:
    page = DOCUMENTS[f"docs/reference/{definition.kind.lower()}.md"]
    heads = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [re.sub(f" (a |an )?{definition.kind}s?$", "", head) for head in heads] == [
        "Example",
        "Writing",
        "Working with",
        "Status",
    ]
    assert re.findall(r"<!-- (\w+) -->", page) == []


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.kind)
def test_what_a_page_says_to_write_is_taken_by_the_model(definition: Any) -> None:
    page = DOCUMENTS[f"docs/reference/{definition.kind.lower()}.md"]
    shown = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    specs = [each["spec"] for each in shown if "spec" in each]
    for spec in specs:
        definition.spec.model_validate(EXAMPLES[definition.kind][1] | spec)
    patches = [json.loads(text) for text in re.findall(r"--patch '([^']+)'", page)]
    for patch in patches:
        definition.spec.model_validate(EXAMPLES[definition.kind][1] | patch["spec"])
    assert len(specs) > (definition.kind == "DevOpsProject")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _resolves(document: Any, reference: str) -> bool:
    node = document
    for part in reference.removeprefix("#/").split("/"):
        if part not in node:
            return False
        node = node[part]
    return True


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    folder = "docs/reference/messages"
    document = yaml.safe_load(DOCUMENTS[f"{folder}/asyncapi.yaml"])
    for reference in _references(document):
        if reference.startswith("#/"):
            assert _resolves(document, reference), reference
        else:
            assert f"{folder}/{reference.removeprefix('./')}" in DOCUMENTS


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.endswith(".json")])
def test_every_reference_of_a_schema_leads_somewhere(path: str) -> None:
    schema = json.loads(DOCUMENTS[path])
    assert [reference for reference in _references(schema) if not _resolves(schema, reference)] == []


def test_the_channels_are_the_published_exchanges_and_keys() -> None:
    document = yaml.safe_load(DOCUMENTS["docs/reference/messages/asyncapi.yaml"])
    found = {
        name: (channel["bindings"]["amqp"]["exchange"]["name"], channel["address"])
        for name, channel in document["channels"].items()
    }
    assert found == {
        "DevOpsInitialize": ("devops", "devops.initialize"),
        "DevOpsReconcile": ("devops", "devops.reconcile"),
        "DevOpsReconcileJobHeartbeat": ("devops.heartbeat", "{project}.{deployment}"),
    }
