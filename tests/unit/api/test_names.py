"""The names of everything outside."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api import names
from devops_reconciler.api.text import SHORT_NAME

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHORT_NAMES = st.from_regex(re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?"), fullmatch=True)


def test_a_mark_is_made_of_prefixes_of_sha256() -> None:
    cluster = hashlib.sha256(b"cluster-1").hexdigest()[:8]
    owner = hashlib.sha256(b"team-a/uid-1").hexdigest()[:24]
    assert names.mark("cluster-1", "team-a", "uid-1") == f"freeleaps:{cluster}:{owner}"


@given(st.text(), st.text(), st.text())
def test_a_mark_fits_everywhere(cluster: str, namespace: str, uid: str) -> None:
    assert re.fullmatch(r"freeleaps:[0-9a-f]{8}:[0-9a-f]{24}", names.mark(cluster, namespace, uid))


def test_production_is_named_like_the_project() -> None:
    assert names.application_name("shop", "production") == "shop"
    assert names.ingress_name("shop", "production") == "shop"
    assert names.destination_namespace("shop", "production") == "shop"
    assert names.destination_namespace("shop", "production", "web") == "web"


def test_a_preview_has_names_of_its_own() -> None:
    assert names.application_name("shop", "pr-7") == "shop-pr-7"
    assert names.ingress_name("shop", "pr-7") == "shop-pr-7"
    assert names.destination_namespace("shop", "pr-7", "web") == "shop-pr-7"


@given(SHORT_NAMES, SHORT_NAMES)
def test_the_name_of_a_preview_is_a_dns_label(project: str, environment: str) -> None:
    assert SHORT_NAME.check(project)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", names.application_name(project, environment))


@pytest.mark.parametrize(
    ("host", "zone", "template"),
    [
        ("shop.example.com", "example.com", "{name}.example.com"),
        ("shop.example.com", None, "{name}.example.com"),
        ("a.b.example.com", "example.com", "{name}.b.example.com"),
        ("example.com", "example.com", "{name}.example.com"),
        ("example.com", None, "{name}.example.com"),
        ("shop.example.com", "shop.example.com", "{name}.shop.example.com"),
        ("*.example.com", "example.com", "{name}.example.com"),
        ("*.shop.example.com", None, "{name}.shop.example.com"),
    ],
)
def test_previews_go_beside_production_and_stay_in_its_zone(host: str, zone: str | None, template: str) -> None:
    assert names.default_preview_template(host, zone) == template


def test_the_host_of_a_preview() -> None:
    assert names.preview_host("{name}.preview.example.com", "shop", "pr-7") == "shop-pr-7.preview.example.com"


def test_a_host_that_would_be_illegal_is_refused() -> None:
    with pytest.raises(ValueError, match=r"longer than 63 characters; shorten it"):
        names.preview_host("long-prefix-{name}.example.com", "a" * 30, "b" * 30)


def test_a_tag_begins_with_the_commit_and_is_unique_per_record() -> None:
    one, other = names.image_tag(COMMIT, "uid-1"), names.image_tag(COMMIT, "uid-2")
    assert one.startswith(COMMIT[:12])
    assert one != other
    assert one == names.image_tag(COMMIT, "uid-1")
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", one)


@given(SHORT_NAMES, st.text(min_size=1), st.text(min_size=1))
def test_one_event_has_one_record_name(project: str, event: str, other: str) -> None:
    name = names.record_name(project, event)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert (name == names.record_name(project, other)) == (event == other)


@pytest.mark.parametrize(
    ("endpoint", "image"),
    [
        ("https://registry-1.docker.io", "acme/shop"),
        ("https://registry-1.docker.io/", "acme/shop"),
        ("registry-1.docker.io", "acme/shop"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000/acme/shop"),
        ("https://registry.example.com/", "registry.example.com/acme/shop"),
    ],
)
def test_an_image_names_its_registry_unless_that_is_the_default(endpoint: str, image: str) -> None:
    assert names.image_form(endpoint, "acme", "shop") == image


@pytest.mark.parametrize(
    ("host", "zones", "zone"),
    [
        ("shop.example.com", ["example.com"], "example.com"),
        ("shop.dev.example.com", ["example.com", "dev.example.com"], "dev.example.com"),
        ("example.com", ["example.com"], "example.com"),
        ("*.example.com", ["example.com"], "example.com"),
        ("badexample.com", ["example.com"], None),
        ("shop.example.com", [], None),
    ],
)
def test_the_zone_of_a_host_is_the_longest_allowed(host: str, zones: list[str], zone: str | None) -> None:
    assert names.default_zone(host, zones) == zone


@pytest.mark.parametrize("form", ["acme/web", "registry.test:5000/acme/web"])
def test_the_plain_name_of_an_image_has_no_registry(form: str) -> None:
    assert names.plain_name(form) == "acme/web"
