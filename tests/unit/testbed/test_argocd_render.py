"""The stand-in Argo CD refuses what Kustomize cannot read, and shares no manifest between two renderings."""

from __future__ import annotations

import pytest

from standins.argocd_git import SourceError
from standins.argocd_render import kustomize, source_type

BOTH = {"kustomize": {"images": ["a=b"]}, "helm": {"parameters": [{"name": "a", "value": "b"}]}}
SERVICE = b"apiVersion: v1\nkind: Service\nmetadata: {name: shop}\n"


@pytest.mark.parametrize(
    "text", [b"resources: [a.yaml]\n---\nresources: [b.yaml]\n", b"resources: [\xff]\n", b"a: [\n"]
)
def test_a_kustomization_that_is_not_one_document_is_invalid(text: bytes) -> None:
    with pytest.raises(SourceError, match=r"^invalid Kustomization: "):
        kustomize({"deploy/kustomization.yaml": text}, "deploy", [])


def test_an_empty_kustomization_is_told_as_empty() -> None:
    with pytest.raises(SourceError, match=r"^kustomization\.yaml is empty$"):
        kustomize({"deploy/kustomization.yaml": b""}, "deploy", [])


def test_what_one_rendering_sets_does_not_show_in_another() -> None:
    files = {"service.yaml": SERVICE}
    for namespace in ("one", "two"):
        kustomization = f"resources: [../service.yaml]\nnamespace: {namespace}\n".encode()
        (found,) = kustomize({**files, "deploy/kustomization.yaml": kustomization}, "deploy", [])
        assert found["metadata"] == {"name": "shop", "namespace": namespace}
    (plain,) = kustomize({**files, "deploy/kustomization.yaml": b"resources: [../service.yaml]\n"}, "deploy", [])
    assert plain["metadata"] == {"name": "shop"}


def test_a_source_with_blocks_for_two_tools_has_no_type() -> None:
    with pytest.raises(SourceError, match=r"^multiple application sources defined: Kustomize,Helm$"):
        source_type({}, BOTH)
    assert source_type({}, {**BOTH, "helm": {}}) == "Kustomize"
