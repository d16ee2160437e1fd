"""What a deployment leaves behind, removed and proven gone: what it has replaced, and at its end all that it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from ..api.base import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy, Mode
from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..api.errors import ValidationError
from ..api.project import DevOpsProjectSpec
from ..deployment import SECRET_STEP, component_of
from ..engine.conditions import CLEANUP_VERIFIED, SUSPENDED, say_replaced, shorten
from ..engine.decide import MAY_NOT_DELETE
from ..engine.ledger import Entry, EntryState
from ..engine.lifecycle import release
from ..engine.outcome import Outcome
from ..inputs.subject import controller, parse_spec
from ..resources.believing import not_credible
from ..resources.environment import find, running
from ..resources.marks import ENVIRONMENT_LABEL, PROJECT_LABEL
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from .cleanup import ArgoApplicationInfo, CleanupReport, cleanup_application_resources
from .crowd import rival
from .deployment_inputs import policies_of
from .production_uses import is_a_previews, is_productions
from .reconcile import is_paused, is_retired, pause_of
from .telling import Telling

ENDED_WELL = (Reason.SUCCEEDED,)
CLAIM = "claim"
_ALWAYS = EffectivePolicy(frozenset(ManagementPolicy), DeletionPolicy.DELETE, Adoption.NEVER, DriftPolicy.REPAIR)
ENDING = {"build": _ALWAYS, CLAIM: _ALWAYS}
"""What ends, whatever else is to stay: a build that runs for us is stopped, and its history remains in Jenkins; the
claim is our own bookkeeping, nothing outside."""


def is_replaced(entry: Entry) -> bool:
    """It was the environment's before this deployment put something else in its place, and is not removed yet."""
    return entry.shared and is_retired(entry)


class DeploymentCleanUp(Telling):
    """The clean-up of a record."""

    report: CleanupReport | None = None
    """What the clean-up of this pass came to, by resource."""

    @property
    def _environment(self) -> str:
        return str(self.obj["spec"].get("environment", PRODUCTION))

    @property
    def _is_preview(self) -> bool:
        return self._environment != PRODUCTION

    async def remove_replaced(self) -> Outcome | None:
        """Remove what was replaced, once its successor answers. None where there is nothing for us to remove.

        What a failed deployment would have replaced stays: it may be what answers. It passes to the next holder.
        """
        replaced, finished = any(map(is_replaced, self.ledger.remaining)), self.conditions.get("Finished")
        if not replaced or finished is None or finished.reason not in ENDED_WELL:
            self.conditions.drop(CLEANUP_VERIFIED)
            return None
        project = await self.project_or_none()
        if not self.holds(project):
            self.conditions.drop(CLEANUP_VERIFIED)
            return None
        self._spare_others(project, is_replaced)
        held = self.is_held_back(project)
        outcome = await self.clean_unless_paused(is_replaced, self._policies(project), self.save, all_paused=held)
        say_replaced(self.conditions, outcome)
        self.ledger.entries = [e for e in self.ledger.entries if not e.shared or e.state is not EntryState.CLEANED]
        return outcome

    def is_held_back(self, project: dict[str, Any] | None) -> bool:
        """Whether the project lets nothing be removed for now, but by a deletion; the condition says so."""
        reason = _holds_back(project) if project is not None and self._is_ours(project) else None
        said = next((condition for condition in self.status.conditions if condition.type == SUSPENDED), None)
        if reason is not None and said is not None:
            self.conditions.put_back(said)
        self.conditions.flag(SUSPENDED, reason, "its project is paused or only plans: nothing is removed meanwhile")
        return reason is not None

    def holds(self, project: dict[str, Any] | None) -> bool:
        """Whether this record, and no later one, holds its environment."""
        held = find(project, self._environment)
        return held is not None and held.get("holder") == self.obj["metadata"]["name"]

    def _tells_holder(self, project: dict[str, Any] | None) -> bool:
        """Whether it is our project, and its status knows our environment: it may have lost its memory, and one that
        was made anew under the same name never had it."""
        return self._is_ours(project) and find(project, self._environment) is not None

    async def _goes_without_holder(self, project: dict[str, Any] | None) -> bool:
        """Whether the project goes, and who held our environment was deleted before it: nobody else cleans up then."""
        if not _is_going(project):
            return False
        held = find(project, self._environment) or {}
        namespace = self.obj["metadata"]["namespace"]
        return await self.world.kubernetes.get(DEPLOYMENT_RECORD, namespace, str(held.get("holder"))) is None

    def _is_ours(self, project: dict[str, Any] | None) -> bool:
        owner = controller(self.obj)
        return project is not None and (owner is None or owner.get("uid") == project["metadata"]["uid"])

    def _policies(self, project: dict[str, Any] | None) -> dict[str, EffectivePolicy]:
        """Those of the project's spec of now, by step. Where no spec can be read, each entry has its own."""
        if project is None or not self._is_ours(project):
            return ENDING
        try:
            spec = parse_spec(DevOpsProjectSpec, project)
        except ValidationError:
            return ENDING
        policies = policies_of(spec, preview=self._is_preview)
        return {**{entry.step: policies[component_of(entry.step)] for entry in self.ledger.remaining}, **ENDING}

    async def clean_up(self) -> Outcome:
        return await self.clean_up_by(await self.project_or_none())

    async def clean_up_by(self, project: dict[str, Any] | None) -> Outcome:
        """Remove what is ours; leave what a later record of the environment holds, what production uses by now, and
        what still runs our image."""
        told = self._tells_holder(project) and not await self._goes_without_holder(project)
        held = self.holds(project) if told else await self._is_last()
        mine = self._is_preview and held
        if not mine:
            # Production stays as it is, but with its project goes what its images were pulled with.
            leaves = held and _is_going(project)
            release(
                self.ledger,
                lambda entry: entry.shared and not (leaves and entry.step.startswith(SECRET_STEP)),
                "the environment is not held by this deployment",
            )
        else:
            self._spare_others(project, lambda entry: entry.shared)
        if await self._image_in_use(project):
            release(self.ledger, lambda entry: entry.step == "image", "an environment runs this image")
        application = ArgoApplicationInfo(
            name=str(self.status.application or self.obj["metadata"]["name"]),
            ledger=self.ledger,
            lifecycle=self.lifecycle(),
            save=self.save,
            since=self._cleanup_began(),
            policies=self._policies(project),
            only=lambda entry: entry.step != CLAIM,
        )
        settings, clock = self.world.settings, self.world.clock
        self.report = await cleanup_application_resources(
            [application], cleanup_timeout=settings.cleanup_timeout, clock=clock
        )
        outcome = self.report.outcomes[application.name]
        if not any(entry.shared and entry.step != CLAIM for entry in self.ledger.remaining):
            # The claim goes last: without it, what is still there would look like another's at the next attempt.
            last = await self.lifecycle().clean(self.ledger, self.save, ENDING, only=lambda e: e.step == CLAIM)
            outcome.results += last.results
            outcome.acted = outcome.acted or last.acted
        return outcome

    def left_by_policy(self) -> str:
        """What the clean-up has found and may not delete, as a sentence; empty where that is nothing."""
        left = (e for e in self.ledger.entries if e.state is EntryState.CLEANED and e.note == MAY_NOT_DELETE)
        names = ", ".join(f"{entry.kind} {entry.key}" for entry in left)
        return shorten(f"cleaned up but for this, since {MAY_NOT_DELETE}: {names}") if names else ""

    async def _is_last(self) -> bool:
        """Where nobody is known to hold the environment: whether no later record has been at work on it.

        Raises ExternalServiceError for a list without ourselves: it proves nothing.
        """
        environment = self._environment
        labels = f"{PROJECT_LABEL}={self.obj['spec']['projectRef']['name']},{ENVIRONMENT_LABEL}={environment}"
        records = await self.world.kubernetes.list(DEPLOYMENT_RECORD, self.obj["metadata"]["namespace"], labels=labels)
        me = rival(self.obj)
        if all(record["metadata"]["uid"] != self.obj["metadata"]["uid"] for record in records) and self._labelled():
            raise not_credible(f"the list of the deployments of {environment} lacks {me.name}")
        later = [rival(record) for record in records if rival(record).order > me.order]
        return not any(other.active or other.result == Reason.SUCCEEDED for other in later)

    def _labelled(self) -> bool:
        return PROJECT_LABEL in (self.obj["metadata"].get("labels") or {})

    def _cleanup_began(self) -> datetime:
        deleted = self.obj["metadata"].get("deletionTimestamp")
        expired = self.conditions.get("Expired")
        if deleted:
            return datetime.fromisoformat(deleted)
        return expired.last_transition_time if expired is not None else self.now

    async def _image_in_use(self, project: dict[str, Any] | None) -> bool:
        """Whether an environment that stays runs our image without a tag of its own: a rollback, or ours to be pruned.

        Another build of the same content has its own tag, and removing one tag leaves the others.
        """
        digest = str(self.status.image or "").partition("@")[2]
        me, preview = self.obj["metadata"]["name"], self._is_preview
        if project is not None and digest and not preview and find(project, PRODUCTION) is None:
            # Production is never given up, so the status of the project has lost its memory.
            return self.conditions.is_true("Reachable") or self.ledger.current(CLAIM) is not None
        if project is None or not digest or not any(entry.step == "image" for entry in self.ledger.remaining):
            return False
        images = await running(self.world, self.obj["metadata"]["namespace"], project)
        return any(
            each.image.partition("@")[2] == digest and (not preview if each.record == me else not each.own)
            for each in images
        )

    def _spare_others(self, project: dict[str, Any] | None, which: Callable[[Entry], bool]) -> None:
        """Let go of those of a preview's things that production uses by now, and the other way round."""
        theirs = (
            partial(is_productions, project, self.world.settings)
            if self._is_preview
            else partial(is_a_previews, project)
        )
        release(self.ledger, lambda entry: which(entry) and theirs(entry), "another environment uses it by now")

    async def project_or_none(self) -> dict[str, Any] | None:
        name = self.obj["spec"]["projectRef"]["name"]
        return await self.world.kubernetes.get(DEVOPS_PROJECT, self.obj["metadata"]["namespace"], name)


def _holds_back(project: dict[str, Any]) -> Reason | None:
    """Why a project has nothing removed for now. Its own deletion goes on, unless that is paused, too."""
    if _is_going(project):
        return Reason.PAUSED if pause_of(project) == "all" else None
    if is_paused(project):
        return Reason.PAUSED
    return Reason.PLANNED if (project.get("spec") or {}).get("mode") == Mode.PLAN else None


def _is_going(project: dict[str, Any] | None) -> bool:
    return project is None or "deletionTimestamp" in project["metadata"]
