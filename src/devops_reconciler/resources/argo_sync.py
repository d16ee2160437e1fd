"""One sync operation, and the health that follows it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import Field

from ..api.conditions import Reason
from ..api.errors import ReconcilerError, Waiting
from ..engine.resource import ABSENT, Intent, Observation
from ..services.argocd_calls import OPERATION_RUNS
from ..services.argocd_view import ApplicationView, failing_resources
from ..services.git_names import FULL_COMMIT
from .polling import LOOK_AGAIN, pause_since
from .world import ExternalResource, World

INFO = "deployment"
"""Name of the operation's info that holds the record's UID."""
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""That of any object of Kubernetes."""
UNUSED_AFTER = timedelta(seconds=10)
"""How long a healthy application may lack our image before it is said not to use it: its summary comes late."""
PASSING = ("failed to list refs", "Failed to fetch", "connection refused", "context deadline exceeded", "i/o timeout")
"""What an operation ends with when Git was away at that moment: it is asked for again, until the step's deadline."""
EARLIER = "that of an earlier deployment"
OUTDATED = "Argo CD's own, of what the application no longer says"


class ArgoSync(ExternalResource):
    """The sync of application `<name>` for one record, known by the record's UID in the operation's info."""

    service: ClassVar[str] = "argocd"
    once: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    name: str
    project: str
    uid: str

    @property
    def key(self) -> str:
        return f"{self.name}#{self.uid}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        app = await world.argocd.application(self.name, self.project)
        view = ApplicationView(app or {})
        if app is None or view.operation_infos.get(INFO) != self.uid:
            return ABSENT
        if view.operation_running:
            asked = intent.at if intent is not None else None
            now, longest = world.clock.now(), world.settings.sync_poll_interval
            after = pause_since(now, longest, view.operation_started_at, asked)
            message = f"sync of {self.name}: {view.operation_phase or 'asked for'}"
            return Observation(exists=True, ready=False, message=message, after=after)
        if view.operation_phase == "Error" and view.operation_says(*PASSING):
            return ABSENT
        if view.operation_phase != "Succeeded":
            text = f"sync of {self.name} {view.operation_phase}: {view.operation_message or 'Argo CD gives no cause'}"
            return Observation(exists=True, failed=(Reason.SYNC_FAILED, text))
        finished = view.operation_finished_at or world.clock.now()
        return Observation(
            exists=True, facts={"finished_at": finished.isoformat(), "revision": view.operation_revision}
        )

    async def create(self, world: World, me: str, seen: Observation) -> None:
        try:
            await world.argocd.sync(self.name, self.project, infos={INFO: self.uid})
        except Waiting as error:
            in_the_way = await self._stop_earlier(world) if OPERATION_RUNS in error.unhidden else ""
            if not in_the_way:
                raise
            raise Waiting(f"{error.message}: {in_the_way}", after=error.after, reason=error.reason) from error

    async def _stop_earlier(self, world: World) -> str:
        """Stop the operation that an earlier deployment has left running, its own or one that Argo CD has started for
        what it had released; gives what became of it, or nothing.

        Argo CD sets an operation no limit, so one that waits for a hook would be in the way of every later deployment.
        The environment's deployments have turns, and only who has its turn syncs: who asked for this one has ended.
        """
        try:
            view = ApplicationView(await world.argocd.application(self.name, self.project) or {})
        except ReconcilerError as error:
            return f"whose it is could not be read: {error}"
        whose = self._left_running(view)
        if not whose:
            return ""
        if view.operation_phase == "Terminating":
            return f"{whose}, which is being stopped"
        try:
            told = await world.argocd.terminate_operation(self.name, self.project)
        except ReconcilerError as error:
            return f"{whose}, which could not be stopped: {error}"
        return f"{whose}, which " + ("is told to stop" if told else "has not begun, or has just ended")

    def _left_running(self, view: ApplicationView) -> str:
        """Whose the running operation is, where it may be stopped: nobody's of today, and of no user's."""
        if not view.operation_running:
            return ""
        if _is_anothers(view.operation_infos.get(INFO, ""), self.uid):
            return EARLIER
        return OUTDATED if view.operation_is_automated and _is_outdated(view) else ""


def _is_anothers(info: str, uid: str) -> bool:
    """Whether it is the UID of another record: others may call something of their own a deployment."""
    return info != uid and UID.fullmatch(info) is not None


def _is_outdated(view: ApplicationView) -> bool:
    """Whether the operation surely deploys something else than what is released now, which is in the source.

    Argo CD goes by the same two where it decides whether to sync by itself.
    """
    wanted, revision, source = str(view.source.get("targetRevision")), view.operation_revision, view.operation_source
    other_commit = FULL_COMMIT.fullmatch(wanted) is not None and revision not in ("", wanted)
    return other_commit or source not in ({}, view.source)


class ArgoHealth(ExternalResource):
    """Application `<name>` healthy, with our image, since long enough, and judged after our sync."""

    service: ClassVar[str] = "argocd"
    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    name: str
    project: str
    image_digest: str | None = None
    """Of the image that must run; None where the manifests decide."""
    synced_at: datetime
    """When our sync ended: an older judgement of Argo CD's counts for nothing."""
    sync_seen_at: datetime | None = Field(default=None, exclude=True)
    """When we saw that, by our clock."""
    since: datetime | None = None
    """Since when it has been seen healthy with our image."""
    unused_since: datetime | None = None
    """Since when it has been seen healthy without our image."""
    stable_for: timedelta

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        app = await world.argocd.application(self.name, self.project)
        if app is None:
            return Observation(message=f"application {self.name} is not there", after=LOOK_AGAIN)
        view, now = ApplicationView(app), world.clock.now()
        after = pause_since(now, world.settings.sync_poll_interval, self.synced_at, self.sync_seen_at)
        trouble = await self._trouble(world, view)
        if trouble:
            return Observation(exists=True, ready=False, message=trouble, after=after, facts={"since": None})
        if self.image_digest is not None and not any(i.endswith(f"@{self.image_digest}") for i in view.images):
            return await self._without_our_image(world, view, after)
        since = self.since or now
        left = self.stable_for - (now - since)
        facts = {"since": since.isoformat()}
        if left > timedelta(0):
            message = "healthy; watched whether it stays so"
            after = max(after, left)
            return Observation(exists=True, ready=False, proving=True, message=message, after=after, facts=facts)
        return Observation(exists=True, facts=facts)

    async def _without_our_image(self, world: World, view: ApplicationView, after: timedelta) -> Observation:
        now = world.clock.now()
        since = self.unused_since or now
        if now - since >= max(self.stable_for, UNUSED_AFTER):
            if view.reconciled_at != self.synced_at:
                return Observation(exists=True, failed=(Reason.IMAGE_NOT_USED, self._unused(view)))
            # Times are whole seconds: the judgement may be from before the sync.
            await world.argocd.refresh(self.name, self.project, hard=False)
        message = "healthy; our image does not show yet"
        facts = {"unused_since": since.isoformat()}
        return Observation(exists=True, ready=False, message=message, after=after, facts=facts)

    async def _trouble(self, world: World, view: ApplicationView) -> str:
        if view.reconciled_at is None or view.reconciled_at < self.synced_at:
            return "Argo CD has not judged it since the sync"
        if self.image_digest is None and view.reconciled_at == self.synced_at:
            # Times are whole seconds: without a digest to tell old from new, the same second proves nothing.
            await world.argocd.refresh(self.name, self.project, hard=False)
            return "Argo CD judges it anew"
        if view.operation_running:
            return "an operation runs"
        if view.sync_status != "Synced":
            said = "; ".join(view.conditions)
            return f"{view.sync_status}" + (f": {said}" if said else "")
        if view.health == "Healthy":
            return ""
        blocking = failing_resources(await world.argocd.resource_tree(self.name, self.project) or {})
        why = "; ".join(blocking) or view.health_message
        return view.health + (f": {why}" if why else "")

    def _unused(self, view: ApplicationView) -> str:
        return (
            f"application {self.name} is healthy without our image {self.image_digest}; "
            f"it runs {', '.join(view.images) or 'none'}. "
            "Set argo.kustomize.imageName (or argo.helm) to the image name that the manifests use"
        )
