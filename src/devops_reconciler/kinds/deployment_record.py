"""DeploymentRecord: from the trigger to one of the terminal states, and for a preview to its verified end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ..api.base import Mode
from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION, DeploymentRecordSpec, DeploymentRecordStatus, StepState
from ..api.errors import ConflictError, FailedError, ReconcilerError, Waiting, fault_of
from ..api.faults import Fault
from ..api.names import image_tag
from ..api.project import DevOpsProjectSpec
from ..deployment import SECRET_STEP, AbsentSecret, application_facts, steps
from ..engine.conditions import CREDENTIALS_READY, READY, SUSPENDED, VENDOR_DEGRADED, say, summarise
from ..engine.outcome import Outcome, StepResult, failed_step
from ..engine.pipeline import Pipeline
from ..inputs.plan import Plan
from ..inputs.subject import Subject, controller, parse_spec
from ..resources.environment import find
from ..resources.marks import ENVIRONMENT_LABEL, PROJECT_LABEL
from ..resources.world import World
from ..services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from .crowd import previews_taken, rival, turn
from .deployment_end import DeploymentEnd
from .deployment_inputs import deployment_of
from .devops_project import PROJECT_PARTS, ROLLBACK_PARTS
from .inheritance import inherit
from .patience import ASK_AGAIN, INPUTS_STEP, bear
from .progress import fault_in, news_of, percent_done, step_statuses, time_left
from .reconcile import Verdict, is_paused
from .step_conditions import step_condition

Record = Subject[DeploymentRecordSpec, DeploymentRecordStatus]

CONDITIONS = {
    "BuildSucceeded": ("build",),
    "ImageVerified": ("image",),
    "Synced": ("release", "sync"),
    "Healthy": ("health",),
    "Reachable": ("published", "address"),
}
VENDOR_REASONS = (Reason.EXTERNAL_SERVICE_ERROR, Reason.BREAKER_OPEN, Reason.RATE_LIMITED)
"""Of a part of the project: it is not ready because a service is ill."""
HELD_BACK = (Reason.PAUSED, Reason.PLANNED)
"""Why a project holds its deployments back without limit."""
LOOK_AT_QUEUE = timedelta(seconds=5)
CANCELLED = "cancelled on request"


class DeploymentReconciliation(DeploymentEnd):
    """One pass over one record."""

    async def advance(self, subject: Record) -> Verdict:
        if self.conditions.is_true("Finished"):
            return await self.after_end(subject)
        if self.status.started_at is None:
            # Users see at once that their message has arrived. The work is for another pass: who has just arrived
            # goes first, and must not hold up the next one.
            self.fields["startedAt"] = self.now
            self.conditions.progressing("accepted", Reason.PROGRESSING, retrying=False)
            self.tell("accepted", StepState.SUCCEEDED, "the deployment was accepted")
            await self.save()
            return Verdict(after=timedelta(0), transitions=self.conditions.transitions)
        try:
            return await self._work(subject)
        except (Waiting, FailedError) as error:
            return await self._before_steps(error)

    async def unreadable(self, failure: StepResult) -> Verdict:
        """Nobody waits for what can begin nothing. What has begun goes on when its spec is corrected, and can be
        cancelled."""
        if self.conditions.is_true("Finished") or is_paused(self.obj):
            return await super().unreadable(failure)
        if self.obj["spec"].get("cancel") is True:
            return await self.stop(Reason.CANCELLED, CANCELLED)
        if self._has_begun():
            return await super().unreadable(failure)
        return await self.end(failure.reason, say(failure), Outcome(results=[failure]))

    async def _work(self, subject: Record) -> Verdict:
        """Raises Waiting or FailedError for what holds the deployment up before its first step."""
        if subject.spec.cancel:
            return await self.stop(Reason.CANCELLED, CANCELLED)
        project = await self._project(subject)
        await self._belong_to(subject, project)
        records = await self._records(subject)
        superseded = self._queue(subject, records, project)
        if superseded is not None:
            return await self.stop(Reason.SUPERSEDED, f"superseded by {superseded}")
        if self.status.stopping_since is not None:
            self.fields["stoppingSince"] = None  # who took its place has gone before it was stopped
        try:
            spec = parse_spec(DevOpsProjectSpec, project)
            self._check_parts(subject, project, spec)
            it = await deployment_of(self.world, subject, project, spec, records)
        except (Waiting, FailedError):
            raise
        except Exception as error:  # noqa: BLE001 - becomes a condition, an event and a log line
            return await self._without_inputs(failed_step(INPUTS_STEP, error))
        if it.absent and not self._has_begun():
            return await self._without_secrets(it.absent)
        inherited = partial(inherit, self.world, self.obj, it.project, it.environment, self.ledger)
        tag = partial(image_tag, record_uid=it.uid)
        wanted = steps(it, tag, self.ledger, self.world.settings, self.now, inherited)
        pipeline: Pipeline[World] = Pipeline(self.world, self.world.clock, self.me)
        outcome = await pipeline.advance(wanted, self.ledger, self.save)
        self.fields.update(application=it.application)
        return await self._progress(outcome)

    async def _project(self, subject: Record) -> dict[str, Any]:
        name = subject.spec.project_ref.name
        project = await self.world.kubernetes.get(DEVOPS_PROJECT, subject.namespace, name)
        if project is not None and not project["metadata"].get("deletionTimestamp"):
            return project
        text = f"DevOpsProject {subject.namespace}/{name} does not exist"
        self._wait_no_longer_than(subject, Reason.PROJECT_NOT_FOUND, f"{text}; create it, then deploy again")
        raise Waiting(f"{text} yet", after=LOOK_AT_QUEUE, reason=Reason.DEPENDENCY_NOT_READY)

    def _wait_no_longer_than(self, subject: Record, reason: Reason, text: str) -> None:
        limit = self.world.settings.project_wait_timeout
        if self.now - subject.created_at > limit:
            raise FailedError(f"after {limit.total_seconds():g} s: {text}", reason=reason)

    async def _belong_to(self, subject: Record, project: dict[str, Any]) -> None:
        """Records are owned by their project and found by their labels; kubectl may have set neither."""
        labels = {PROJECT_LABEL: subject.spec.project_ref.name, ENVIRONMENT_LABEL: subject.spec.environment}
        owned = controller(subject.obj) is not None
        if owned and all(subject.labels.get(name) == value for name, value in labels.items()):
            return
        owner = DEVOPS_PROJECT.controls(project["metadata"]["name"], project["metadata"]["uid"])
        others = [r for r in subject.metadata.get("ownerReferences") or () if not r.get("controller")]
        metadata = {"labels": labels, "ownerReferences": [*others, owner]}
        await self.world.kubernetes.merge_patch(
            DEPLOYMENT_RECORD, subject.namespace, subject.name, {"metadata": metadata}
        )
        raise ConflictError(f"{subject.name} belongs to its project now; it is read again")

    async def _records(self, subject: Record) -> list[dict[str, Any]]:
        label = f"{PROJECT_LABEL}={subject.spec.project_ref.name}"
        records = await self.world.kubernetes.list(DEPLOYMENT_RECORD, subject.namespace, labels=label)
        if all(record["metadata"]["uid"] != subject.uid for record in records):
            raise Waiting(
                f"the list of the project's deployments lacks {subject.name} itself; it is read again",
                after=LOOK_AT_QUEUE,
            )
        return records

    def _queue(self, subject: Record, records: Sequence[dict[str, Any]], project: dict[str, Any]) -> str | None:
        """None when it is our turn, else who superseded us; raises Waiting in the queue, FailedError when refused."""
        me, all_records = rival(subject.obj), [rival(item) for item in records]
        now = turn(me, all_records)
        if now.superseded_by is not None:
            return now.superseded_by
        if now.forbidden_by is not None:
            text = f"{now.forbidden_by} is at work on {me.environment}, and concurrencyPolicy is Forbid"
            raise FailedError(text, reason=Reason.CONCURRENCY_FORBIDDEN)
        if now.waits_for is not None:
            raise Waiting(f"in the queue behind {now.waits_for}", after=LOOK_AT_QUEUE)
        if me.environment != PRODUCTION and find(project, me.environment) is None:
            most = int(((project.get("spec") or {}).get("previews") or {}).get("max", 5))
            held = [e["name"] for e in (project.get("status") or {}).get("environments") or ()]
            taken = previews_taken(me, all_records, held)
            if len(taken) >= most:
                text = f"the project has {len(taken)} previews and may have {most} (previews.max); delete one first"
                raise FailedError(text, reason=Reason.QUOTA_EXCEEDED)
        return None

    def _check_parts(self, subject: Record, project: dict[str, Any], spec: DevOpsProjectSpec) -> None:
        """A push to a repository that is not set up would make a public one; so set-up comes before the first write.

        A rollback pushes nothing, so it waits for less.
        """
        if is_paused(project):
            raise Waiting("the project is suspended", after=self.world.settings.poll_interval, reason=Reason.PAUSED)
        if spec.mode is Mode.PLAN:
            text = "the project's mode is Plan: nothing is deployed until it is Apply"
            raise Waiting(text, after=self.world.settings.poll_interval, reason=Reason.PLANNED)
        if self._was_held_back():
            self.fields["heldUntil"] = self.now
            self.ledger.resume(self.now)
            self.conditions.drop(CREDENTIALS_READY)  # patience counts from it
        if self._has_begun():
            return
        conditions = {c["type"]: c for c in (project.get("status") or {}).get("conditions") or ()}
        for part in PROJECT_PARTS if subject.spec.rollback_to is None else ROLLBACK_PARTS:
            found = conditions.get(part)
            if found is None or found["status"] != "True":
                said = f": {found['message']}" if found and found.get("message") else ""
                text = f"the project is not set up, {part} is not True{said}"
                self._wait_no_longer_than_setup(found, text)
                raise Waiting(text, after=LOOK_AT_QUEUE, reason=Reason.DEPENDENCY_NOT_READY)

    def _has_begun(self) -> bool:
        """Whether it has written anything outside, or tried to."""
        return any(entry.attempts for entry in self.ledger.entries)

    def _was_held_back(self) -> bool:
        """Until this pass, by its project or by a pause of its own."""
        before = self.conditions.get(READY)
        paused = any(condition.type == SUSPENDED for condition in self.status.conditions)
        return paused or (before is not None and before.reason in HELD_BACK)

    def _wait_no_longer_than_setup(self, part: dict[str, Any] | None, text: str) -> None:
        """Time counts from when the part was last as it should be: the queue before may have been long."""
        since = self.status.started_at
        if since is None:
            return
        held_until = self.fields.get("heldUntil", self.status.held_until)
        if held_until is not None:
            since = max(since, held_until)
        if part is not None:
            since = max(since, datetime.fromisoformat(part["lastTransitionTime"]))
        limit = self.world.settings.project_wait_timeout
        if self.now - since > limit:
            ill = part is not None and part["reason"] in VENDOR_REASONS
            raise FailedError(
                f"after {limit.total_seconds():g} s: {text}",
                reason=Reason.DEPENDENCY_NOT_READY,
                fault=Fault.VENDOR if ill else Fault.USER,
            )

    async def _before_steps(self, error: ReconcilerError) -> Verdict:
        """Waiting for its turn or its project, or refused before its first step."""
        if isinstance(error, FailedError):
            return await self.end(error.reason, error.message, fault=error.fault)
        assert isinstance(error, Waiting)
        for flag in (CREDENTIALS_READY, VENDOR_DEGRADED):  # of logins and Secrets nothing is known any more
            self.conditions.drop(flag)
        self.conditions.progressing(error.message, error.reason, retrying=False)
        self.fields["fault"] = None
        if self.waits_anew("queue", error.message):
            self.tell("queue", StepState.WAITING, error.message, reason=error.reason.value)
        await self.save()
        return Verdict(after=error.after, transitions=self.conditions.transitions)

    async def _without_secrets(self, absent: Sequence[AbsentSecret]) -> Verdict:
        """Nothing is begun for an application that could not run: no build, and nobody loses the environment to it."""
        results = [failed_step(f"{SECRET_STEP}{secret.name}", secret.error) for secret in absent]
        return await self._without_inputs(*results)

    async def _without_inputs(self, *results: StepResult) -> Verdict:
        """What a deployment needs could not be read: its steps stay as they are."""
        outcome = Outcome(results=list(results))
        self._bear(outcome)
        failure = outcome.failure
        if failure is not None:
            return await self.end(failure.reason, say(failure), outcome)
        first = results[0]
        if first.reason is Reason.SECRET_NOT_FOUND and self.waits_anew("queue", say(first)):
            self.tell("queue", first.state, say(first), reason=first.reason.value, fault=fault_of(first.error))
        summarise(self.conditions, outcome, self.generation)
        self.fields["fault"] = fault_of(first.error)
        await self.save()
        return Verdict(after=self.next_look(outcome), results=outcome.results, transitions=self.conditions.transitions)

    def _bear(self, outcome: Outcome) -> None:
        again = min(ASK_AGAIN, self.world.settings.retry_external_delay)
        bear(outcome, self.conditions, self.now, again)

    async def _progress(self, outcome: Outcome) -> Verdict:
        """The steps' outcome as status, conditions and heartbeats."""
        self._bear(outcome)
        before, percent_before = self.status.steps, self.status.percent
        self.date_retries(outcome)
        after = step_statuses(outcome, self.ledger, before, self.now)
        percent = max(percent_done(outcome), percent_before or 0)
        eta = time_left(outcome, self.world.settings.healthy_stable_for)
        for condition, parts in CONDITIONS.items():
            step_condition(self.conditions, condition, outcome, parts)
        facts = application_facts(outcome.facts)
        for news in news_of(before, after, percent, percent_before, eta):
            self.tell(
                news.step,
                news.state,
                news.message,
                percent=news.percent,
                eta=news.eta_seconds,
                reason=news.reason,
                fault=news.fault,
                url=news.url,
            )
        self.note_durations(before, after)
        blocking = outcome.blocking
        self.fields.update(
            facts,
            steps=[s.model_dump(mode="json", by_alias=True, exclude_none=True) for s in after],
            step=blocking.step if blocking is not None else None,
            fault=fault_in(after),
            percent=percent,
            etaSeconds=eta,
        )
        if outcome.ready:
            return await self.end(Reason.SUCCEEDED, f"{facts.get('url', '')} answers", outcome)
        failure = outcome.failure
        if failure is not None:
            return await self.fail(failure, outcome)
        summarise(self.conditions, outcome, self.generation)
        await self.save()
        return Verdict(after=self.next_look(outcome), results=outcome.results, transitions=self.conditions.transitions)


async def plan_of_record(world: World, subject: Record) -> Plan:
    """A record has no plan of its own before its project is known; its steps are in `deployment`."""
    return Plan(())
