"""What holds for every resource: found again from its value, which holds no secret; and it is in the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from devops_reconciler.api.blocks import SourceKind
from devops_reconciler.resources.address import Address, PublishedName
from devops_reconciler.resources.argo_application import ArgoApplication
from devops_reconciler.resources.argo_project import ArgoProject
from devops_reconciler.resources.argo_release import ArgoRelease
from devops_reconciler.resources.argo_repository import ArgoRepository
from devops_reconciler.resources.argo_sync import ArgoHealth, ArgoSync
from devops_reconciler.resources.catalog import REMOVALS, RESOURCES
from devops_reconciler.resources.child import ProjectChild
from devops_reconciler.resources.dns_record import DnsRecord
from devops_reconciler.resources.environment import EnvironmentClaim
from devops_reconciler.resources.git_revision import GitRevision
from devops_reconciler.resources.hub_repository import HubRepository
from devops_reconciler.resources.image import Image, PinnedImage
from devops_reconciler.resources.ingress import IngressRoute
from devops_reconciler.resources.jenkins_build import JenkinsBuild
from devops_reconciler.resources.jenkins_credentials import JenkinsCredentials
from devops_reconciler.resources.jenkins_folder import JenkinsFolder
from devops_reconciler.resources.jenkins_job import JenkinsJob
from devops_reconciler.resources.namespace import DestinationNamespace, PreviewNamespace
from devops_reconciler.resources.secret_copy import SecretCopy
from devops_reconciler.resources.world import CONSISTENT, LAGS, ExternalResource
from tests.unit.world import outside

PASSWORD = "correct-horse-battery-staple"
DIGEST = "sha256:" + "a" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://git.example.com/shop.git"

EXAMPLES: tuple[ExternalResource, ...] = (
    PublishedName(zone="example.com", host="shop.example.com", type="A", data="203.0.113.7", waited=timedelta(3)),
    Address(host="shop.example.com", target="203.0.113.7", path="/", tls=True, waited=timedelta(3)),
    Address(host="shop.example.com", target="203.0.113.7", path=None, tls=False),
    ArgoApplication(
        name="shop",
        project="shop",
        devops_project="shop",
        environment="production",
        repo_url=URL,
        path="deploy",
        target_revision="main",
        server="https://kubernetes.default.svc",
        namespace="shop",
        release={"source": {"targetRevision": "abc", "kustomize": {"images": ["a=b"]}}, "syncPolicy": None},
    ),
    ArgoProject(name="shop", source_repos=(URL,), destinations=(("https://kubernetes.default.svc", "shop"),)),
    ArgoRelease(
        name="shop",
        project="shop",
        kind=SourceKind.HELM,
        image=f"acme/shop@{DIGEST}",
        image_name="acme/shop",
        image_parameter="image.repository",
        digest_parameter="image.digest",
        target_revision=None,
        auto_sync=False,
    ),
    ArgoRepository(url=URL, username="git", password=SecretStr(PASSWORD), password_version="v1", user="team-a/shop"),
    ArgoSync(name="shop", project="shop", uid="uid-1"),
    ArgoHealth(name="shop", project="shop", image_digest=DIGEST, synced_at=NOW, since=NOW, stable_for=timedelta(15)),
    ArgoHealth(name="shop", project="shop", synced_at=NOW, stable_for=timedelta(0)),
    ProjectChild(
        child_kind="JenkinsSettings", namespace="team-a", name="shop", owner_uid="u", spec={"git": {"url": URL}}
    ),
    DnsRecord(
        zone="example.com", host="shop.example.com", type="A", data="203.0.113.7", ttl=600, previous=("192.0.2.1",)
    ),
    EnvironmentClaim(
        namespace="team-a",
        project="shop",
        environment="production",
        record="one",
        commit="abc",
        image="acme/shop",
        image_digest=DIGEST,
        expires_at=NOW,
    ),
    GitRevision(url=URL, revision="main", username="git", password=SecretStr(PASSWORD)),
    HubRepository(namespace="acme", repository="shop", private=True),
    Image(namespace="acme", repository="shop", tag="abc-1", form="acme/shop"),
    PinnedImage(form="acme/shop", image_digest=DIGEST),
    IngressRoute(namespace="shop", name="shop", project="shop", host="shop.example.com", backend="shop", port=80),
    JenkinsBuild(
        folder="shop",
        name="shop",
        uid="uid-1",
        commit="abc",
        image_repository="acme/shop",
        image_tag="abc-1",
        parameters={"KEY": "value"},
    ),
    JenkinsCredentials(folder="shop", name="git", username="git", password=SecretStr(PASSWORD), password_version="v1"),
    JenkinsFolder(folder="shop"),
    JenkinsJob(folder="shop", name="shop", git_url=URL, script_path="Jenkinsfile", parameters={"KEY": "value"}),
    DestinationNamespace(name="shop", project="shop", environment="production"),
    PreviewNamespace(name="shop-pr-7", project="shop", environment="pr-7"),
    SecretCopy(
        namespace="shop",
        name="pull",
        project="shop",
        type="kubernetes.io/dockerconfigjson",
        version="uid/1",
        pull=True,
        data={".dockerconfigjson": PASSWORD},
    ),
)


def ids(resource: ExternalResource) -> str:
    return f"{type(resource).__name__} {resource.key}"


def concrete(base: type[Any]) -> Iterator[type[Any]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("devops_reconciler."):
            yield kind
            yield from concrete(kind)


@pytest.mark.parametrize("resource", EXAMPLES, ids=ids)
def test_a_resource_is_found_again_from_its_value(resource: ExternalResource) -> None:
    value = json.loads(json.dumps(resource.value()))
    again = type(resource).model_validate(value)
    assert again.key == resource.key
    assert again.digest() == resource.digest()
    assert again.value() == value


@pytest.mark.parametrize("resource", EXAMPLES, ids=ids)
def test_a_value_holds_no_secret_and_neither_does_its_text(resource: ExternalResource) -> None:
    assert PASSWORD not in json.dumps(resource.value())
    assert PASSWORD not in repr(resource)
    assert PASSWORD not in str(resource)


@pytest.mark.parametrize("resource", EXAMPLES, ids=ids)
def test_a_value_can_be_removed_under_the_name_that_the_ledger_keeps(resource: ExternalResource) -> None:
    removal = REMOVALS[type(resource).__name__].model_validate(resource.value())
    assert removal.key == resource.key


def test_every_resource_has_an_example() -> None:
    assert {type(resource) for resource in EXAMPLES} == set(RESOURCES)


def test_every_resource_is_in_the_catalogue_once() -> None:
    names = [kind.__name__ for kind in RESOURCES]
    assert len(names) == len(set(names))
    removals = {kind for name, kind in REMOVALS.items() if kind.__name__ != name}
    assert set(concrete(ExternalResource)) == {*RESOURCES, *removals}


def test_only_what_is_looked_at_changes_with_the_time_that_it_is_waited_for() -> None:
    for resource in EXAMPLES:
        if "waited" in type(resource).model_fields:
            later = resource.model_copy(update={"waited": timedelta(days=1)})
            assert later.value() == resource.value(), "a pass that changes nothing must not write the status"
            assert later.digest() == resource.digest()


@pytest.mark.parametrize("resource", EXAMPLES, ids=lambda resource: type(resource).__name__)
@pytest.mark.parametrize(("request_timeout", "lease"), [(10, 15), (2, 3)])
def test_rule_3_an_absence_proves_something_only_when_all_that_was_sent_has_arrived_and_shows(
    resource: ExternalResource, request_timeout: int, lease: int
) -> None:
    times = {"request_timeout": timedelta(seconds=request_timeout), "lease_duration": timedelta(seconds=lease)}
    world = outside(**times, lease_renew_interval=timedelta(seconds=1)).world
    sent = timedelta(seconds=5 + request_timeout + lease)
    lag = timedelta(seconds=15) if isinstance(resource, JenkinsBuild) else LAGS.get(resource.service, CONSISTENT)
    assert resource.arrives_in(world) == sent + lag > sent > resource.settle
    assert resource.settles_in(world) >= (sent + lag if isinstance(resource, JenkinsBuild) else timedelta(seconds=3))
