"""Pytest fixtures for tests on the real control plane and the real RabbitMQ, registered in ``tests/conftest.py``.

The processes are started once per test run, without an event loop, so tests of any loop may share them. Tests keep
apart by their own ``namespace`` and their own queue names.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.argocd import RealArgoCD
from testbed.kubernetes import ControlPlane
from testbed.nodes import Nodes
from testbed.rabbitmq import RabbitMQ
from testbed.registry import RealRegistry

CRDS = Path(__file__).parent.parent / "deploy" / "crds"


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """The control plane of this test run, with the CRDs of the product."""
    control_plane = ControlPlane(manifests=sorted(CRDS.glob("*.yaml")))
    control_plane.start()
    yield control_plane
    control_plane.stop()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """The RabbitMQ of this test run."""
    broker = RabbitMQ()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def nodes(control_plane: ControlPlane) -> Iterator[Nodes]:
    """A node on which pods become ready."""
    nodes = Nodes(control_plane)
    nodes.start()
    yield nodes
    nodes.stop()


@pytest.fixture(scope="session")
def argocd_service(control_plane: ControlPlane, nodes: Nodes) -> Iterator[RealArgoCD]:
    """The real Argo CD of this test run."""
    argocd = RealArgoCD(control_plane)
    argocd.start()
    yield argocd
    argocd.stop()


@pytest.fixture(scope="session")
def registry_service() -> Iterator[RealRegistry]:
    """The real container registry of this test run."""
    registry = RealRegistry()
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def namespace(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace, named after the test. Its deletion is asked for at the end, and not waited for."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[:40].strip('-')}-{secrets.token_hex(3)}"
    asyncio.run(control_plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}]))
    yield name
    asyncio.run(control_plane.delete(f"/api/v1/namespaces/{name}"))
