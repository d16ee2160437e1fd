"""All documents that are generated from the models: `python -m devops_reconciler.api.documents [ROOT]` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from .asyncapi import asyncapi
from .crd import crds_yaml
from .definitions import DEFINITIONS
from .messages import json_schemas
from .reference import kind_page


def documents() -> dict[str, str]:
    """The text of every document, by its path in the repository."""
    found = {"deploy/crds/crds.yaml": crds_yaml()}
    for definition in DEFINITIONS:
        found[f"docs/reference/{definition.kind.lower()}.md"] = kind_page(definition)
    for name, schema in json_schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        found[f"docs/reference/messages/schemas/{name}.json"] = f"{text}\n"
    found["docs/reference/messages/asyncapi.yaml"] = yaml.safe_dump(asyncapi(), sort_keys=False, width=120)
    return found


def write(root: Path) -> None:
    """Write every document below `root`."""
    for path, text in documents().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
