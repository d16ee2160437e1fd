"""The cluster of a stage as a user of kubectl has it, with waiting for conditions by watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from testbed.kube_api import KubeApi, Object

GROUP = "/apis/freeleaps.com/v1alpha1"
NAMESPACE = "freeleaps-devops-system"
DEADLINE = timedelta(seconds=60)
KINDS = {
    "devopsprojects": "DevOpsProject",
    "jenkinssettings": "JenkinsSettings",
    "registrysettings": "RegistrySettings",
    "argosettings": "ArgoSettings",
    "ingressresources": "IngressResource",
    "deploymentrecords": "DeploymentRecord",
}


def condition(resource: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """The condition of this type, or None."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((dict(each) for each in conditions if each["type"] == kind), None)


def path(plural: str, name: str | None = None, namespace: str = NAMESPACE) -> str:
    """The path of our resources of a kind, or of one of them."""
    collection = f"{GROUP}/namespaces/{namespace}/{plural}"
    return collection if name is None else f"{collection}/{name}"


class Cluster(KubeApi):
    """The API as admin, with the words of our kinds."""

    async def make(self, plural: str, name: str, spec: Mapping[str, Any], namespace: str = NAMESPACE) -> Object:
        """Create one of our resources."""
        version = GROUP.removeprefix("/apis/")
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": version, "kind": KINDS[plural], "metadata": metadata, "spec": dict(spec)}
        return await self.create(path(plural, namespace=namespace), body)

    async def read(self, plural: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        """One of our resources, None when it is not there."""
        return await self.find(path(plural, name, namespace))

    async def every(self, plural: str, namespace: str = NAMESPACE) -> list[Object]:
        """All resources of one of our kinds."""
        items: list[Object] = (await self.get(path(plural, namespace=namespace)))["items"]
        return items

    async def until(
        self,
        plural: str,
        name: str,
        matches: Callable[[Object], bool],
        what: str,
        deadline: timedelta = DEADLINE,
        namespace: str = NAMESPACE,
    ) -> Object:
        """The resource, as soon as it matches: seen by watch. Raises TimeoutError with the resource's status."""
        last: Object = {}
        selected = f"{path(plural, namespace=namespace)}?fieldSelector=metadata.name={name}"
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                while True:
                    found = await self.get(selected)
                    for last in found["items"]:
                        if matches(last):
                            return last
                    async with aclosing(self.watch(selected, found["metadata"]["resourceVersion"])) as events:
                        async for event in events:
                            if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                                continue
                            last = event["object"] if event["type"] != "DELETED" else {}
                            if last and matches(last):
                                return last
        except TimeoutError:
            shown = json.dumps(told(last), indent=1) if last else "it is not there"
            raise TimeoutError(
                f"{plural}/{name}: not within {deadline.total_seconds():.0f} s: {what}. Now: {shown}"
            ) from None

    async def wait_condition(
        self,
        plural: str,
        namespace: str,
        name: str,
        kind: str,
        status: str = "True",
        deadline: timedelta = DEADLINE,
        *,
        reason: str | None = None,
    ) -> Object:
        """The resource, as soon as the condition has this status (and reason) for the generation of now."""

        def matches(resource: Object) -> bool:
            found = condition(resource, kind)
            if found is None or found["status"] != status or (reason and found["reason"] != reason):
                return False
            return bool(found.get("observedGeneration", 0) >= resource["metadata"]["generation"])

        what = f"{kind}={status}{f' ({reason})' if reason else ''}"
        return await self.until(plural, name, matches, what, deadline, namespace)

    async def wait_gone(
        self, plural: str, name: str, deadline: timedelta = DEADLINE, namespace: str = NAMESPACE
    ) -> None:
        """Until the resource is gone, its finalizers included."""
        selected = f"{path(plural, namespace=namespace)}?fieldSelector=metadata.name={name}"
        last: Object = {}
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                while True:
                    found = await self.get(selected)
                    if not found["items"]:
                        return
                    last = found["items"][0]
                    async with aclosing(self.watch(selected, found["metadata"]["resourceVersion"])) as events:
                        async for event in events:
                            if event["type"] == "DELETED":
                                return
                            last = event.get("object", last)
        except TimeoutError:
            shown = json.dumps(told(last), indent=1)
            raise TimeoutError(
                f"{plural}/{name} is still there after {deadline.total_seconds():.0f} s: {shown}"
            ) from None


def told(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What of a resource helps to see why it is not where it should be."""
    metadata, status = resource.get("metadata") or {}, dict(resource.get("status") or {})
    # The ledger, the outbox and the children are long, and what they say is in the conditions and steps too.
    for noise in ("applied", "heartbeat", "plan", "children"):
        status.pop(noise, None)
    conditions = [
        " ".join(str(each.get(key, "")) for key in ("type", "status", "reason", "message"))
        for each in status.pop("conditions", None) or ()
    ]
    kept = {key: metadata[key] for key in ("generation", "finalizers", "deletionTimestamp") if metadata.get(key)}
    return {"metadata": kept, "conditions": conditions, "status": status}
