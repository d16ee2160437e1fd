"""The yardstick: a deployment as a bare sequential script, in a process of its own like the operator.

The same clients make the same calls to the same services, one after the other, and what takes time is asked for again
at once until it is done. The script does what a deployment cannot do without, and nothing else: no ledger, no intents
against a crash, no watch, no queue between deployments, no conditions, no events.

    python -m tests.bench.bare NAMESPACE       (with the environment of the operator)
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from devops_reconciler.api.heartbeat import heartbeat, heartbeat_body
from devops_reconciler.api.messages import heartbeat_routing_key
from devops_reconciler.api.names import image_form, image_tag, record_name
from devops_reconciler.host.world import identify, open_world
from devops_reconciler.messages.connection import connect, open_channel
from devops_reconciler.messages.publisher import Publisher
from devops_reconciler.messages.topology import declare_heartbeats
from devops_reconciler.resources.world import World
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.secrets import Secrets
from devops_reconciler.runtime.settings import Settings, load
from devops_reconciler.services.argocd_view import ApplicationView
from devops_reconciler.services.git import GitCredentials
from devops_reconciler.services.jenkins_types import Build
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, JENKINS_SETTINGS, NAMESPACE
from devops_reconciler.services.kubernetes_access import find_cluster, open_cluster

QUEUE = "bench.bare"
ROUTING_KEY = "bench.bare"
READY = "waits for messages"
UID = "DEPLOYMENT_UID"


class Deployment:
    """One deployment, from the message to the terminal heartbeat. `namespace` is watched by no operator."""

    def __init__(self, world: World, publisher: Publisher, namespace: str, message: Mapping[str, Any]) -> None:
        self._world = world
        self._publisher = publisher
        self._namespace = namespace
        self._project = str(message["payload"]["project"])
        self._event = str(message["event_id"])
        self._name = record_name(self._project, self._event)
        self._zone = (world.settings.dns_allowed_zones.everywhere or ("",))[0]
        self._host = f"{self._project}.{self._zone}"
        self._hub = str(world.settings.dockerhub_namespace)
        self._form = image_form(world.settings.registry_endpoint, self._hub, self._project)
        self._record: dict[str, Any] = {}
        self._url = ""
        self._sequence = 0

    async def accept(self) -> None:
        """Write the record: then the message may be acknowledged."""
        kubernetes = self._world.kubernetes
        project = await kubernetes.get(DEVOPS_PROJECT, self._namespace, self._project)
        assert project is not None
        self._url = str(project["spec"]["git"]["url"])
        spec = {"projectRef": {"name": self._project}, "triggerEventId": self._event}
        made = {"metadata": {"name": self._name}, "spec": spec}
        self._record = await kubernetes.create(DEPLOYMENT_RECORD, self._namespace, made)

    async def run(self) -> None:
        """All steps."""
        await self._save({"startedAt": _now()})
        await self._tell("accepted")
        await self._read_inputs()
        commit = await self._resolve()
        await self._build(commit)
        digest = await self._digest(commit)
        await self._claim(commit, digest)
        await self._world.kubernetes.get(NAMESPACE, None, self._project)
        await self._tell("namespace")
        await self._release(commit, digest)
        await self._sync(digest)
        await self._prove()
        await self._save({"finishedAt": _now(), "image": f"{self._form}@{digest}", "commit": commit, "percent": 100})
        await self._tell("done", result="Succeeded")

    async def _save(self, fields: Mapping[str, Any]) -> None:
        version = self._record["metadata"]["resourceVersion"]
        self._record = await self._world.kubernetes.patch_status(
            DEPLOYMENT_RECORD, self._namespace, self._name, fields, resource_version=version
        )

    async def _tell(self, step: str, state: str = "Succeeded", *, result: str | None = None) -> None:
        self._sequence += 1
        entry = heartbeat(
            self._record["metadata"]["uid"],
            self._project,
            self._name,
            "production",
            self._event,
            self._sequence,
            at=datetime.now(UTC),
            step=step,
            state=state,
            percent=None,
            eta_seconds=None,
            message=step,
            url=None,
            reason=None,
            terminal=result is not None,
            result=result,
        )
        message = Message(heartbeat_body(entry), delivery_mode=DeliveryMode.PERSISTENT, message_id=entry["event_id"])
        exchange = self._world.settings.rabbitmq_heartbeat_exchange
        await self._publisher.publish(exchange, heartbeat_routing_key(self._project, self._name), message)

    async def _read_inputs(self) -> None:
        """The project, its deployments, its file in Git as last read: whether and how this one may go on."""
        kubernetes = self._world.kubernetes
        await kubernetes.get(DEVOPS_PROJECT, self._namespace, self._project)
        await kubernetes.list(DEPLOYMENT_RECORD, self._namespace)
        await kubernetes.get(JENKINS_SETTINGS, self._namespace, self._project)

    async def _resolve(self) -> str:
        secrets = self._world.secrets
        user, token = (secrets.current(f"default_git_{part}") or "" for part in ("username", "token"))
        commit = await self._world.git.resolve(self._url, "main", GitCredentials(user, token))
        assert commit is not None
        await self._tell("revision")
        return commit

    async def _build(self, commit: str) -> None:
        """Look whether it was asked for already, then ask, then look until it is done."""
        jenkins, path, uid = self._world.jenkins, (self._project, self._project), self._record["metadata"]["uid"]
        await jenkins.queued(path)
        await self._my_build(path, uid)
        await self._save({"step": "build"})
        await jenkins.config(path)
        tag = image_tag(commit, uid)
        parameters = {UID: uid, "GIT_REVISION": commit, "IMAGE_REPOSITORY": self._form, "IMAGE_TAG": tag}
        await jenkins.trigger(path, parameters)
        await self._tell("build", "Running")
        while (build := await self._my_build(path, uid)) is None or not build.finished:
            pass
        if build.result != "SUCCESS":
            raise RuntimeError(f"build {build.number}: {build.result}")
        await self._tell("build")

    async def _my_build(self, path: tuple[str, str], uid: str) -> Build | None:
        builds = await self._world.jenkins.builds(path)
        return next((build for build in builds if build.parameters.get(UID) == uid), None)

    async def _digest(self, commit: str) -> str:
        tag = image_tag(commit, self._record["metadata"]["uid"])
        digest = await self._world.registry.digest(f"{self._hub}/{self._project}", tag)
        assert digest is not None
        await self._tell("image")
        return digest

    async def _claim(self, commit: str, digest: str) -> None:
        kubernetes = self._world.kubernetes
        project = await kubernetes.get(DEVOPS_PROJECT, self._namespace, self._project)
        assert project is not None
        await self._save({"step": "claim"})
        environment = {"name": "production", "holder": self._name, "commit": commit, "digest": digest}
        await kubernetes.patch_status(
            DEVOPS_PROJECT,
            self._namespace,
            self._project,
            {"environments": [environment]},
            resource_version=project["metadata"]["resourceVersion"],
        )
        await self._tell("claim")

    async def _release(self, commit: str, digest: str) -> None:
        argocd = self._world.argocd
        await argocd.application(self._project, self._project)
        await self._save({"step": "release"})
        images = [f"{self._hub}/{self._project}={self._form}@{digest}"]
        source = {"targetRevision": commit, "kustomize": {"images": images}}
        await argocd.patch_application(self._project, self._project, {"spec": {"source": source}})
        await self._tell("release")

    async def _sync(self, digest: str) -> None:
        argocd, uid = self._world.argocd, self._record["metadata"]["uid"]
        await argocd.sync(self._project, self._project, infos={"deployment": uid})
        await self._tell("sync", "Running")
        while True:
            view = ApplicationView(await argocd.application(self._project, self._project) or {})
            if view.operation_phase == "Succeeded" and not view.operation_running:
                break
        await self._tell("sync")
        while not _healthy(view, digest):
            view = ApplicationView(await argocd.application(self._project, self._project) or {})
        await self._tell("health")

    async def _prove(self) -> None:
        settings = self._world.settings
        shown = await self._world.nameservers.shows(self._zone, self._host, "A", [str(settings.ingress_target)])
        assert shown.ok, shown.detail
        await self._tell("published")
        target, port = str(settings.ingress_target), settings.ingress_http_port
        result = await self._world.prober.get(target, port, self._host, "/", tls=False)
        assert result.ok, result.detail
        await self._tell("address")


def _healthy(view: ApplicationView, digest: str) -> bool:
    judged, synced = view.reconciled_at, view.operation_finished_at
    fresh = judged is not None and synced is not None and judged >= synced
    ours = any(image.endswith(f"@{digest}") for image in view.images)
    return fresh and ours and view.sync_status == "Synced" and view.health == "Healthy"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _serve(settings: Settings, secrets: Secrets, namespace: str) -> None:
    clock = SystemClock()
    access = find_cluster(kubeconfig=settings.kubeconfig)
    async with open_cluster(access, clock) as kubernetes, AsyncExitStack() as stack:
        cluster = await identify(kubernetes, settings)
        world = await stack.enter_async_context(open_world(settings, secrets, clock, Metrics(), cluster))
        publisher = Publisher(lambda: connect(settings, secrets), lambda channel: declare_heartbeats(channel, settings))
        await publisher.open()
        channel = await open_channel(await connect(settings, secrets))
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(settings.rabbitmq_exchange, ROUTING_KEY)

        async def take(message: AbstractIncomingMessage) -> None:
            deployment = Deployment(world, publisher, namespace, json.loads(message.body))
            await deployment.accept()
            await message.ack()
            await deployment.run()

        await queue.consume(take)
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until ended."""
    settings = load(os.environ)
    asyncio.run(_serve(settings, Secrets(settings, dict(os.environ), SystemClock()), sys.argv[1]))


if __name__ == "__main__":
    main()
