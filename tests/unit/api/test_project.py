"""The project: defaults of the smallest spec, what is refused, and the specs of its children."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from devops_reconciler.api.argo_settings import ArgoSettingsSpec
from devops_reconciler.api.base import Adoption, ComponentName, DeletionPolicy, ManagementPolicy, Mode, effective
from devops_reconciler.api.deployment_record import DeploymentRecordSpec
from devops_reconciler.api.ingress_resource import IngressResourceSpec
from devops_reconciler.api.jenkins_settings import JenkinsSettingsSpec
from devops_reconciler.api.project import DevOpsProjectSpec
from devops_reconciler.api.registry_settings import RegistrySettingsSpec

SMALLEST: dict[str, Any] = {
    "git": {"url": "https://git.example.com/shop.git"},
    "ingress": {"host": "shop.example.com"},
}
FULL: dict[str, Any] = {
    "displayName": "Shop",
    "git": {"url": "https://git.example.com/shop.git", "branch": "main", "credentialsRef": {"name": "git"}},
    "jenkins": {"folder": "shop", "scriptPath": "Jenkinsfile", "parameters": {"KEY": "value"}},
    "registry": {
        "namespace": "acme",
        "repository": "shop",
        "private": True,
        "credentialsRef": {"name": "push"},
        "pullSecretRef": {"name": "pull"},
    },
    "argo": {
        "project": "shop",
        "source": {
            "repoURL": "https://git.example.com/shop-deploy.git",
            "path": "deploy",
            "targetRevision": "main",
            "kind": "Kustomize",
        },
        "kustomize": {"imageName": "acme/shop"},
        "helm": {"imageParameter": "image.repository", "digestParameter": "image.digest"},
        "autoSync": False,
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
    },
    "ingress": {
        "host": "shop.example.com",
        "zone": "example.com",
        "service": {"name": "shop", "port": 80},
        "className": "nginx",
        "tls": {"secretName": "shop-tls"},
        "target": "203.0.113.7",
        "ttl": 600,
        "probe": {"path": "/"},
    },
    "previews": {
        "ttl": "24h",
        "max": 5,
        "host": "{name}.preview.example.com",
        "tlsSecretRef": {"name": "wildcard"},
    },
    "historyLimit": 10,
    "suspend": False,
    "mode": "Apply",
    "managementPolicies": ["Observe", "Create", "Update", "Delete"],
    "deletionPolicy": "Delete",
    "adoption": "Never",
    "driftPolicy": "Repair",
    "components": {
        "jenkins": {},
        "registry": {"deletionPolicy": "Orphan"},
        "argo": {},
        "ingress": {},
        "dns": {},
    },
}
DEFAULTS: dict[str, Any] = {
    **{
        name: FULL[name]
        for name in (
            "historyLimit",
            "suspend",
            "mode",
            "managementPolicies",
            "deletionPolicy",
            "adoption",
            "driftPolicy",
        )
    },
    "git": {"url": "https://git.example.com/shop.git", "branch": "main"},
    "jenkins": {},
    "registry": {"private": True},
    "argo": {
        "source": {"kind": "Kustomize"},
        "kustomize": {},
        "helm": {"imageParameter": "image.repository", "digestParameter": "image.digest"},
        "autoSync": False,
        "destination": {"server": "https://kubernetes.default.svc"},
    },
    "ingress": {"host": "shop.example.com", "service": {"port": 80}, "ttl": 600, "probe": {"path": "/"}},
    "previews": {"ttl": "24h", "max": 5},
    "components": FULL["components"],
}


def test_the_smallest_spec_gets_the_published_defaults_and_no_others() -> None:
    assert DevOpsProjectSpec.model_validate(SMALLEST).manifest() == DEFAULTS


def test_every_published_field_is_taken_as_it_is() -> None:
    assert DevOpsProjectSpec.model_validate(FULL).manifest() == FULL


@pytest.mark.parametrize("missing", ["git", "ingress"])
def test_the_smallest_spec_needs_both(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        DevOpsProjectSpec.model_validate({key: value for key, value in SMALLEST.items() if key != missing})


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"wrong": 1}, "Extra inputs"),
        ({"jenkins": {"parameters": {"IMAGE_TAG": "x"}}}, "set by the operator"),
        ({"jenkins": {"parameters": {"a-b": "x"}}}, "parameter name"),
        ({"jenkins": {"scriptPath": "../Jenkinsfile"}}, "inside the repository"),
        ({"ingress": {"host": "shop.example.com", "ttl": 300}}, "600"),
        ({"ingress": {"host": "shop.example.com", "service": {"port": 0}}}, "greater than or equal to 1"),
        ({"previews": {"ttl": "0s"}}, "above zero"),
        ({"historyLimit": 0}, "greater than or equal to 1"),
        ({"managementPolicies": ["Destroy"]}, "Observe"),
    ],
)
def test_refuses_and_tells_what_to_do(block: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DevOpsProjectSpec.model_validate({**SMALLEST, **block})


def _project(**more: Any) -> DevOpsProjectSpec:
    return DevOpsProjectSpec.model_validate({**FULL, **more})


def test_each_child_has_the_fields_of_its_block_and_git() -> None:
    project = _project()
    children = {
        "jenkins": JenkinsSettingsSpec.from_project(project).manifest(),
        "registry": RegistrySettingsSpec.from_project(project).manifest(),
        "argo": ArgoSettingsSpec.from_project(project).manifest(),
        "ingress": IngressResourceSpec.from_project(project).manifest(),
    }
    for block, child in children.items():
        assert {key: child[key] for key in FULL[block]} == FULL[block]
        assert child["git"] == FULL["git"]
        assert child["suspend"] is False
        assert child["mode"] == "Apply"


def test_each_child_knows_what_else_it_needs() -> None:
    project = _project()
    assert JenkinsSettingsSpec.from_project(project).manifest()["registry"] == {"credentialsRef": {"name": "push"}}
    assert ArgoSettingsSpec.from_project(project).manifest()["registry"] == {"namespace": "acme", "repository": "shop"}
    assert IngressResourceSpec.from_project(project).manifest()["destination"] == FULL["argo"]["destination"]


def test_a_child_has_the_effective_policies_of_its_component() -> None:
    project = _project(
        suspend=True,
        mode="Plan",
        managementPolicies=["Delete", "Observe"],
        components={"argo": {"managementPolicies": [], "adoption": "Always"}, "registry": {"driftPolicy": "Report"}},
    )
    argo = ArgoSettingsSpec.from_project(project)
    assert (argo.management_policies, argo.adoption, argo.suspend, argo.mode) == ([], Adoption.ALWAYS, True, Mode.PLAN)
    jenkins = JenkinsSettingsSpec.from_project(project)
    assert jenkins.management_policies == [ManagementPolicy.OBSERVE, ManagementPolicy.DELETE]
    registry = RegistrySettingsSpec.from_project(project)
    assert (registry.deletion_policy, registry.drift_policy.value) == (DeletionPolicy.ORPHAN, "Report")


def test_the_record_keeps_policies_of_its_own_in_the_child() -> None:
    policies = {"dns": {"adoption": "IfUnowned"}, "ingress": {"deletionPolicy": "Orphan"}}
    project = _project(components=policies)
    child = IngressResourceSpec.from_project(project)
    for component in (ComponentName.DNS, ComponentName.INGRESS):
        assert effective(child, child.components, component) == effective(project, project.components, component)


def test_a_child_is_usable_alone() -> None:
    git = {"git": SMALLEST["git"]}
    assert JenkinsSettingsSpec.model_validate(git).folder is None
    assert ArgoSettingsSpec.model_validate(git).auto_sync is False
    assert RegistrySettingsSpec.model_validate({}).deletion_policy is DeletionPolicy.ORPHAN
    assert RegistrySettingsSpec.model_validate({"deletionPolicy": "Delete"}).deletion_policy is DeletionPolicy.DELETE
    assert IngressResourceSpec.model_validate(SMALLEST["ingress"]).probe is not None


def test_the_smallest_record_deploys_the_branch_to_production() -> None:
    record = DeploymentRecordSpec.model_validate({"projectRef": {"name": "shop"}})
    assert record.manifest() == {
        "projectRef": {"name": "shop"},
        "environment": "production",
        "concurrencyPolicy": "Queue",
        "cancel": False,
    }
