"""A service account's token that ends, on the real API server: the next one in its file is taken, and nothing fails."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from devops_reconciler.api.errors import CredentialsError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.kubernetes import CONFIG_MAP, SECRET, Kubernetes, Object
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster
from testbed.kubernetes import ControlPlane
from testbed.waiting import eventually

ACCOUNT = "operator"
PATIENCE = timedelta(seconds=60)


async def token(control_plane: ControlPlane, namespace: str, secret: str) -> str:
    """A token of the account that is good for as long as the Secret is there, which is made for it."""
    made = await control_plane.api().create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": secret}})
    bound = {"apiVersion": "v1", "kind": "Secret", "name": secret, "uid": made["metadata"]["uid"]}
    request: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{ACCOUNT}/token"
    answer = await control_plane.api().create(path, request)
    return str(answer["status"]["token"])


async def ended(kubernetes: Kubernetes, namespace: str) -> None:
    """Wait until the API server refuses the token, which it may know for some seconds."""

    async def refused() -> bool:
        try:
            await kubernetes.get(SECRET, namespace, "first")
        except CredentialsError as error:
            return error.status == 401
        return False

    await eventually(refused, "the token is refused", PATIENCE)


@pytest.fixture
async def folder(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Path:
    """As kubelet mounts it into a pod: the first token, the authority, the namespace."""
    await control_plane.add_administrator(namespace, ACCOUNT)
    (tmp_path / "token").write_text(await token(control_plane, namespace, "first"))
    (tmp_path / "ca.crt").write_bytes(control_plane.authority.read_bytes())
    (tmp_path / "namespace").write_text(namespace)
    return tmp_path


async def test_a_token_that_ended_is_replaced_by_the_one_in_its_file(
    control_plane: ControlPlane, namespace: str, folder: Path
) -> None:
    access = find_cluster(kubeconfig=None, server=control_plane.server, folder=folder)
    assert access.namespace == namespace
    async with open_cluster(access, SystemClock()) as kubernetes:
        await kubernetes.create(CONFIG_MAP, namespace, {"metadata": {"name": "before"}})
        second = await token(control_plane, namespace, "second")
        await control_plane.delete(f"/api/v1/namespaces/{namespace}/secrets/first")
        await ended(kubernetes, namespace)
        (folder / "token").write_text(second)
        # The very next call, long before the file would be looked at again: no call fails for it.
        await kubernetes.create(CONFIG_MAP, namespace, {"metadata": {"name": "after"}})
        assert await kubernetes.get(CONFIG_MAP, namespace, "after") is not None


async def test_of_many_calls_under_way_when_a_token_ends_none_fails(
    control_plane: ControlPlane, namespace: str, folder: Path
) -> None:
    access = find_cluster(kubeconfig=None, server=control_plane.server, folder=folder)
    async with open_cluster(access, SystemClock()) as kubernetes, open_cluster(access, SystemClock()) as another:
        await kubernetes.create(CONFIG_MAP, namespace, {"metadata": {"name": "there"}})
        second = await token(control_plane, namespace, "second")
        await control_plane.delete(f"/api/v1/namespaces/{namespace}/secrets/first")
        await ended(another, namespace)
        (folder / "token").write_text(second)
        found = await asyncio.gather(*(kubernetes.get(CONFIG_MAP, namespace, "there") for _ in range(40)))
        assert all(found)
