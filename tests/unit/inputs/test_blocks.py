"""The blocks of a spec: defaults as documented, and nothing outside of the allow-lists."""

from __future__ import annotations

from typing import Any

import pytest

from devops_reconciler.api.blocks import ArgoBlock, Destination, IngressBlock, SourceKind
from devops_reconciler.api.errors import ValidationError
from devops_reconciler.inputs.blocks import (
    check_destination,
    image_repository,
    production_place,
    record_type,
    route,
    source,
)
from devops_reconciler.runtime.settings import AllowList
from tests.unit.world import GIT_URL, TEAM, settings

SERVER = "https://kubernetes.default.svc"


# Images


def test_an_image_goes_to_the_operators_namespace_under_the_projects_name() -> None:
    found = image_repository(settings(), TEAM, "shop", None, None)
    assert (found.namespace, found.repository, found.form) == ("acme", "shop", "acme/shop")


def test_an_image_at_another_registry_carries_its_host() -> None:
    found = image_repository(settings(registry_endpoint="https://registry.test:5000"), TEAM, "shop", None, "web")
    assert (found.namespace, found.form) == ("acme", "registry.test:5000/acme/web")


@pytest.mark.parametrize(
    ("allowed", "namespace", "good"),
    [
        (None, "acme", True),
        (None, "other", False),
        ("acme,partner", "partner", True),
        ("acme,partner", "other", False),
        ("team-a=own;team-b=theirs", "own", True),
        ("team-a=own;team-b=theirs", "theirs", False),
        ("team-b=theirs", "theirs", False),
        ("team-b=theirs", "acme", True),
        ("team-*", "team-x", True),
        ("team-a=", "acme", False),
    ],
)
def test_only_allowed_registry_namespaces_may_be_used(allowed: str | None, namespace: str, good: bool) -> None:
    changes = {} if allowed is None else {"allowed_registry_namespaces": AllowList.parse(allowed)}
    if good:
        assert image_repository(settings(**changes), TEAM, "shop", namespace, None).namespace == namespace
        return
    with pytest.raises(ValidationError, match="ALLOWED_REGISTRY_NAMESPACES"):
        image_repository(settings(**changes), TEAM, "shop", namespace, None)


def test_without_any_registry_namespace_the_error_names_both_ways_out() -> None:
    with pytest.raises(ValidationError, match=r"registry\.namespace.*DOCKERHUB_NAMESPACE"):
        image_repository(settings(dockerhub_namespace=None), TEAM, "shop", None, None)


# Destinations


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-x", "argocd", "devops-system", TEAM])
@pytest.mark.parametrize("allowed", [AllowList(), AllowList(everywhere=("*",))])
def test_the_namespaces_of_the_system_are_no_destination_whatever_is_allowed(
    namespace: str, allowed: AllowList
) -> None:
    with pytest.raises(ValidationError, match="reserved"):
        check_destination(settings(allowed_destinations=allowed), TEAM, namespace, namespace)


@pytest.mark.parametrize(
    ("allowed", "namespace", "good"),
    [
        ("", "shop", True),
        ("", "shop-pr-7", True),
        ("", "shopping", False),
        ("", "other", False),
        ("team-a=apps,shop-*", "apps", True),
        ("team-a=apps,shop-*", "shop-x", True),
        ("team-a=apps,shop-*", "shop", False),
        ("team-b=apps", "apps", False),
        ("team-b=apps", "shop", True),
        ("apps", "shop", False),
    ],
)
def test_only_allowed_destinations_may_be_used(allowed: str, namespace: str, good: bool) -> None:
    found = settings(allowed_destinations=AllowList.parse(allowed))
    if good:
        check_destination(found, TEAM, "shop", namespace)
        return
    with pytest.raises(ValidationError, match="ALLOWED_DESTINATIONS"):
        check_destination(found, TEAM, "shop", namespace)


def test_production_runs_in_the_namespace_of_its_name_in_this_cluster() -> None:
    place = production_place(settings(), TEAM, "shop", Destination())
    assert (place.server, place.namespace, place.local) == (SERVER, "shop", True)
    remote = production_place(settings(), TEAM, "shop", Destination(server="https://1.2.3.4"))
    assert not remote.local


# Routes


def ingress(**fields: Any) -> IngressBlock:
    return IngressBlock.model_validate({"host": "shop.example.com", **fields})


def test_the_smallest_ingress_has_a_default_for_everything() -> None:
    found = route(settings(), TEAM, "shop", ingress(), "shop.example.com")
    assert (found.zone, found.type, found.target, found.ttl) == ("example.com", "A", "203.0.113.7", 600)
    assert (found.service, found.port, found.class_name) == ("shop", 80, "nginx")
    assert (found.tls_secret, found.probe_path) == (None, "/")


def test_what_the_spec_says_goes_before_the_defaults() -> None:
    block = ingress(
        zone="example.com",
        service={"name": "web", "port": 8080},
        className="public",
        tls={"secretName": "cert"},
        target="lb.example.net",
        ttl=3600,
        probe=None,
    )
    found = route(settings(), TEAM, "shop", block, "shop.example.com")
    assert (found.service, found.port, found.class_name) == ("web", 8080, "public")
    assert (found.type, found.target, found.ttl) == ("CNAME", "lb.example.net", 3600)
    assert (found.tls_secret, found.probe_path) == ("cert", None)


@pytest.mark.parametrize(
    ("target", "type"),
    [("192.0.2.1", "A"), ("2001:db8::1", "AAAA"), ("lb.example.net", "CNAME"), ("1.2.3.example.net", "CNAME")],
)
def test_the_type_of_the_record_follows_its_target(target: str, type: str) -> None:
    assert record_type(target) == type


@pytest.mark.parametrize(
    ("allowed", "fields", "zone"),
    [
        ("example.com", {}, "example.com"),
        ("example.com,shop.example.com", {}, "shop.example.com"),
        ("example.com,shop.example.com", {"zone": "example.com"}, "example.com"),
        ("team-a=example.com;team-b=example.net", {}, "example.com"),
        ("*", {"zone": "example.com"}, "example.com"),
        ("*.com", {"zone": "example.com"}, "example.com"),
    ],
)
def test_the_zone_is_the_longest_allowed_one_unless_named(allowed: str, fields: dict[str, str], zone: str) -> None:
    found = settings(dns_allowed_zones=AllowList.parse(allowed))
    assert route(found, TEAM, "shop", ingress(**fields), "shop.example.com").zone == zone


@pytest.mark.parametrize(
    ("allowed", "fields"),
    [
        ("", {}),
        ("example.net", {}),
        ("example.net", {"zone": "example.com"}),
        ("team-b=example.com", {}),
        ("ample.com", {}),
        ("com", {"zone": "example.com"}),
    ],
)
def test_a_zone_that_is_not_allowed_is_refused_with_what_to_do(allowed: str, fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="DNS_ALLOWED_ZONES"):
        route(settings(dns_allowed_zones=AllowList.parse(allowed)), TEAM, "shop", ingress(**fields), "shop.example.com")


def test_a_host_outside_its_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="not inside zone"):
        route(settings(), TEAM, "shop", ingress(zone="example.com"), "shop.example.net")


def test_a_missing_target_names_both_ways_out() -> None:
    with pytest.raises(ValidationError, match="INGRESS_TARGET"):
        route(settings(ingress_target=None), TEAM, "shop", ingress(), "shop.example.com")


# Sources


def test_the_smallest_source_is_the_projects_own_repository_with_kustomize() -> None:
    found = source(ArgoBlock(), "shop", GIT_URL, "main", None)
    assert (found.project, found.repo_url, found.path, found.target_revision) == ("shop", GIT_URL, ".", "main")
    assert (found.kind, found.pinned, found.image_name, found.auto_sync) == (SourceKind.KUSTOMIZE, True, None, False)
    assert (found.image_parameter, found.digest_parameter) == ("image.repository", "image.digest")


@pytest.mark.parametrize(("spec", "file", "path"), [(None, "deploy", "deploy"), ("k8s", "deploy", "k8s")])
def test_the_spec_goes_before_the_project_file(spec: str | None, file: str, path: str) -> None:
    block = ArgoBlock.model_validate({"source": {"path": spec} if spec else {}})
    found = source(block, "shop", GIT_URL, "main", file)
    assert (found.path, found.path_is_said) == (path, spec is not None)


def test_manifests_of_another_repository_are_not_pinned() -> None:
    other = ArgoBlock.model_validate({"source": {"repoURL": "https://git.example.com/ops.git"}})
    found = source(other, "shop", GIT_URL, "main", None)
    assert (found.pinned, found.repo_url) == (False, "https://git.example.com/ops.git")


def test_the_default_image_name_is_without_the_registrys_host() -> None:
    found = source(ArgoBlock(), "shop", GIT_URL, "main", None)
    assert found.name_of("registry.test:5000/acme/shop@sha256:1") == "acme/shop"
