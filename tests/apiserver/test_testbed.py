"""The testbed itself: that it is a real API server with its controllers, and a real RabbitMQ."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import aio_pika
import aiohttp
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection

from testbed.ingress import LoopbackIngress
from testbed.kube_api import KubeApiError, Object
from testbed.kubernetes import API_SERVER, OPERATOR, ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually


def config_map(namespace: str, name: str, **metadata: object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {"key": "value"},
    }


def path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"


async def test_the_api_server_tells_its_version(control_plane: ControlPlane) -> None:
    assert (await control_plane.get("/version"))["gitVersion"].startswith("v1.36.")


async def test_objects_are_made_read_changed_and_deleted(control_plane: ControlPlane, namespace: str) -> None:
    (made,) = await control_plane.apply([config_map(namespace, "one")])
    read = await control_plane.get(path(namespace, "one"))
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert read["data"] == {"key": "value"}
    changed = await control_plane.api().patch(path(namespace, "one"), {"data": {"key": "other"}})
    assert changed["data"] == {"key": "other"}
    await control_plane.delete(path(namespace, "one"))
    assert await control_plane.api().find(path(namespace, "one")) is None


async def test_a_stale_resource_version_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    (made,) = await control_plane.apply([config_map(namespace, "one")])
    await control_plane.api().patch(path(namespace, "one"), {"data": {"key": "newer"}})
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"key": "older"}}
    with pytest.raises(KubeApiError, match="409 Conflict") as refused:
        await control_plane.api().patch(path(namespace, "one"), stale)
    assert refused.value.status == 409


async def test_what_is_owned_goes_with_its_owner(control_plane: ControlPlane, namespace: str) -> None:
    (owner,) = await control_plane.apply([config_map(namespace, "owner")])
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await control_plane.apply([config_map(namespace, "owned", ownerReferences=[reference])])
    await control_plane.delete(path(namespace, "owner"))

    async def gone() -> bool:
        return await control_plane.api().find(path(namespace, "owned")) is None

    await eventually(gone, "the owned object is collected")


async def test_a_namespace_is_deleted_with_all_in_it(control_plane: ControlPlane) -> None:
    name = f"doomed-{secrets.token_hex(3)}"
    await control_plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    await control_plane.apply([config_map(name, "one")])
    await control_plane.delete(f"/api/v1/namespaces/{name}")

    async def gone() -> bool:
        return await control_plane.api().find(f"/api/v1/namespaces/{name}") is None

    await eventually(gone, f"namespace {name} is gone")


def role(namespace: str, subject: Object) -> list[Object]:
    """May read ConfigMaps in this namespace, and nothing else."""
    api, metadata = "rbac.authorization.k8s.io", {"name": "reader", "namespace": namespace}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]
    reference = {"apiGroup": api, "kind": "Role", "name": "reader"}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [subject],
            "roleRef": reference,
        },
    ]


async def test_a_user_may_only_what_rbac_allows(control_plane: ControlPlane, namespace: str) -> None:
    await control_plane.apply([config_map(namespace, "one")])
    operator = control_plane.api(OPERATOR)
    with pytest.raises(KubeApiError, match="403 Forbidden"):
        await operator.get(path(namespace, "one"))
    await control_plane.apply(role(namespace, {"kind": "User", "name": OPERATOR}))

    async def readable() -> bool:
        try:
            return bool(await operator.get(path(namespace, "one")))
        except KubeApiError as error:
            # The API server learns of a new RoleBinding a moment after it was written.
            if error.status != 403:
                raise
            return False

    await eventually(readable, "the operator may read")
    with pytest.raises(KubeApiError, match="403 Forbidden"):
        await operator.delete(path(namespace, "one"))


async def test_kubectl_works_with_the_token_of_a_service_account(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = await control_plane.add_service_account(namespace, "robot")
    process = await asyncio.create_subprocess_exec(
        *(control_plane.programs / "kubectl", "auth", "whoami", "--output=jsonpath={.status.userInfo.username}"),
        env={"KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert output.decode() == f"system:serviceaccount:{namespace}:robot"


async def test_the_audit_log_counts_requests_by_user(control_plane: ControlPlane, namespace: str) -> None:
    since = control_plane.audit.position()
    operator = control_plane.api(OPERATOR)
    for _ in range(3):
        with pytest.raises(KubeApiError):
            await operator.get(path(namespace, "one"))

    async def refused() -> int:
        events = control_plane.audit.events(user=OPERATOR, since=since)
        return sum(event.code == 403 and event.namespace == namespace and event.verb == "get" for event in events)

    async def complete() -> bool:
        return await refused() >= 3

    await eventually(complete, "the audit log has the three requests")
    assert await refused() == 3


async def test_a_killed_control_plane_comes_back_with_its_data() -> None:
    async with ControlPlane() as control_plane:
        operator = control_plane.kubeconfig(OPERATOR)
        before = (control_plane.server, operator.read_text())
        (made,) = await control_plane.apply([config_map("default", "kept")])
        await asyncio.to_thread(control_plane.kill, API_SERVER)
        with pytest.raises(aiohttp.ClientConnectionError):
            await control_plane.get("/version")
        await asyncio.to_thread(control_plane.start_processes)
        assert await control_plane.get(path("default", "kept")) == made
        await asyncio.to_thread(control_plane.restart)
        assert await control_plane.get(path("default", "kept")) == made
        assert (control_plane.server, control_plane.kubeconfig(OPERATOR).read_text()) == before


async def test_the_ingress_follows_the_real_objects(control_plane: ControlPlane, namespace: str) -> None:
    running = {(namespace, "shop"): "acme/shop@sha256:abc"}

    async def image(in_namespace: str, service: str) -> str | None:
        return running.get((in_namespace, service))

    host = f"{namespace}.example.com"
    async with LoopbackIngress(control_plane.api(), image) as ingress, aiohttp.ClientSession() as session:

        async def answer() -> tuple[int, Object]:
            address = f"http://{ingress.host}:{ingress.port}/"
            async with session.get(address, headers={"Host": host}) as response:
                return response.status, await response.json()

        async def is_missing() -> bool:
            return (await answer())[0] == 404

        assert await is_missing()
        await control_plane.apply([ingress_object(namespace, host)])
        async with asyncio.timeout(timedelta(seconds=30).total_seconds()):
            await ingress.routed(host)
        status, body = await answer()
        assert (status, body["digest"], body["service"]) == (200, "sha256:abc", "shop")
        running.clear()
        assert (await answer())[0] == 503

        async def has_address() -> bool:
            found = await control_plane.get(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/shop")
            return bool(found["status"]["loadBalancer"].get("ingress") == [{"ip": ingress.host}])

        await eventually(has_address, "the Ingress has the address of the ingress")
        await control_plane.delete(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/shop")
        await eventually(is_missing, "the address is gone with its Ingress")


def ingress_object(namespace: str, host: str) -> Object:
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {"rules": [{"host": host, "http": {"paths": paths}}]},
    }


async def connect(rabbitmq: RabbitMQ) -> AbstractConnection:
    return await aio_pika.connect(
        host=rabbitmq.host, port=rabbitmq.port, login=rabbitmq.username, password=rabbitmq.password
    )


async def publish(channel: AbstractChannel, name: str, body: bytes) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, routing_key=name)


async def test_rabbitmq_takes_a_message_and_gives_it_back(rabbitmq: RabbitMQ) -> None:
    async with await connect(rabbitmq) as connection:
        channel = await connection.channel(publisher_confirms=True)
        name = f"testbed-{secrets.token_hex(3)}"
        queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        await publish(channel, name, b"hello")
        received = await queue.get(timeout=30)
        await received.ack()
        assert received.body == b"hello"
        # A quorum queue takes neither condition.
        await queue.delete(if_unused=False, if_empty=False)


async def test_rabbitmq_keeps_persistent_messages_over_a_restart() -> None:
    async with RabbitMQ() as rabbitmq:
        async with await connect(rabbitmq) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
            await publish(channel, "kept", b"still here")
        await asyncio.to_thread(rabbitmq.restart)
        async with await connect(rabbitmq) as connection:
            channel = await connection.channel()
            received = await (await channel.get_queue("kept")).get(timeout=30)
            await received.ack()
            assert received.body == b"still here"
