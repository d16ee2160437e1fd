"""The commands of the pages on set-up, run as they stand, in their order, against a real API server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from devops_reconciler.runtime.settings import ConfigurationValidator
from testbed import build, chart
from testbed.kubernetes import ControlPlane
from testbed.reader_shell import ReaderShell, blocks, files, page

from .newcomer import ARGOCD_SETTINGS, NOT_TYPED

ROOT = Path(__file__).parents[2]
PAGES = ("quickstart.md", "upgrade.md", "installation.md")
"""In the order in which a newcomer comes to them."""
NEEDS = (
    *NOT_TYPED,
    " rollout status ",
    " exec ",
    " wait ",
    "get dop,dr",
    "delete dop ",
    "rabbitmqadmin ",
)
"""What has no place on a bare API server: accounts elsewhere, containers that run, an operator that acts.

Of the quickstart tests/apiserver/test_quickstart.py types most of these too."""


def quickstart_files() -> dict[str, str]:
    """The files that the quickstart names before their content."""
    found = files(page("quickstart.md"))
    assert found.keys() >= {"values.yaml", "shop.yaml", "manifests/kustomization.yaml"}
    return found


@pytest.fixture
def cluster() -> Iterator[ControlPlane]:
    """One that has never heard of us, with what Argo CD has for its settings."""
    control_plane = ControlPlane()
    control_plane.start()
    asyncio.run(control_plane.apply(ARGOCD_SETTINGS))
    yield control_plane
    control_plane.stop()


def test_every_command_works_in_its_order(cluster: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    newcomer = ReaderShell(tmp_path, cluster.kubeconfig(), [cluster.programs, build.ensure("helm")])
    newcomer.keeps(quickstart_files())

    said = "".join(newcomer.types(commands) for name in PAGES for commands in blocks(page(name), "sh"))

    assert "devopsproject.freeleaps.com/shop created" in said
    assert "STATUS: deployed" in said
    assert "Rollback was a success" in said
    space = "/apis/apps/v1/namespaces/freeleaps-devops-system/deployments/devops-reconciler"
    assert asyncio.run(cluster.get(space))["spec"]["replicas"] == 2
    policy = asyncio.run(cluster.get("/api/v1/namespaces/argocd/configmaps/argocd-rbac-cm"))["data"]
    assert "p, role:devops-reconciler, applications, sync, */*, allow\n" in policy["policy.devops-reconciler.csv"]
    newcomer.types("kubectl create namespace shop")
    rolled_out = newcomer.types("kubectl apply --namespace shop --dry-run=server --kustomize manifests")
    assert rolled_out.splitlines() == [
        "service/shop created (server dry run)",
        "deployment.apps/shop created (server dry run)",
    ]


def test_the_values_and_the_secret_of_the_quickstart_are_a_good_configuration(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(quickstart_files()["values.yaml"])
    objects = [each for each in yaml.safe_load_all(chart.template(["--values", str(tmp_path / "values.yaml")])) if each]
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    given = variables(deployment) | dict(re.findall(r"--from-literal=(\w+)=(\S+)", page("quickstart.md")))
    del given["RECONCILER_SECRETS_DIR"]

    validator = ConfigurationValidator(given)

    assert (validator.validate(), validator.warnings) == ([], [])


def variables(deployment: Mapping[str, Any]) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


@pytest.mark.parametrize("name", PAGES)
def test_every_other_command_is_one_that_needs_more_than_an_api_server(name: str) -> None:
    commands = "".join(blocks(page(name), "")).replace("\\\n", " ")
    assert [line for line in commands.splitlines() if not any(each in line for each in NEEDS)] == []
