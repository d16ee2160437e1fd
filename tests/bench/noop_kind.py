"""The kind of the operators that only write: as large as one of ours, and Ready by the same condition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GROUP, VERSION, KIND, PLURAL = "bench.freeleaps.com", "v1", "Noop", "noops"
PAYLOAD = "x" * 400
"""The spec, and in a status about what a ledger of things outside takes."""
READY = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": PAYLOAD[:100]}
WORKING = {"type": "Ready", "status": "False", "reason": "Progressing", "message": PAYLOAD[:100]}
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": KIND, "plural": PLURAL, "singular": "noop"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": _OPEN, "status": _OPEN}}},
            }
        ],
    },
}


def collection(namespace: str) -> str:
    """The path of all of a namespace."""
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"


def bodies(namespace: str, count: int, prefix: str = "noop") -> Iterator[tuple[str, dict[str, Any]]]:
    """So many of them: where each is created, and what."""
    for number in range(count):
        yield (
            collection(namespace),
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "metadata": {"name": f"{prefix}-{number:05}", "namespace": namespace},
                "spec": {"payload": PAYLOAD},
            },
        )
