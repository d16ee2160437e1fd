"""The Kubernetes API in the few verbs that the product needs, on raw JSON objects.

Objects are the `dict`s that the API server sends. Writes carry the field manager and, except to status, are validated
strictly: an unknown field is refused (400 or 422), not dropped. What exists already or fails a precondition is a
ConflictError; the text of an error is the API server's own. Why no library: docs/decisions/0001-kubernetes-client.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ..api.errors import ConflictError, ValidationError
from ..runtime.audit import AuditTrail
from ..runtime.fence import Fence
from .audited import Audit
from .http import Http, Response
from .kubernetes_calls import APPLY, Calls, Object, Query, Token
from .kubernetes_errors import already_exists
from .kubernetes_events import event_of
from .kubernetes_kinds import (
    ACCESS_REVIEW,
    ARGO_SETTINGS,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT_RECORD,
    DEVOPS_PROJECT,
    EVENT,
    INGRESS,
    INGRESS_RESOURCE,
    JENKINS_SETTINGS,
    LEASE,
    NAMESPACE,
    PEERING,
    REGISTRY_SETTINGS,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    Ref,
    is_ours,
)
from .kubernetes_status import status_patch
from .kubernetes_watch import watch_events

__all__ = [
    "ARGO_SETTINGS",
    "CONFIG_MAP",
    "CUSTOM_RESOURCE_DEFINITION",
    "DEPLOYMENT_RECORD",
    "DEVOPS_PROJECT",
    "EVENT",
    "INGRESS",
    "INGRESS_RESOURCE",
    "JENKINS_SETTINGS",
    "LEASE",
    "NAMESPACE",
    "PEERING",
    "REGISTRY_SETTINGS",
    "SECRET",
    "SERVICE_ACCOUNT",
    "Kind",
    "Kubernetes",
    "Listing",
    "Object",
    "Token",
    "already_exists",
]

T = TypeVar("T")
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Listing:
    """All objects of a list, and the resourceVersion from which a watch goes on without a gap."""

    items: list[Object]
    resource_version: str


class Kubernetes:
    """The API server, under one identity. `streams` carries the watches, so that they never starve the requests."""

    def __init__(
        self,
        http: Http,
        *,
        token: Token | None = None,
        streams: Http | None = None,
        field_manager: str = "devops-reconciler",
    ) -> None:
        self._token = token
        self._calls = Calls(http, token)
        self._streams = streams or http
        self._manager: Query = {"fieldManager": field_manager}
        self._strict: Query = {"fieldManager": field_manager, "fieldValidation": "Strict"}
        self._field_manager = field_manager

    def behind(self, fence: Fence | None) -> Kubernetes:
        """The same API server and identity; what changes something is sent only while the fence (if any) is open."""
        return self._over(self._calls.http.behind(fence))

    def recorded(self, trail: AuditTrail | None) -> Kubernetes:
        """The same; what it changes besides our own objects (kinds, Lease, peering, events) goes to the audit trail."""
        audit = None if trail is None else Audit(trail, ours=is_ours)
        return self._over(self._calls.http.recorded(audit))

    def within(self, timeout: timedelta) -> Kubernetes:
        """The same with another time limit for each request."""
        return self._over(self._calls.http.within(timeout))

    def _over(self, http: Http) -> Kubernetes:
        return Kubernetes(http, token=self._token, streams=self._streams, field_manager=self._field_manager)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The object as it is now, or None where it is not."""
        return self._found("get", kind, await self._calls.send("get", "GET", Ref(kind, namespace, name)))

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        limit: int = 500,
    ) -> list[Object]:
        """All objects that the selectors match; every page of `limit` is read. Namespace None: of all namespaces."""
        return (await self.listing(kind, namespace, labels=labels, fields=fields, limit=limit)).items

    async def listing(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        limit: int = 500,
    ) -> Listing:
        """As `list`, with the resourceVersion of the whole. A list that expires midway is begun anew, once."""
        query = {"limit": str(limit), "labelSelector": labels, "fieldSelector": fields}
        items, version = await self._pages(Ref(kind, namespace), query, lambda obj: obj)
        return Listing([*items], version)

    async def kept(
        self, kind: Kind, namespace: str | None, keep: Callable[[Object], T], *, limit: int = 500
    ) -> Sequence[T]:
        """Of all objects what `keep` makes of each: no more than a page of them is in memory at one time.

        Where the list expires midway, it is begun anew, and `keep` is given objects once more.
        """
        return (await self._pages(Ref(kind, namespace), {"limit": str(limit)}, keep))[0]

    async def _pages(self, ref: Ref, query: Query, keep: Callable[[Object], T]) -> tuple[Sequence[T], str]:
        try:
            return await self._all_pages(ref, query, keep)
        except ConflictError as error:
            if error.code != 410:
                raise
            return await self._all_pages(ref, query, keep)

    async def _all_pages(self, ref: Ref, query: Query, keep: Callable[[Object], T]) -> tuple[Sequence[T], str]:
        items: list[T] = []
        token: str | None = None
        while True:
            response = await self._calls.send("list", "GET", ref, query={**query, "continue": token})
            page = self._calls.parsed(response, f"list {ref.kind.plural}")
            metadata, found = page.get("metadata"), page.get("items")
            if not isinstance(metadata, dict) or not isinstance(found, list):
                raise self._calls.http.malformed(f"list {ref.kind.plural}", "it is no list of objects")
            # Items of built-in kinds come without apiVersion and kind.
            items += [keep({"apiVersion": ref.kind.api_version, "kind": ref.kind.kind, **item}) for item in found]
            token = metadata.get("continue") or None
            if token is None:
                return items, str(metadata.get("resourceVersion", ""))

    async def create(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any]) -> Object:
        """The object as created. One of that name is there already: ConflictError, for which `already_exists` holds."""
        ref = Ref(kind, namespace, obj.get("metadata", {}).get("name"))
        response = await self._calls.send("create", "POST", ref, query=self._strict, body=_typed(kind, obj))
        return self._written("create", ref, response)

    async def apply(self, kind: Kind, namespace: str | None, obj: Mapping[str, Any], *, force: bool = False) -> Object:
        """Server-side apply: our fields become what `obj` says, fields of ours that it lacks go, others stay.

        Another manager's fields: ConflictError, unless `force` takes them over.
        """
        ref = Ref(kind, namespace, obj["metadata"]["name"])
        query = {**self._strict, "force": "true" if force else "false"}
        body = _typed(kind, obj)
        response = await self._calls.send("apply", "PATCH", ref, query=query, body=body, content=APPLY)
        return self._written("apply", ref, response)

    async def merge_patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Object | None:
        """JSON merge patch. `metadata.resourceVersion` in it is a precondition (ConflictError). None: it is absent."""
        return await self._patch(Ref(kind, namespace, name, subresource), patch, MERGE_PATCH)

    async def json_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Sequence[Mapping[str, Any]],
        *,
        subresource: str | None = None,
    ) -> Object | None:
        """JSON patch (RFC 6902). A `test` that fails is a ValidationError (422). None: no such object."""
        return await self._patch(Ref(kind, namespace, name, subresource), [*patch], JSON_PATCH)

    async def _patch(self, ref: Ref, patch: Any, content: str) -> Object | None:
        query = self._strict if ref.subresource is None else self._manager
        response = await self._calls.send("patch", "PATCH", ref, query=query, body=patch, content=content)
        return self._found("patch", ref.kind, response)

    async def replace_status(self, kind: Kind, obj: Mapping[str, Any]) -> Object:
        """Replace the whole status of the object as read. Changed or gone in between: ConflictError (409, 404)."""
        metadata = obj["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError(f"the status of {kind.kind} is written only with the resourceVersion that was read")
        ref = Ref(kind, metadata.get("namespace"), metadata["name"], "status")
        response = await self._calls.send("replace", "PUT", ref, query=self._manager, body=_typed(kind, obj))
        return self._saved(ref, response)

    async def patch_status(
        self, kind: Kind, namespace: str | None, name: str, fields: Mapping[str, Any], *, resource_version: str
    ) -> Object:
        """Set fields of the status, if the object is still at `resource_version`; else ConflictError (409; gone: 404).

        Only what changed need be sent; a field is replaced whole, None takes it away.
        """
        ref = Ref(kind, namespace, name, "status")
        body = status_patch(fields, resource_version)
        response = await self._calls.send("patch", "PATCH", ref, query=self._manager, body=body, content=JSON_PATCH)
        return self._saved(ref, response)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Ask for deletion; finalizers may take their time. False: it was not there.

        `uid` and `resource_version` are preconditions: ConflictError where the object has others.
        """
        wanted = {"uid": uid, "resourceVersion": resource_version}
        body: Object = {"propagationPolicy": propagation}
        if preconditions := {key: value for key, value in wanted.items() if value is not None}:
            body["preconditions"] = preconditions
        response = await self._calls.send("delete", "DELETE", Ref(kind, namespace, name), body=body)
        return response.status != 404

    async def create_event(
        self, regarding: Mapping[str, Any], *, type: str, reason: str, message: str, at: datetime
    ) -> None:
        """An `events.k8s.io/v1` event about an object as read. `type` is Normal or Warning.

        Its name comes from its content, so that a repetition (a lost answer, a restart) makes no second event.
        """
        event = event_of(regarding, type, reason, message, at, self._field_manager)
        try:
            await self.create(EVENT, event["metadata"]["namespace"], event)
        except ConflictError as error:
            if not already_exists(error):
                raise

    def watch(
        self, kind: Kind, namespace: str | None, *, name: str | None = None, resource_version: str | None = None
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Changes as (ADDED | MODIFIED | DELETED | BOOKMARK, object), for ever; errors: `watch_events`.

        Without resource_version it begins with an ADDED for each object that is there. A version that the server no
        longer has: ConflictError with code 410, list again. Close it with `contextlib.aclosing`.
        """
        return watch_events(self._streams, self._calls.headers, Ref(kind, namespace, name), resource_version)

    async def secret_data(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The decoded values of a Secret, or None where there is none."""
        secret = await self.get(SECRET, namespace, name)
        return None if secret is None else self.decoded(secret)

    def decoded(self, secret: Mapping[str, Any]) -> dict[str, bytes]:
        """The values of a Secret as read. An error names the key, never the value."""
        values: dict[str, bytes] = {}
        for key, text in (secret.get("data") or {}).items():
            try:
                values[key] = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError, TypeError):
                raise self._calls.http.malformed("get secrets", f"the value of '{key}' is not base64") from None
        return values

    async def version(self) -> str:
        """The server's version, for example `v1.36.1`. Cheap: also the check whether it answers."""
        version = (await self._calls.read("get version", "/version")).get("gitVersion")
        if not isinstance(version, str):
            raise self._calls.http.malformed("get version", "it has no gitVersion")
        return version

    async def served(self, group: str, version: str) -> frozenset[str]:
        """The plural names of the kinds that the API server knows in `group/version`; none where it has no such."""
        found = await self._calls.read("get kinds", f"/apis/{group}/{version}")
        return frozenset(str(each.get("name")) for each in found.get("resources") or () if isinstance(each, dict))

    async def can_i(self, verb: str, kind: Kind, namespace: str | None, *, subresource: str = "") -> bool:
        """Whether we may, by SelfSubjectAccessReview. Nothing is stored."""
        attributes = {
            "verb": verb,
            "group": kind.group,
            "resource": kind.plural,
            "subresource": subresource,
            "namespace": namespace or "",
        }
        review = await self.create(ACCESS_REVIEW, None, {"spec": {"resourceAttributes": attributes}})
        return review.get("status", {}).get("allowed") is True

    def _found(self, verb: str, kind: Kind, response: Response) -> Object | None:
        return None if response.status == 404 else self._calls.parsed(response, f"{verb} {kind.plural}")

    def _written(self, verb: str, ref: Ref, response: Response) -> Object:
        if response.status == 404:
            text = f"Kubernetes: {verb} {ref}: namespace '{ref.namespace}' does not exist; create it first"
            raise ValidationError(text, status=404, code=404)
        return self._calls.parsed(response, f"{verb} {ref.kind.plural}")

    def _saved(self, ref: Ref, response: Response) -> Object:
        if response.status == 404:
            raise ConflictError(f"Kubernetes: {ref} is gone; its status was not saved", status=404, code=404)
        return self._calls.parsed(response, f"save status of {ref.kind.plural}")


def _typed(kind: Kind, obj: Mapping[str, Any]) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
