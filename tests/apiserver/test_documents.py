"""The kubectl commands of the documents, run as they stand against objects of the API server.

Each page gets a namespace with one object of each kind, all Ready: the operator itself is not needed to show that a
command does what the page says.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from devops_reconciler.api.definitions import DEFINITIONS, GROUP, VERSION
from devops_reconciler.api.examples import EXAMPLES
from testbed.kubernetes import ControlPlane
from testbed.reader_shell import ReaderShell
from tests.unit.docs.commands import PAGES, ROOT, Command, commands

ELSEWHERE = {"docs/quickstart.md", "docs/installation.md", "docs/upgrade.md"}
"""Their commands are run in their order by `test_installation.py`."""
PARTS = {"kubectl delete crd", "kubectl wait", "kubectl wait --for=condition=Ready"}
"""Beginnings of commands, in sentences."""
TOLD = {page: found for page in PAGES if (found := [each for each in commands(page) if each.program == "kubectl"])}
FILES = re.compile(r"\s(?:-f|--filename)[ =]([\w./-]+\.yaml)")
NOW = "2026-01-01T12:00:00Z"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def status(kind: str) -> dict[str, Any]:
    """As of an object with which all is well, whatever is changed in its spec."""
    found: dict[str, Any] = {
        "observedGeneration": 1000,
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": NOW}
        ],
    }
    more: dict[str, dict[str, Any]] = {
        "DevOpsProject": {"environments": [{"name": "production", "holder": "shop-pr-7"}]},
        "JenkinsSettings": {"projectFile": {"found": False}, "url": "https://jenkins.example.com/job/shop/job/shop/"},
        "RegistrySettings": {"image": "acme/shop"},
        "ArgoSettings": {"url": "https://argocd.example.com/applications/argocd/shop"},
        "IngressResource": {"target": "203.0.113.7"},
        "DeploymentRecord": {"steps": [{"name": "build", "state": "Succeeded"}]},
    }
    return found | more[kind]


def example(kind: str) -> str:
    name, spec = EXAMPLES[kind]
    return yaml.safe_dump({"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec})


def kind_of(page: Path) -> str:
    """The kind that a page is about: files that it applies are its example."""
    kinds = {definition.kind.lower(): definition.kind for definition in DEFINITIONS}
    return kinds.get(page.stem, "DevOpsProject")


class Reader(ReaderShell):
    """Somebody who types what a page says, in a namespace of their own."""

    def __init__(self, plane: ControlPlane, namespace: str, home: Path) -> None:
        self._namespace = namespace
        self._plane = plane
        config = home / "kubeconfig"
        config.write_text(Path(plane.kubeconfig(namespace=namespace)).read_text())
        super().__init__(home, config, [plane.programs])

    def types(self, commands: str) -> str:
        return super().types(re.sub(r"freeleaps-devops-system\b", self._namespace, commands))

    def all_is_well(self) -> None:
        """Each object gets the status that an operator would have given it."""
        for definition in DEFINITIONS:
            name = EXAMPLES[definition.kind][0]
            path = f"/apis/{GROUP}/{VERSION}/namespaces/{self._namespace}/{definition.plural}/{name}/status"
            asyncio.run(self._plane.api().patch(path, {"status": status(definition.kind)}))


@pytest.fixture
def reader(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Reader:
    """With an object of each kind, Ready."""
    made = Reader(control_plane, namespace, tmp_path)
    (tmp_path / "made.yaml").write_text("---\n".join(example(definition.kind) for definition in DEFINITIONS))
    made.types("kubectl apply --filename made.yaml")
    made.all_is_well()
    return made


@pytest.mark.parametrize("page", [page for page in TOLD if name_of(page) not in ELSEWHERE], ids=name_of)
def test_each_kubectl_command_of_a_page_works(page: Path, reader: Reader) -> None:
    for command in TOLD[page]:
        if command.text not in PARTS:
            prepare(command, page, reader)
            said = reader.types(command.text)
            assert said.strip() or "jsonpath" not in command.text, f"{command.text} finds nothing"
            if FILES.search(command.text):
                reader.all_is_well()


def prepare(command: Command, page: Path, reader: Reader) -> None:
    """The file that a command names; what it creates must not be there yet."""
    for file in FILES.findall(command.text):
        (reader.home / file).write_text(example(kind_of(page)))
        if command.words[1] == "create":
            reader.types(f"kubectl delete --filename {file}")


def test_what_is_passed_over_is_there_and_said_nowhere_but_in_sentences() -> None:
    texts = {each.text: each.in_block for told in TOLD.values() for each in told}
    assert [text for text in PARTS if text not in texts or texts[text]] == []
