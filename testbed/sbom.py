"""The bill of materials of the operator, in CycloneDX, from the packages that its image installs.

Like ``requirements.txt``, from which it is made, it changes only when a version does: it carries no time and no serial
number. The hashes of the packages' files stand there.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
SBOM = ROOT / "deploy" / "sbom.json"
_PACKAGE = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(?:\s*;\s*([^\\]+))?")


@dataclass
class Package:
    """One locked package; ``via`` are those that need it, ``marker`` says where it is needed."""

    name: str
    version: str
    marker: str = ""
    via: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(requirements: str) -> list[Package]:
    """What ``uv pip compile`` has locked, with who needs it, as its comments say."""
    found: list[Package] = []
    for line in requirements.splitlines():
        if match := _PACKAGE.match(line):
            found.append(Package(match[1], match[2], (match[3] or "").strip()))
        elif found and line.startswith("    #"):
            needed_by = line.strip("# ").removeprefix("via").split(" (")[0].strip()
            found[-1].via += [needed_by] if needed_by else []
    return found


def sbom() -> str:
    """The whole document, as text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    us = Package(project["name"], project["version"])
    locked = packages(REQUIREMENTS.read_text())
    needs = defaultdict(list)
    for each in locked:
        for name in each.via:
            needs[name].append(each.purl)
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**_component(us), "type": "application", **_licence(project["license"])}},
        "components": [_component(each) for each in locked],
        "dependencies": [{"ref": each.purl, "dependsOn": sorted(needs[each.name])} for each in (us, *locked)],
    }
    return json.dumps(document, indent=2) + "\n"


def _component(package: Package) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    }
    if package.marker:
        shown["properties"] = [{"name": "python:marker", "value": package.marker}]
    return shown


def _licence(id: str) -> dict[str, Any]:
    return {"licenses": [{"license": {"id": id}}]}
