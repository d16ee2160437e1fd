"""What the operator may do in a cluster, by the chart, and what it did, by the audit log of the API server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from testbed import chart
from testbed.audit import AuditEvent
from testbed.kube_api import Object
from testbed.kubernetes import ControlPlane
from testbed.waiting import eventually

ACCOUNT = chart.RELEASE
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource, such as ``deploymentrecords/status``. An empty namespace or name means all."""

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""

    def covers(self, use: Right) -> bool:
        """Whether this right is enough for that use."""
        same = (self.group, self.resource, self.verb) == (use.group, use.resource, use.verb)
        return same and self.namespace in ("", use.namespace) and self.name in ("", use.name)

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else " in all namespaces"
        which = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}{which}{where}"


def user_in(namespace: str) -> str:
    """The operator's name in the audit log and in RBAC."""
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"


def granted(documents: Iterable[Mapping[str, Any]]) -> list[Right]:
    """The rights of all Roles and ClusterRoles, one for each verb and resource."""
    found = []
    for role in documents:
        if role["kind"] not in ("Role", "ClusterRole"):
            continue
        namespace = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            names = rule.get("resourceNames") or [""]
            combined = product(rule["apiGroups"], rule["resources"], rule["verbs"], names)
            found += [Right(namespace, group, resource, verb, name) for group, resource, verb, name in combined]
    return found


def used(events: Iterable[AuditEvent]) -> Iterator[Right]:
    """The rights that these requests needed. Pages of discovery need none of ours."""
    for event in events:
        if not event.resource or event.group in ("authorization.k8s.io", "authentication.k8s.io"):
            continue
        resource = f"{event.resource}/{event.subresource}" if event.subresource else event.resource
        verbs = [event.verb]
        if event.verb == "patch" and event.code == 201:
            # Server-side apply of what was not there: the server asks for both.
            verbs.append("create")
        for verb in verbs:
            yield Right(event.namespace, event.group, resource, verb, event.name)


def idle(rights: Iterable[Right], uses: Iterable[Right]) -> list[Right]:
    """The rights that no use needed: of several that cover a use, only the narrowest counts as needed."""
    left = set(rights)
    ranked = sorted(left, key=lambda right: (not right.namespace, not right.name, right))
    for use in set(uses):
        left.discard(next((right for right in ranked if right.covers(use)), use))
    return sorted(left)


async def install(control_plane: ControlPlane, namespace: str) -> Path:
    """The service account of the chart in this namespace, with exactly its rights: a kubeconfig with its token.

    Returns when the rights are in force: the API server learns of them a moment after they were written.
    """
    await control_plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    documents = chart.rights(namespace)
    await control_plane.apply(documents)
    for role in documents:
        if role["kind"] in ("Role", "ClusterRole"):
            await _in_force(control_plane, namespace, granted([role])[-1])
    return await control_plane.add_service_account(namespace, ACCOUNT)


async def _in_force(control_plane: ControlPlane, namespace: str, right: Right) -> None:
    resource, _, subresource = right.resource.partition("/")
    asked = {"group": right.group, "resource": resource, "subresource": subresource, "verb": right.verb}
    attributes = {**asked, "namespace": right.namespace, "name": right.name}
    review: Object = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user_in(namespace), "resourceAttributes": attributes},
    }

    async def allowed() -> bool:
        return bool((await control_plane.api().create(REVIEWS, review))["status"]["allowed"])

    await eventually(allowed, f"the operator in {namespace} may {right}")
