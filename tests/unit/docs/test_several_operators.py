"""The page on installation says all that each of several operators needs of its own, and others lead to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devops_reconciler.runtime.settings import Settings

from .test_runbook import sections

DOCS = Path(__file__).parents[3] / "docs"
APART = (
    "OPERATOR_NAMESPACE",
    "RECONCILER_NAMESPACES",
    "RECONCILER_CLUSTER_ID",
    "RABBITMQ_VHOST",
    "RABBITMQ_EXCHANGE",
    "RABBITMQ_QUEUE",
    "RABBITMQ_HEARTBEAT_EXCHANGE",
)


@pytest.mark.parametrize("name", [*APART, "watchNamespaces", "crds.install: false"])
def test_what_keeps_operators_apart_is_named(name: str) -> None:
    assert f"`{name}`" in sections((DOCS / "installation.md").read_text())["Several operators"]


def test_these_variables_are_there() -> None:
    assert {name.lower() for name in APART} <= set(Settings.model_fields)


@pytest.mark.parametrize("page", ["security.md", "limits.md"])
def test_other_pages_lead_there(page: str) -> None:
    assert "(installation.md#several-operators)" in (DOCS / page).read_text()
