"""Server-side apply of the Kubernetes client, against a real API server."""

from __future__ import annotations

import pytest

from devops_reconciler.api.errors import (
    ConflictError,
    ValidationError,
)
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.kubernetes import (
    CONFIG_MAP,
    DEVOPS_PROJECT,
    Kubernetes,
    already_exists,
)
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster
from testbed.kubernetes import ControlPlane

from .test_kubernetes_client import config, project


async def test_apply_owns_its_fields_and_leaves_others(client: Kubernetes, namespace: str) -> None:
    await client.create(CONFIG_MAP, namespace, config("shared", foreign="kept"))
    await client.apply(CONFIG_MAP, namespace, config("shared", a="1", b="2"))
    applied = await client.apply(CONFIG_MAP, namespace, config("shared", a="3"))
    assert applied["data"] == {"foreign": "kept", "a": "3"}
    await client.merge_patch(CONFIG_MAP, namespace, "shared", {"data": {"a": "edited"}})


async def test_a_field_of_another_manager_is_a_conflict_unless_forced(
    client: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    access = find_cluster(kubeconfig=str(control_plane.kubeconfig()))
    async with open_cluster(access, SystemClock(), field_manager="somebody") as other:
        await other.apply(CONFIG_MAP, namespace, config("shared", a="theirs"))
    with pytest.raises(ConflictError, match='conflict with "somebody"') as caught:
        await client.apply(CONFIG_MAP, namespace, config("shared", a="ours"))
    assert not already_exists(caught.value)
    assert (await client.apply(CONFIG_MAP, namespace, config("shared", a="ours"), force=True))["data"] == {"a": "ours"}


async def test_apply_takes_any_text_as_create_does(client: Kubernetes, namespace: str) -> None:
    """What is applied is read as YAML there, which has other escapes and line breaks than JSON."""
    text = "Anna 🚀 é\t\n\r\x00\x1f\x7f\x80\x85\x9f\xa0\u2028\u2029\ufeff\ufffd\ufffe\uffff\U0001fffe\U0010ffff"
    text += "\\ud83d \\N \" ' # : - {"
    await client.create(CONFIG_MAP, namespace, config("created", text=text))
    await client.apply(CONFIG_MAP, namespace, config("applied", text=text))
    for name in ("created", "applied"):
        there = await client.get(CONFIG_MAP, namespace, name)
        assert there is not None
        assert there["data"] == {"text": text}


async def test_half_a_character_is_refused_by_apply(client: Kubernetes, namespace: str) -> None:
    with pytest.raises(ValidationError, match="invalid Unicode character escape code"):
        await client.apply(CONFIG_MAP, namespace, config("half", text="\ud83d"))


async def test_apply_makes_what_is_not_there(client: Kubernetes, namespace: str) -> None:
    made = await client.apply(DEVOPS_PROJECT, namespace, project())
    assert made["status"]["observedGeneration"] == -1


async def test_an_apply_that_changes_nothing_leaves_the_version(client: Kubernetes, namespace: str) -> None:
    await client.apply(DEVOPS_PROJECT, namespace, project())
    # The default of the status is stored with the first write after the creation, whichever that is.
    first = await client.apply(DEVOPS_PROJECT, namespace, project())
    again = await client.apply(DEVOPS_PROJECT, namespace, project())
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
