"""The Kubernetes client against a real API server: what each of its verbs relies on."""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ValidationError,
    Waiting,
)
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.kubernetes import (
    CONFIG_MAP,
    DEPLOYMENT_RECORD,
    DEVOPS_PROJECT,
    EVENT,
    JENKINS_SETTINGS,
    LEASE,
    NAMESPACE,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    Kubernetes,
    Object,
    already_exists,
)
from devops_reconciler.services.kubernetes_access import ClusterAccess, find_cluster, open_cluster
from testbed.kubernetes import OPERATOR, ControlPlane
from testbed.waiting import eventually

GIT_ONLY = {"git": {"url": "https://git.example.com/shop.git"}}
SPEC = {**GIT_ONLY, "ingress": {"host": "shop.example.com"}}
PATIENCE = timedelta(seconds=30)


def project(name: str = "shop", **spec: object) -> Object:
    return {"metadata": {"name": name}, "spec": {**SPEC, **spec}}


def config(name: str, **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}


async def test_it_tells_the_version(client: Kubernetes) -> None:
    assert (await client.version()).startswith("v1.")


async def test_what_is_not_there_is_none_or_false(client: Kubernetes, namespace: str) -> None:
    assert await client.get(DEVOPS_PROJECT, namespace, "shop") is None
    assert await client.get(NAMESPACE, None, "nowhere") is None
    assert await client.secret_data(namespace, "nothing") is None
    assert await client.merge_patch(DEVOPS_PROJECT, namespace, "shop", {"metadata": {"labels": {"a": "b"}}}) is None
    assert await client.json_patch(CONFIG_MAP, namespace, "x", [{"op": "remove", "path": "/data"}]) is None
    assert await client.delete(DEVOPS_PROJECT, namespace, "shop") is False


async def test_a_second_create_says_that_it_exists(client: Kubernetes, namespace: str) -> None:
    made = await client.create(DEVOPS_PROJECT, namespace, project())
    assert made == await client.get(DEVOPS_PROJECT, namespace, "shop")
    with pytest.raises(ConflictError, match='"shop" already exists') as caught:
        await client.create(DEVOPS_PROJECT, namespace, project())
    assert already_exists(caught.value)


async def test_a_bad_spec_comes_back_with_the_servers_own_words(client: Kubernetes, namespace: str) -> None:
    with pytest.raises(ValidationError) as missing:
        await client.create(DEVOPS_PROJECT, namespace, {"metadata": {"name": "shop"}, "spec": {}})
    assert missing.value.status == 422
    assert "spec.git" in missing.value.message
    assert missing.value.message.startswith(f"Kubernetes: create DevOpsProject {namespace}/shop: 422 ")
    with pytest.raises(ValidationError, match=r'unknown field "spec\.colour"'):
        await client.create(DEVOPS_PROJECT, namespace, project(colour="red"))
    with pytest.raises(ValidationError, match=r"\.spec\.colour: field not declared in schema"):
        await client.apply(DEVOPS_PROJECT, namespace, project(colour="red"))
    await client.create(DEVOPS_PROJECT, namespace, project())
    with pytest.raises(ValidationError, match=r'unknown field "spec\.colour"'):
        await client.merge_patch(DEVOPS_PROJECT, namespace, "shop", {"spec": {"colour": "red"}})
    with pytest.raises(ValidationError) as several:
        await client.create(DEVOPS_PROJECT, namespace, project("many", mode="x" * 200, deletionPolicy="y" * 200))
    assert "spec.mode" in several.value.message
    assert "spec.deletionPolicy" in several.value.message


async def test_a_namespace_that_is_not_there_is_named(client: Kubernetes) -> None:
    for write in (client.create, client.apply):
        with pytest.raises(ValidationError, match="namespace 'nowhere' does not exist"):
            await write(CONFIG_MAP, "nowhere", config("one"))
    assert await client.list(CONFIG_MAP, "nowhere") == []


async def test_a_namespace_that_is_going_away_is_waited_for(client: Kubernetes, control_plane: ControlPlane) -> None:
    name = f"going-{datetime.now(UTC):%H%M%S%f}"
    await client.create(NAMESPACE, None, {"metadata": {"name": name}})
    holding = config("held")
    holding["metadata"]["finalizers"] = ["example.com/held"]
    await client.create(CONFIG_MAP, name, holding)
    await client.delete(NAMESPACE, None, name)
    try:
        with pytest.raises(Waiting, match="being terminated") as caught:
            await client.create(CONFIG_MAP, name, config("late"))
        assert caught.value.reason == Reason.DEPENDENCY_NOT_READY
    finally:
        await client.merge_patch(CONFIG_MAP, name, "held", {"metadata": {"finalizers": None}})


async def test_a_kind_that_is_not_served_is_no_absence(client: Kubernetes, namespace: str) -> None:
    for kind in (Kind("freeleaps.com", "v1alpha1", "gadgets", "Gadget"), Kind("x.example.com", "v1", "as", "A")):
        with pytest.raises(ExternalServiceError, match="does not know"):
            await client.get(kind, namespace, "one")
        with pytest.raises(ExternalServiceError, match="does not know"):
            await client.list(kind, namespace)
        with pytest.raises(ExternalServiceError, match="does not know"):
            await client.delete(kind, namespace, "one")
        async with aclosing(client.watch(kind, namespace)) as changes:
            with pytest.raises(ExternalServiceError, match="does not know"):
                await anext(changes)


async def test_a_list_reads_every_page_and_keeps_to_its_selectors(client: Kubernetes, namespace: str) -> None:
    for number in range(7):
        labelled = config(f"m-{number}")
        labelled["metadata"]["labels"] = {"parity": "odd" if number % 2 else "even"}
        await client.create(CONFIG_MAP, namespace, labelled)
    found = [item["metadata"]["name"] for item in await client.list(CONFIG_MAP, namespace, limit=2)]
    assert sorted(set(found) - {"kube-root-ca.crt"}) == [f"m-{number}" for number in range(7)]
    assert len(found) == len(set(found))
    odd = await client.list(CONFIG_MAP, namespace, labels="parity=odd", limit=2)
    assert [item["metadata"]["name"] for item in odd] == ["m-1", "m-3", "m-5"]
    assert {(item["apiVersion"], item["kind"]) for item in odd} == {("v1", "ConfigMap")}
    (one,) = await client.list(CONFIG_MAP, namespace, fields="metadata.name=m-4")
    assert one["metadata"]["name"] == "m-4"
    everywhere = await client.list(CONFIG_MAP, None, labels="parity=even")
    assert {item["metadata"]["namespace"] for item in everywhere} >= {namespace}


async def test_a_status_is_saved_only_over_the_version_that_was_read(client: Kubernetes, namespace: str) -> None:
    made = await client.create(DEVOPS_PROJECT, namespace, project())
    version = made["metadata"]["resourceVersion"]
    saved = await client.patch_status(
        DEVOPS_PROJECT, namespace, "shop", {"observedGeneration": 1}, resource_version=version
    )
    assert saved["status"]["observedGeneration"] == 1
    with pytest.raises(ConflictError) as stale:
        await client.patch_status(
            DEVOPS_PROJECT, namespace, "shop", {"observedGeneration": 7}, resource_version=version
        )
    assert stale.value.status == 409
    with pytest.raises(ConflictError):
        await client.replace_status(DEVOPS_PROJECT, made)
    replaced = await client.replace_status(DEVOPS_PROJECT, {**saved, "status": {"observedGeneration": 2}})
    assert replaced["status"]["observedGeneration"] == 2
    assert replaced["spec"] == made["spec"]


async def test_a_field_of_a_status_is_set_whole_and_none_takes_it_away(client: Kubernetes, namespace: str) -> None:
    made = await client.create(JENKINS_SETTINGS, namespace, {"metadata": {"name": "shop"}, "spec": GIT_ONLY})
    file = {"found": True, "argo": {"path": "deploy"}, "jenkins": {"parameters": {"A": "1", "B": "2"}}}
    applied = [{"key": "shop", "value": {"a": None, "b": [None, {"c": None}]}}]
    fields = {"projectFile": file, "applied": applied, "url": None}
    saved = await _saved(client, made, fields)
    assert saved["status"]["applied"] == [{"key": "shop", "value": {"b": [None, {}]}}]
    assert "url" not in saved["status"]
    fewer = {"found": True, "argo": {}, "jenkins": {"parameters": {"A": "1"}}}
    saved = await _saved(client, saved, {"projectFile": fewer, "url": "https://ci.example.com"})
    assert saved["status"]["projectFile"] == fewer
    saved = await _saved(client, saved, {"projectFile": None})
    assert saved["status"].keys() == {"applied", "observedGeneration", "url"}


async def _saved(client: Kubernetes, obj: Object, fields: dict[str, object]) -> Object:
    version = obj["metadata"]["resourceVersion"]
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    return await client.patch_status(JENKINS_SETTINGS, namespace, name, fields, resource_version=version)


async def test_a_save_that_changes_nothing_leaves_the_version(client: Kubernetes, namespace: str) -> None:
    made = await client.create(DEVOPS_PROJECT, namespace, project())
    version = made["metadata"]["resourceVersion"]
    versions = []
    for _ in range(2):
        status = {"observedGeneration": 1}
        saved = await client.patch_status(DEVOPS_PROJECT, namespace, "shop", status, resource_version=version)
        versions.append(version := saved["metadata"]["resourceVersion"])
    assert versions[0] == versions[1]


async def test_the_status_of_what_is_gone_is_a_conflict(client: Kubernetes, namespace: str) -> None:
    made = await client.create(DEVOPS_PROJECT, namespace, project())
    assert await client.delete(DEVOPS_PROJECT, namespace, "shop")
    version = made["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError, match="is gone"):
        await client.patch_status(DEVOPS_PROJECT, namespace, "shop", {"a": 1}, resource_version=version)
    with pytest.raises(ConflictError, match="is gone"):
        await client.replace_status(DEVOPS_PROJECT, made)
    recreated = await client.create(DEVOPS_PROJECT, namespace, project())
    with pytest.raises(ConflictError):
        await client.patch_status(DEVOPS_PROJECT, namespace, "shop", {"a": 1}, resource_version=version)
    assert recreated["metadata"]["uid"] != made["metadata"]["uid"]


async def test_a_merge_patch_with_a_version_is_a_precondition(client: Kubernetes, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, namespace, config("one", a="1"))
    version = made["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": version}, "data": {"a": "2", "b": None}}
    changed = await client.merge_patch(CONFIG_MAP, namespace, "one", patch)
    assert changed is not None
    assert changed["data"] == {"a": "2"}
    with pytest.raises(ConflictError):
        await client.merge_patch(CONFIG_MAP, namespace, "one", patch)


async def test_a_json_patch_tests_before_it_writes(client: Kubernetes, namespace: str) -> None:
    await client.create(CONFIG_MAP, namespace, config("one", a="1"))
    steps = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "2"}]
    changed = await client.json_patch(CONFIG_MAP, namespace, "one", steps)
    assert changed is not None
    assert changed["data"] == {"a": "2"}
    with pytest.raises(ValidationError):
        await client.json_patch(CONFIG_MAP, namespace, "one", steps)


async def test_a_deletion_keeps_to_its_preconditions(client: Kubernetes, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, namespace, config("one"))
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError):
        await client.delete(CONFIG_MAP, namespace, "one", uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ConflictError):
        await client.delete(CONFIG_MAP, namespace, "one", resource_version="1")
    assert await client.get(CONFIG_MAP, namespace, "one") is not None
    assert await client.delete(CONFIG_MAP, namespace, "one", uid=uid, resource_version=version)
    assert await client.get(CONFIG_MAP, namespace, "one") is None


async def test_two_writers_of_one_lease_have_one_winner(client: Kubernetes, namespace: str) -> None:
    made = await client.create(LEASE, namespace, {"metadata": {"name": "act"}, "spec": {"holderIdentity": "nobody"}})
    version = made["metadata"]["resourceVersion"]

    async def take(holder: str) -> str | None:
        patch = {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": holder}}
        try:
            await client.merge_patch(LEASE, namespace, "act", patch)
        except ConflictError:
            return None
        return holder

    winners = [holder for holder in await asyncio.gather(*map(take, "abcdefgh")) if holder]
    assert len(winners) == 1
    lease = await client.get(LEASE, namespace, "act")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == winners[0]


async def test_an_event_is_about_its_object_and_is_made_once(client: Kubernetes, namespace: str) -> None:
    made = await client.create(DEVOPS_PROJECT, namespace, project())
    at = datetime.now(UTC)
    for _ in range(2):
        await client.create_event(made, type="Warning", reason="BuildFailed", message="ü" * 2000, at=at)
    (event,) = await client.list(EVENT, namespace, fields=f"regarding.uid={made['metadata']['uid']}")
    assert event["regarding"]["kind"] == "DevOpsProject"
    assert (event["type"], event["reason"]) == ("Warning", "BuildFailed")
    assert event["note"] == "ü" * 512
    core = await client.list(Kind("", "v1", "events", "Event"), namespace, fields="involvedObject.name=shop")
    assert [one["reason"] for one in core] == ["BuildFailed"]
    cluster_wide = await client.get(NAMESPACE, None, namespace)
    assert cluster_wide is not None
    await client.create_event(cluster_wide, type="Normal", reason="Succeeded", message="There.", at=at)


async def test_the_values_of_a_secret_are_decoded(client: Kubernetes, namespace: str) -> None:
    data = {"password": base64.b64encode(b"\x00s3cret").decode()}
    await client.create(SECRET, namespace, {"metadata": {"name": "git"}, "data": data})
    assert await client.secret_data(namespace, "git") == {"password": b"\x00s3cret"}


async def test_a_refused_secret_does_not_stand_in_the_error(client: Kubernetes, namespace: str) -> None:
    secret = {"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson"}
    broken = base64.b64encode(b"{s3cret").decode()
    with pytest.raises(ValidationError) as caught:
        await client.create(SECRET, namespace, {**secret, "data": {".dockerconfigjson": broken}})
    assert "s3cret" not in caught.value.message
    assert broken not in caught.value.message


async def test_a_watch_goes_on_from_a_list_without_a_gap(client: Kubernetes, namespace: str) -> None:
    await client.create(CONFIG_MAP, namespace, config("one"))
    listing = await client.listing(CONFIG_MAP, namespace, labels="absent=yes")
    assert listing.items == []
    await client.create(CONFIG_MAP, namespace, config("two"))
    seen = []
    changes = client.watch(CONFIG_MAP, namespace, name="two", resource_version=listing.resource_version)
    async with asyncio.timeout(PATIENCE.total_seconds()), aclosing(changes):
        async for sort, obj in changes:
            seen.append((sort, obj["metadata"]["name"]))
            if sort == "ADDED":
                await client.merge_patch(CONFIG_MAP, namespace, "two", {"data": {"a": "1"}})
            elif sort == "MODIFIED":
                await client.delete(CONFIG_MAP, namespace, "two")
            else:
                break
    assert seen == [("ADDED", "two"), ("MODIFIED", "two"), ("DELETED", "two")]


async def test_a_watch_without_a_version_begins_with_what_is_there(client: Kubernetes, namespace: str) -> None:
    await client.create(
        DEPLOYMENT_RECORD, namespace, {"metadata": {"name": "one"}, "spec": {"projectRef": {"name": "shop"}}}
    )
    async with (
        asyncio.timeout(PATIENCE.total_seconds()),
        aclosing(client.watch(DEPLOYMENT_RECORD, namespace)) as changes,
    ):
        sort, obj = await anext(changes)
    assert (sort, obj["metadata"]["name"]) == ("ADDED", "one")


async def test_watches_do_not_starve_requests(client: Kubernetes, namespace: str) -> None:
    async def first(stream: int) -> None:
        async with aclosing(client.watch(NAMESPACE, None, name=namespace)) as changes:
            async for sort, _ in changes:
                if sort == "DELETED":
                    return

    watches = [asyncio.create_task(first(number)) for number in range(30)]
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            for _ in range(20):
                assert await client.get(NAMESPACE, None, namespace) is not None
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


async def test_many_requests_share_few_connections(client: Kubernetes, namespace: str) -> None:
    await asyncio.gather(*(client.create(CONFIG_MAP, namespace, config(f"m-{number}")) for number in range(200)))
    assert len(await client.list(CONFIG_MAP, namespace, limit=50)) >= 200


async def test_what_we_may_not_do_says_so(control_plane: ControlPlane, client: Kubernetes, namespace: str) -> None:
    access = find_cluster(kubeconfig=str(control_plane.kubeconfig(OPERATOR)))
    async with open_cluster(access, SystemClock()) as operator:
        with pytest.raises(CredentialsError, match='User "operator" cannot get resource "secrets"') as caught:
            await operator.get(SECRET, namespace, "git")
        assert caught.value.reason == Reason.PERMISSION_DENIED
        async with aclosing(operator.watch(SECRET, namespace)) as changes:
            with pytest.raises(CredentialsError):
                await anext(changes)
        assert await operator.can_i("get", SECRET, namespace) is False
    assert await client.can_i("patch", DEVOPS_PROJECT, namespace, subresource="status") is True


async def test_a_wrong_token_is_refused_as_such(control_plane: ControlPlane) -> None:
    access = ClusterAccess(control_plane.server, ca_file=str(control_plane.authority), token="wrong-t0ken")
    async with open_cluster(access, SystemClock()) as stranger:
        with pytest.raises(CredentialsError) as caught:
            await stranger.get(SECRET, "default", "git")
    assert caught.value.status == 401
    assert "wrong-t0ken" not in str(caught.value) + repr(access)


async def test_a_server_with_another_authority_is_not_spoken_to(control_plane: ControlPlane) -> None:
    async with open_cluster(
        ClusterAccess(control_plane.server, token=control_plane.admin_token), SystemClock()
    ) as blind:
        with pytest.raises(ExternalServiceError, match="certificate") as caught:
            await blind.version()
    assert not caught.value.maybe_applied


async def test_a_quota_has_its_own_reason(client: Kubernetes, namespace: str) -> None:
    quota = Kind("", "v1", "resourcequotas", "ResourceQuota")
    spec = {"hard": {"count/serviceaccounts": "1"}}
    await client.create(quota, namespace, {"metadata": {"name": "few"}, "spec": spec})

    async def in_force() -> bool:
        found = await client.get(quota, namespace, "few")
        return found is not None and "count/serviceaccounts" in found.get("status", {}).get("used", {})

    await eventually(in_force, "the quota is counted")
    await client.apply(SERVICE_ACCOUNT, namespace, {"metadata": {"name": "default"}})

    async def refused() -> ValidationError | None:
        """The server learns of a quota, as of a right, a moment after it shows."""
        try:
            await client.create(SERVICE_ACCOUNT, namespace, {"metadata": {"name": "robot"}})
        except ValidationError as error:
            return error
        await client.delete(SERVICE_ACCOUNT, namespace, "robot")
        return None

    error = await eventually(refused, "one more is refused")
    assert error is not None
    assert "exceeded quota" in error.message
    assert error.reason == Reason.QUOTA_EXCEEDED


async def test_it_tells_the_kinds_of_a_group_and_none_of_one_that_is_not_there(client: Kubernetes) -> None:
    assert "devopsprojects" in await client.served("freeleaps.com", "v1alpha1")
    assert await client.served("nobody.example.com", "v1") == frozenset()
