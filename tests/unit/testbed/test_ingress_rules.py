"""Routing by Ingress objects."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.ingress_rules import Backend, class_of, route, rules_of


def ingress(name: str, *rules: tuple[str, str, str, str], **spec: Any) -> dict[str, Any]:
    """``rules`` are (host, path, type, service)."""
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {
            **spec,
            "rules": [
                {
                    "host": host,
                    "http": {"paths": [{"path": path, "pathType": kind, "backend": {"service": {"name": service}}}]},
                }
                for host, path, kind, service in rules
            ],
        },
    }


def service_for(host: str, path: str, *ingresses: dict[str, Any]) -> str | None:
    found = route([rule for each in ingresses for rule in rules_of(each)], host, path)
    return found.service if found else None


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("shop.example.com", "/", "web"),
        ("shop.example.com:8080", "/anything", "web"),
        ("SHOP.example.com.", "/", "web"),
        ("shop.example.com", "/api", "api"),
        ("shop.example.com", "/api/orders", "api"),
        ("shop.example.com", "/apiary", "web"),
        ("shop.example.com", "/api/v1", "exact"),
        ("shop.example.com", "/api/v1/", "api"),
        ("other.example.com", "/", None),
        ("example.com", "/", None),
    ],
)
def test_host_and_longest_path_decide(host: str, path: str, expected: str | None) -> None:
    shop = ingress(
        "shop",
        ("shop.example.com", "/", "Prefix", "web"),
        ("shop.example.com", "/api", "Prefix", "api"),
        ("shop.example.com", "/api/v1", "Exact", "exact"),
    )
    assert service_for(host, path, shop) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("a.example.com", "wild"), ("whole.example.com", "whole"), ("a.b.example.com", "rest"), ("example.com", "rest")],
)
def test_a_wildcard_is_one_label_and_gives_way_to_a_whole_host(host: str, expected: str) -> None:
    rules = ingress("all", ("*.example.com", "/", "Prefix", "wild"), ("whole.example.com", "/", "Prefix", "whole"))
    rest = ingress("rest", defaultBackend={"service": {"name": "rest"}})
    assert service_for(host, "/", rules, rest) == expected


def test_the_backend_names_namespace_and_ingress() -> None:
    (rule,) = rules_of(ingress("front", ("shop.example.com", "/", "Prefix", "web")))
    assert rule.backend == Backend("shop", "front", "web")


def test_an_ingress_without_rules_routes_nothing() -> None:
    empty = {"metadata": {"namespace": "shop", "name": "empty"}, "spec": {"rules": None}}
    assert list(rules_of(empty)) == []


def test_the_class_is_the_field_or_the_old_annotation() -> None:
    assert class_of(ingress("a", ingressClassName="nginx")) == "nginx"
    annotated = {"metadata": {"annotations": {"kubernetes.io/ingress.class": "old"}}, "spec": {}}
    assert class_of(annotated) == "old"
    assert class_of(ingress("a")) == ""
