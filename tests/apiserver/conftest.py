"""Fixtures of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.kubernetes import Kubernetes
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster
from testbed.kubernetes import ControlPlane


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[Kubernetes]:
    async with open_cluster(find_cluster(kubeconfig=str(control_plane.kubeconfig())), SystemClock()) as client:
        yield client
