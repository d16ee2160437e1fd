"""The chart: what of it is made from the code, and the plain manifests that are made from it.

Rendering needs helm, which is built when it is first needed. Whether the manifests are those of the chart can be told
without it: they carry a digest of all that they are made from.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from devops_reconciler.runtime.settings import GROUPS, documentation, is_secret
from testbed import build

DEPLOY = Path(__file__).parent.parent / "deploy"
CHART = DEPLOY / "chart" / "devops-reconciler"
SCHEMA = CHART / "values.schema.json"
ALERTS = CHART / "files" / "alerts"
MANIFESTS = DEPLOY / "manifests" / "devops-reconciler.yaml"
VALUES = DEPLOY / "manifests" / "values.yaml"
RELEASE, NAMESPACE = "devops-reconciler", "freeleaps-devops-system"
RULE_KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
DECIDED = frozenset(
    {
        "RECONCILER_NAMESPACES",
        "OPERATOR_NAMESPACE",
        "RECONCILER_PEERING_NAME",
        "RECONCILER_HTTP_HOST",
        "RECONCILER_HTTP_PORT",
        "RECONCILER_SECRETS_DIR",
        "KUBECONFIG",
    }
)
"""Variables that the chart sets from other values, or that have no use in a pod."""
NEEDED = ["RABBITMQ_HOST", "RABBITMQ_PORT", "JENKINS_ENDPOINT", "ARGOCD_ENDPOINT"]
_FORMS: dict[str, dict[str, Any]] = {
    "JENKINS_ENDPOINT": {"type": "string", "pattern": "^https?://[^/]+"},
    "ARGOCD_ENDPOINT": {"type": "string", "pattern": "^https?://[^/]+"},
    "RABBITMQ_PORT": {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 1, "maximum": 65535},
}
_HELM_ONLY = ("app.kubernetes.io/managed-by:", "helm.sh/chart:")


def variables() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each variable of the configuration that a value can set, its schema, and whether it is a secret."""
    for group in GROUPS:
        for field in group.model_fields:
            name = field.upper()
            doc, unit = documentation(group, field)
            form = _FORMS.get(name, {"type": ["string", "number", "boolean"]})
            described = {"description": f"{doc.sentence} {unit[0].upper()}{unit[1:]}.", **form}
            if name not in DECIDED:
                yield name, described, is_secret(group, field)


def schema() -> str:
    """The schema of the values as it should be: the parts about the configuration are made from the settings."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    known = list(variables())
    found["$defs"]["config"] = {
        "type": "object",
        "description": "Variables that are no secrets, by their names.",
        "properties": {name: form for name, form, secret in known if not secret},
        "patternProperties": {"^OTEL_": {"type": ["string", "number", "boolean"]}},
        "additionalProperties": False,
        "required": NEEDED,
    }
    found["$defs"]["secrets"] = {
        "type": "object",
        "description": "Variables for a Secret that the chart makes.",
        "properties": {name: {"type": "string", "description": form["description"]} for name, form, _ in known},
        "additionalProperties": False,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def alerts() -> dict[Path, str]:
    """The files of alert rules as the chart has them: a chart can only read what is inside of it."""
    sources = sorted((DEPLOY / "alerts").glob("*.yaml"))
    return {ALERTS / path.name: path.read_text() for path in sources if "groups" in yaml.safe_load(path.read_text())}


def digest() -> str:
    """Of all that the manifests are made from."""
    found = hashlib.sha256()
    templates = sorted(each for each in (CHART / "templates").rglob("*") if each.is_file())
    for path in (CHART / "Chart.yaml", CHART / "values.yaml", *templates, VALUES):
        found.update(f"{path.relative_to(DEPLOY)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def head() -> str:
    """The first line of the manifests."""
    return f"# Made from the chart by 'make docs'; change that, not this file. Digest of the chart: {digest()}\n"


def manifests() -> str:
    """The chart, rendered with the values of the manifests, without what only Helm needs."""
    rendered = template(["--values", str(VALUES)])
    kept = [line for line in rendered.splitlines() if not line.strip().startswith(_HELM_ONLY)]
    return head() + "\n".join(kept) + "\n"


def template(arguments: Sequence[str]) -> str:
    """What ``helm template`` prints; its refusal is a CalledProcessError whose ``stderr`` says why."""
    helm = build.ensure("helm") / "helm"
    command = [str(helm), "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def rights(namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """The service account and exactly the rights that the chart gives it, for an operator in this namespace."""
    text = MANIFESTS.read_text().replace(NAMESPACE, namespace)
    documents: list[Mapping[str, Any]] = [each for each in yaml.safe_load_all(text) if each]
    return [dict(each) for each in documents if each["kind"] in RULE_KINDS]
