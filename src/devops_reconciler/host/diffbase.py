"""What Kopf takes for the last handled state, derived from `observedGeneration`: nothing is written to the object.

Kopf keeps a copy of the spec in an annotation by default: one more write per object, a limit of 256 KiB, and a place
where a secret could end up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import kopf


class ObservedGeneration(kopf.DiffBaseStorage):
    """Handled is what the status says was observed; a newer generation is an update, an unseen object a creation."""

    def fetch(self, *, body: kopf.Body) -> Any:
        observed = (body.get("status") or {}).get("observedGeneration", -1)
        if observed < 0:
            return None
        essence: dict[str, Any] = dict(self.build(body=body))
        if observed != body["metadata"].get("generation"):
            essence.pop("spec", None)
        return essence

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """Nothing to store."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> Any:
        return {"spec": dict(body.get("spec") or {})}
