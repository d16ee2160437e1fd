"""What the watch has told so far, as far as objects must know of each other: records of a project, times of expiry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from sys import intern
from typing import Any

from ..api.deployment_record import PRODUCTION
from ..engine.conditions import READY, SUSPENDED
from ..kinds.deployment_record import HELD_BACK
from ..kinds.reconcile import is_paused
from ..runtime.clock import moment
from ..runtime.urgency import Tenant, Urgency
from ..services.kubernetes import ARGO_SETTINGS, DEPLOYMENT_RECORD, DEVOPS_PROJECT, JENKINS_SETTINGS
from .delivery import Ended, ended
from .first_look import is_at_work
from .queue import Key


@dataclass(frozen=True, slots=True)
class _Seen:
    project: str
    environment: str
    finished: bool
    clean: bool
    going: bool
    expires_at: datetime | None
    waits_since: datetime | None = field(default=None, compare=False)
    """Its creation, while nothing has been done for it yet, though somebody wants it."""
    held: datetime | None = field(default=None, compare=False)
    """Its creation, while somebody holds it back."""
    new: bool = field(default=False, compare=False)
    """Nobody has been told that it has arrived."""
    ended: Ended | None = field(default=None, compare=False)
    """Its end, if it was a deployment of production."""
    expired: bool = field(default=False, compare=False)
    """Its status says that its time is over."""
    suspended: bool = field(default=False, compare=False)
    """It has ended, and what is left to do for it is held back."""

    def is_due(self, now: datetime) -> bool:
        """Whether its time is over, and it is not cleaned up, though nobody holds that back."""
        return not self.clean and not self.suspended and self.expires_at is not None and self.expires_at <= now


class Index:
    """In memory, from the watch; a restart fills it again. Decisions are never made from it, only wakes."""

    def __init__(self) -> None:
        self._records: dict[Key, _Seen] = {}
        self._of_project: dict[tuple[str, str], dict[Key, None]] = {}
        self._at_work: set[Key] = set()

    def note(self, obj: dict[str, Any], *, deleted: bool) -> bool:
        """Whether others may have to do with the change. A record's own progress is news to nobody else.

        Raises ValueError and the like for a status that cannot be read (one by hand, or of another version).
        """
        key = key_of(obj)
        if not deleted and is_at_work(obj):
            self._at_work.add(key)
        else:
            self._at_work.discard(key)
        if key.kind != DEPLOYMENT_RECORD.kind:
            return True
        before, seen = self._records.get(key), None if deleted else _seen(obj)
        if before is not None and (seen is None or seen.project != before.project):
            mine = self._of_project.get((key.namespace, before.project), {})
            mine.pop(key, None)
            if not mine:
                self._of_project.pop((key.namespace, before.project), None)
        if seen is None:
            self._records.pop(key, None)
        else:
            self._records[key] = seen
            self._of_project.setdefault((key.namespace, seen.project), {})[key] = None
        return deleted or seen != before

    def concerned(self, obj: dict[str, Any]) -> list[Key]:
        """Which other objects a change of this one may concern."""
        key = key_of(obj)
        if key.kind == DEVOPS_PROJECT.kind:
            mine = self._of_project.get((key.namespace, key.name), ())
            return [each for each in mine if not self._records[each].finished or self._records[each].suspended]
        if key.kind == DEPLOYMENT_RECORD.kind:
            seen = self._records.get(key)
            project = ((obj.get("spec") or {}).get("projectRef") or {}).get("name", "")
            found = [Key(DEVOPS_PROJECT.kind, key.namespace, project)] if seen is None or seen.finished else []
            return [*found, *(other for other in self.active(key.namespace, project) if other != key)]
        found = [
            Key(DEVOPS_PROJECT.kind, key.namespace, owner["name"])
            for owner in obj["metadata"].get("ownerReferences") or ()
            if owner.get("kind") == DEVOPS_PROJECT.kind
        ]
        if key.kind == JENKINS_SETTINGS.kind and found:
            found.append(Key(ARGO_SETTINGS.kind, key.namespace, key.name))
        return found

    def active(self, namespace: str, project: str) -> list[Key]:
        """The records of a project that have not finished."""
        return [key for key in self._of_project.get((namespace, project), ()) if not self._records[key].finished]

    def urgency(self, key: Key, now: datetime) -> Urgency:
        """How urgent a pass over this object is."""
        seen = self._records.get(key)
        if seen is not None and not seen.finished:
            return Urgency.ARRIVAL if seen.new else Urgency.DEPLOYMENT
        due = seen is not None and seen.is_due(now)
        if seen is not None and due and not seen.expired:
            return Urgency.DEPLOYMENT  # that its time is over shows at that time; the clean-up is not so urgent
        return Urgency.CHANGE if due or key in self._at_work else Urgency.CHECK

    def tenant(self, key: Key) -> Tenant:
        """For whom a pass over this object is: children are named as their project, records belong to one."""
        seen = self._records.get(key)
        return key.namespace, key.name if seen is None else seen.project

    def told(self, obj: dict[str, Any]) -> None:
        """A pass has saved the status of this object: what was urgent to say is said.

        The watch tells it later; only then it is news to others.
        """
        key = key_of(obj)
        seen = self._records.get(key)
        if seen is not None:
            now = _seen(obj)
            self._records[key] = replace(seen, new=False, expired=now.expired, suspended=now.suspended)

    def of_application(self, namespace: str, project: str, environment: str, now: datetime) -> list[Key]:
        """The records that may wait for the application of an environment: at work on it, or taking it down."""
        found = []
        for key in self._of_project.get((namespace, project), ()):
            seen = self._records[key]
            if seen.environment == environment and (not seen.finished or seen.going or seen.is_due(now)):
                found.append(key)
        return found

    def oldest_wait(self, now: datetime) -> float:
        """The age in seconds of the oldest deployment that waits to start; 0 where none does.

        What somebody holds back does not wait, nor what is in the queue behind it.
        """
        held: dict[tuple[str, str, str], datetime] = {}
        for key, seen in self._records.items():
            if seen.held is not None:
                place = key.namespace, seen.project, seen.environment
                held[place] = min(seen.held, held.get(place, seen.held))
        waits = [
            seen.waits_since
            for key, seen in self._records.items()
            if seen.waits_since is not None
            and seen.waits_since <= held.get((key.namespace, seen.project, seen.environment), seen.waits_since)
        ]
        return max(0.0, (now - min(waits)).total_seconds()) if waits else 0.0

    def ended(self, namespace: str, project: str) -> list[Ended]:
        """How the deployments of a project's production have ended that are still there."""
        found = [self._records[key].ended for key in self._of_project.get((namespace, project), ())]
        return [each for each in found if each is not None]

    def expired(self, now: datetime) -> list[Key]:
        """The finished records whose time is over and that are not cleaned up."""
        return [key for key, seen in self._records.items() if seen.finished and seen.is_due(now)]


def _seen(obj: dict[str, Any]) -> _Seen:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    true = {c["type"] for c in status.get("conditions") or () if c.get("status") == "True"}
    expires = status.get("expiresAt")
    held = _is_held(obj)
    return _Seen(
        project=(spec.get("projectRef") or {}).get("name", ""),
        environment=spec.get("environment", PRODUCTION),
        finished="Finished" in true,
        clean="CleanupVerified" in true,
        going=bool(obj["metadata"].get("deletionTimestamp")),
        expires_at=moment(expires) if expires else None,
        ended=ended(obj),
        expired="Expired" in true,
        suspended="Finished" in true and SUSPENDED in true,
        new=not status.get("startedAt") and not obj["metadata"].get("deletionTimestamp"),
        waits_since=None if held or "Finished" in true or status.get("applied") else _created(obj),
        held=_created(obj) if held and "Finished" not in true else None,
    )


def _is_held(obj: dict[str, Any]) -> bool:
    """Whether a record is paused, or waits as its project is, or as that only plans."""
    ready = [c.get("reason") for c in (obj.get("status") or {}).get("conditions") or () if c["type"] == READY]
    return is_paused(obj) or any(reason in HELD_BACK for reason in ready)


def _created(obj: dict[str, Any]) -> datetime | None:
    created = obj["metadata"].get("creationTimestamp")
    return moment(created) if created else None


def key_of(obj: Mapping[str, Any]) -> Key:
    """The key of an object as read. Its words are the same strings for all readings: keys are kept in many places."""
    metadata = obj["metadata"]
    return Key(intern(str(obj["kind"])), intern(str(metadata["namespace"])), intern(str(metadata["name"])))
