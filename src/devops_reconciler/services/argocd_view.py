"""What an Application says, read leniently: any part may be missing while Argo CD has not come to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from .argocd_calls import Json

RUNNING_REASONS = frozenset({"Running", "Completed", "Succeeded", "ContainerCreating", "PodInitializing", "Pending"})
"""Values of a pod's "Status Reason" that are no fault."""


class HiddenText(str):
    """Words of Argo CD without secrets. `unhidden` is what it has said: it is judged by that, and never shows it."""

    unhidden: str

    def __new__(cls, text: str, unhidden: str) -> HiddenText:
        self = super().__new__(cls, text)
        self.unhidden = unhidden
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # for copies: str gives one argument
        return str(self), self.unhidden


class ApplicationView:
    """An Application's JSON with the names that matter. It judges nothing.

    A sync is over when `operation_running` is false and `operation_started_at` is later than our request. `health`
    and `sync_status` are computed later: they count only with `reconciled_at` at or after `operation_finished_at`.
    All these times are whole seconds, cut off, of Argo CD's clock: an equal second proves nothing, and a start may seem
    to be before its request.
    """

    def __init__(self, app: Json) -> None:
        self.app = app
        self._metadata = _dict(app.get("metadata"))
        self._spec = _dict(app.get("spec"))
        self._status = _dict(app.get("status"))
        self._state = _dict(self._status.get("operationState"))

    @property
    def name(self) -> str:
        return _str(self._metadata.get("name"))

    @property
    def project(self) -> str:
        """The AppProject; an empty one means "default", as in Argo CD."""
        return _str(self._spec.get("project")) or "default"

    @property
    def repo_url(self) -> str:
        return _str(self.source.get("repoURL"))

    @property
    def source(self) -> Json:
        return _dict(self._spec.get("source"))

    @property
    def destination(self) -> tuple[str, str]:
        """Server and namespace."""
        found = _dict(self._spec.get("destination"))
        return _str(found.get("server")), _str(found.get("namespace"))

    @property
    def annotations(self) -> Mapping[str, str]:
        return {name: str(value) for name, value in _dict(self._metadata.get("annotations")).items()}

    @property
    def finalizers(self) -> tuple[str, ...]:
        return tuple(str(item) for item in _list(self._metadata.get("finalizers")))

    @property
    def deleting(self) -> bool:
        return bool(self._metadata.get("deletionTimestamp"))

    @property
    def deleting_since(self) -> datetime | None:
        return _time(self._metadata.get("deletionTimestamp"))

    @property
    def operation_running(self) -> bool:
        """An operation is asked for, runs, or is being terminated."""
        return bool(self.app.get("operation")) or self.operation_phase in ("Running", "Terminating")

    @property
    def operation_phase(self) -> str:
        """Running, Terminating, Succeeded, Failed, Error; empty when there was none or it has not begun."""
        return _str(self._state.get("phase"))

    @property
    def operation_started_at(self) -> datetime | None:
        return _time(self._state.get("startedAt"))

    @property
    def operation_finished_at(self) -> datetime | None:
        return _time(self._state.get("finishedAt"))

    @property
    def operation_revision(self) -> str:
        """The commit that the operation deploys; empty while it is not resolved."""
        result = _str(_dict(self._state.get("syncResult")).get("revision"))
        return result or _str(_dict(_dict(self._state.get("operation")).get("sync")).get("revision"))

    @property
    def operation_infos(self) -> Mapping[str, str]:
        """What the asker of the operation left with it, also while it is only asked for."""
        infos = _list(self._operation.get("info"))
        return {_str(_dict(item).get("name")): _str(_dict(item).get("value")) for item in infos}

    @property
    def operation_is_automated(self) -> bool:
        """Argo CD has started the operation by itself (automated sync): nobody has asked for it."""
        return _dict(self._operation.get("initiatedBy")).get("automated") is True

    @property
    def operation_source(self) -> Json:
        """The source that the operation deploys, as it was when it began; empty while it has not."""
        return _dict(_dict(self._state.get("syncResult")).get("source"))

    @property
    def _operation(self) -> Json:
        return _dict(self.app.get("operation")) or _dict(self._state.get("operation"))

    @property
    def operation_message(self) -> str:
        """What the operation says, with the words of each object that could not be applied."""
        return "; ".join(self._operation_words(_str))

    def operation_says(self, *texts: str) -> bool:
        """Whether one of these texts is in it, whatever is hidden there from those who read it."""
        return any(text in word for word in self._operation_words(_unhidden) for text in texts)

    def _operation_words(self, text_of: Callable[[Any], str]) -> list[str]:
        parts = [text_of(self._state.get("message"))]
        for item in _list(_dict(self._state.get("syncResult")).get("resources")):
            resource = _dict(item)
            bad = resource.get("status") == "SyncFailed" or resource.get("hookPhase") in ("Failed", "Error")
            if bad:
                parts.append(f"{_identity(resource)}: {text_of(resource.get('message')) or 'failed'}")
        return [part for part in parts if part]

    @property
    def sync_status(self) -> str:
        """Synced, OutOfSync, Unknown."""
        return _str(_dict(self._status.get("sync")).get("status")) or "Unknown"

    @property
    def sync_revision(self) -> str:
        """The commit that was last compared, which is not always the one that runs."""
        return _str(_dict(self._status.get("sync")).get("revision"))

    @property
    def health(self) -> str:
        """Healthy, Progressing, Degraded, Suspended, Missing, Unknown."""
        return _str(_dict(self._status.get("health")).get("status")) or "Unknown"

    @property
    def health_message(self) -> str:
        """Why: the application's own words, else those of its resources that are not healthy."""
        own = _str(_dict(self._status.get("health")).get("message"))
        if own:
            return own
        parts = []
        for item in _list(self._status.get("resources")):
            resource = _dict(item)
            health = _dict(resource.get("health"))
            if health.get("status") not in (None, "", "Healthy"):
                said = _str(health.get("message"))
                parts.append(f"{_identity(resource)} {health['status']}" + (f": {said}" if said else ""))
        return "; ".join(parts)

    @property
    def reconciled_at(self) -> datetime | None:
        """When Argo CD last compared it with Git and the cluster."""
        return _time(self._status.get("reconciledAt"))

    @property
    def images(self) -> tuple[str, ...]:
        """The images that its objects name."""
        return tuple(str(item) for item in _list(_dict(self._status.get("summary")).get("images")))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Its error and warning conditions, each as "Type: message"."""
        found = []
        for item in _list(self._status.get("conditions")):
            kind, message = _str(_dict(item).get("type")), _str(_dict(item).get("message"))
            if kind.endswith(("Error", "Warning")):
                found.append(f"{kind}: {message}")
        return tuple(found)


def failing_resources(tree: Json) -> list[str]:
    """Which objects of a resource tree block it and why, pods first: "Pod shop/shop-1: ImagePullBackOff: …"."""
    pods, others = [], []
    for item in _list(tree.get("nodes")):
        node = _dict(item)
        health = _dict(node.get("health"))
        status, said = _str(health.get("status")), _str(health.get("message"))
        if node.get("kind") == "Pod":
            reason = _info(node, "Status Reason")
            if status == "Degraded" or (status != "Healthy" and reason and reason not in RUNNING_REASONS):
                pods.append(_sentence(node, reason or status, said))
        elif status in ("Degraded", "Missing"):
            others.append(_sentence(node, status, said))
    return sorted(pods) + sorted(others)


def _sentence(node: Json, reason: str, message: str) -> str:
    return ": ".join(part for part in (_identity(node), reason, message) if part)


def _info(node: Json, name: str) -> str:
    for item in _list(node.get("info")):
        if _dict(item).get("name") == name:
            return _str(_dict(item).get("value"))
    return ""


def _identity(resource: Json) -> str:
    namespace = _str(resource.get("namespace"))
    name = _str(resource.get("name"))
    return f"{_str(resource.get('kind'))} {namespace}/{name}" if namespace else f"{_str(resource.get('kind'))} {name}"


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _unhidden(value: Any) -> str:
    return value.unhidden if isinstance(value, HiddenText) else _str(value)


def _time(value: Any) -> datetime | None:
    """A Kubernetes time, always with its zone (UTC)."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and value else None
    except ValueError:
        return None
