"""The generated CRDs: the rules of structural schemas, and the published names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from devops_reconciler.api.crd import crds, crds_yaml
from devops_reconciler.api.structural import structural_schema

OWN = {crd["spec"]["names"]["kind"]: crd for crd in crds() if crd["spec"]["group"] == "freeleaps.com"}

NAMES = {
    "DevOpsProject": ("devopsprojects", "dop"),
    "JenkinsSettings": ("jenkinssettings", "jks"),
    "RegistrySettings": ("registrysettings", "regs"),
    "ArgoSettings": ("argosettings", "args"),
    "IngressResource": ("ingressresources", "ingr"),
    "DeploymentRecord": ("deploymentrecords", "dr"),
}


def _schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = OWN[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _nodes(schema[key], f"{path}[]")


ALL_NODES = [(kind, path, node) for kind in OWN for path, node in _nodes(_schema(kind))]


def test_the_yaml_says_what_the_objects_say() -> None:
    assert list(yaml.safe_load_all(crds_yaml())) == crds()
    assert "&id" not in crds_yaml()


def test_the_published_names() -> None:
    assert set(OWN) == set(NAMES)
    for kind, (plural, short) in NAMES.items():
        spec = OWN[kind]["spec"]
        assert OWN[kind]["metadata"]["name"] == f"{plural}.freeleaps.com"
        assert (spec["names"]["plural"], spec["names"]["shortNames"]) == (plural, [short])
        assert spec["names"]["categories"] == ["freeleaps"]
        assert spec["scope"] == "Namespaced"
        assert [version["name"] for version in spec["versions"]] == ["v1alpha1"]
        assert spec["versions"][0]["subresources"] == {"status": {}}


def test_the_peering_of_kopf_is_there() -> None:
    found = {crd["metadata"]["name"]: crd["spec"]["scope"] for crd in crds() if crd["spec"]["group"] == "kopf.dev"}
    assert found == {"kopfpeerings.kopf.dev": "Namespaced", "clusterkopfpeerings.kopf.dev": "Cluster"}


def test_every_node_is_structural() -> None:
    for kind, path, node in ALL_NODES:
        where = f"{kind}{path}"
        assert "type" in node or node.get("x-kubernetes-int-or-string"), where
        assert not {"$ref", "allOf", "oneOf", "const", "title"} & set(node), where
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string"), where
        assert node.get("additionalProperties") not in (True, False), where
        assert not {key for key in node if key.startswith("x-") and not key.startswith("x-kubernetes-")}, where


def test_every_node_that_users_see_is_described() -> None:
    bare = [f"{kind}{path}" for kind, path, node in ALL_NODES if "description" not in node and "[]" not in path]
    assert [path for path in bare if "metadata" not in path] == []


def test_rules_are_bounded_and_tell_what_to_do() -> None:
    for kind, path, node in ALL_NODES:
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], f"{kind}{path}"
            assert "\n" not in rule["message"] + rule["rule"], f"{kind}{path}"
        if ".spec" in path and node.get("type") == "string":
            assert "maxLength" in node or "enum" in node or node.get("format") == "date-time", f"{kind}{path}"
        if ".spec" in path and node.get("type") == "array":
            assert "maxItems" in node, f"{kind}{path}"
        if "additionalProperties" in node:
            assert "maxProperties" in node or ".status" in path, f"{kind}{path}"


@pytest.mark.parametrize("kind", OWN)
def test_a_fresh_object_is_not_current(kind: str) -> None:
    status = _schema(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert [path for path, node in _nodes(status) if "default" in node] == [""]


@pytest.mark.parametrize("kind", OWN)
def test_conditions_are_a_map_by_type(kind: str) -> None:
    conditions = _schema(kind)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize("kind", OWN)
def test_what_the_engine_remembers_is_kept_as_it_is(kind: str) -> None:
    for name in ("applied", "plan"):
        items = _schema(kind)["properties"]["status"]["properties"][name]["items"]
        assert items == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize("kind", OWN)
def test_columns_begin_and_end_the_same(kind: str) -> None:
    names = [column["name"] for column in OWN[kind]["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert "Ready" in names
    assert names[names.index("Ready") + 1] == "Reason"
    assert names[-1] == "Age"


def test_only_the_probe_may_be_null() -> None:
    found = {(kind, path) for kind, path, node in ALL_NODES if node.get("nullable")}
    assert found == {("DevOpsProject", ".spec.ingress.probe"), ("IngressResource", ".spec.probe")}


def test_a_url_is_checked_where_the_error_does_not_quote_it() -> None:
    git = _schema("DevOpsProject")["properties"]["spec"]["properties"]["git"]
    assert git["x-kubernetes-validations"][0]["fieldPath"] == ".url"
    assert "pattern" not in git["properties"]["url"]


def test_what_may_come_from_the_project_file_has_no_default() -> None:
    spec = _schema("DevOpsProject")["properties"]["spec"]["properties"]
    open_fields = [
        spec["jenkins"]["properties"]["scriptPath"],
        spec["jenkins"]["properties"]["parameters"],
        spec["argo"]["properties"]["source"]["properties"]["path"],
    ]
    assert [field.get("default") for field in open_fields] == [None, None, None]


def test_a_union_of_two_types_is_refused() -> None:
    class Odd(BaseModel):
        value: int | str

    with pytest.raises(TypeError, match="union"):
        structural_schema(Odd)


def test_no_reference_to_a_secret_can_name_a_namespace() -> None:
    found = [
        (f"{kind}{path}", set(schema["properties"]), schema)
        for kind in OWN
        for path, schema in _nodes(_schema(kind)["properties"]["spec"])
        if path.endswith(("Ref", "tls"))
    ]
    assert len(found) >= 8
    assert [path for path, fields, _ in found if not fields <= {"name", "secretName"}] == []
    assert [path for path, _, schema in found if schema.get("x-kubernetes-preserve-unknown-fields")] == []
