"""Secrets of a project: read where the project is, copied to where its application runs, and gone with it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from testbed.kube_api import Object
from testbed.stage import GIT_OPERATOR
from testbed.stage_cluster import NAMESPACE, condition

from .play import DEADLINE, RECORDS, Play

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCKER = "kubernetes.io/dockerconfigjson"


async def secret(play: Play, name: str, type: str, values: dict[str, str], **annotations: str) -> None:
    """A Secret that projects may use."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    labels = {"freeleaps.com/project-credential": "true"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "annotations": annotations}
    kind = {"apiVersion": "v1", "kind": "Secret"}
    await play.stage.kube.apply([{**kind, "metadata": metadata, "type": type, "data": data}])


async def with_secrets(play: Play, **more: Any) -> dict[str, Any]:
    """A spec that names a Secret for each purpose."""
    git, pull, tls = (f"{play.project}-{each}" for each in ("git", "pull", "tls"))
    login = {"username": GIT_OPERATOR.username, "password": GIT_OPERATOR.password}
    await secret(play, git, "kubernetes.io/basic-auth", login, **{"freeleaps.com/git-host": play.stage.git.address})
    await secret(play, pull, DOCKER, {".dockerconfigjson": json.dumps({"auths": {}})})
    await secret(play, tls, "kubernetes.io/tls", {"tls.crt": "certificate", "tls.key": "key"})
    return {
        "git": {"url": (await play.sample()).url, "credentialsRef": {"name": git}},
        "registry": {"pullSecretRef": {"name": pull}},
        "previews": {"tlsSecretRef": {"name": tls}},
        **more,
    }


async def copy(play: Play, namespace: str, name: str) -> Object | None:
    return await play.stage.kube.find(f"/api/v1/namespaces/{namespace}/secrets/{play.project}-{name}")


async def pulled_with(play: Play, namespace: str) -> list[str]:
    account = await play.stage.kube.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    return [each["name"] for each in account.get("imagePullSecrets") or ()]


async def test_pull_and_tls_secrets_are_copied_and_go_with_a_preview(play: Play) -> None:
    await play.set_up(**await with_secrets(play))
    await play.deploy()
    trigger = await play.send("deploy", environment="pr-1", ttl="1h")
    # Nothing here answers by TLS, so this deployment goes on looking for its address.
    await trigger.heard("published", "Succeeded")

    for namespace in (play.project, f"{play.project}-pr-1"):
        made = await copy(play, namespace, "pull")
        assert made is not None
        assert (made["type"], await pulled_with(play, namespace)) == (DOCKER, [f"{play.project}-pull"])
    assert await copy(play, play.project, "tls") is None
    assert await copy(play, f"{play.project}-pr-1", "tls") is not None
    await trigger.heard("address", message="https://")

    name = await trigger.name()
    await play.stage.kube.delete(f"/apis/freeleaps.com/v1alpha1/namespaces/{NAMESPACE}/{RECORDS}/{name}")
    await play.stage.kube.wait_gone(RECORDS, name, DEADLINE)
    assert await play.left(f"{play.project}-pr-1") == []
    assert await copy(play, play.project, "pull") is not None


async def test_a_namespace_that_no_preview_made_is_never_adopted_for_one(play: Play) -> None:
    name = f"{play.project}-pr-2"
    labels = {"freeleaps.com/project": play.project}
    await play.stage.kube.apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}]
    )
    before = (await play.stage.kube.get(f"/api/v1/namespaces/{name}"))["metadata"]
    await play.set_up(adoption="IfUnowned")

    trigger = await play.send("deploy", environment="pr-2", ttl="1h")
    record = await trigger.ended("Failed")

    assert (condition(record, "Finished") or {})["reason"] == "OwnershipConflict"
    after = (await play.stage.kube.get(f"/api/v1/namespaces/{name}"))["metadata"]
    assert (after["uid"], after["labels"], after.get("annotations")) == (
        before["uid"],
        before["labels"],
        before.get("annotations"),
    )
