"""A project's own life: it sets up, keeps a bounded history of deployments, and goes away in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..api.base import DeletionPolicy, Mode
from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION, StepState
from ..api.errors import ReconcilerError
from ..api.project import DevOpsProjectSpec, DevOpsProjectStatus
from ..engine.conditions import CLEANUP_VERIFIED, details
from ..engine.outcome import Outcome, StepResult, failed_step
from ..engine.pipeline import Pipeline, Step
from ..engine.resource import Resource
from ..inputs.subject import FORCE_ANNOTATION, Subject, controller
from ..resources.child import CHILD_KINDS, contains
from ..resources.environment import last_healthy, stands, targets_of_rollbacks, true_conditions
from ..resources.marks import PROJECT_LABEL
from ..resources.world import World
from ..services.kubernetes import DEPLOYMENT_RECORD
from .crowd import Rival, rival
from .devops_project import CHILDREN, PROJECT_PARTS, removal_policies_of_children
from .left_behind import asked
from .planning import plan_of_project
from .reconcile import Reconciliation, Verdict
from .telling import are_sent

Project = Subject[DevOpsProjectSpec, DevOpsProjectStatus]

PROGRESS_EVERY = timedelta(seconds=10)
"""How often at most the progress of the children is written, as long as no deployment waits for it."""
HISTORY = "history"
"""In place of a step: old records are removed."""
PRUNE_AT_ONCE = 10
"""How many old records go in one pass: a wrong view costs no more before somebody sees it."""
ENDED_KEPT = 100
"""Of how many previews whose clean-up is proven records stay. `historyLimit` counts for each, and each pull request
makes one: without an end to them every pass would read all that there have ever been."""
SETTLED = (StepState.SUCCEEDED, StepState.SKIPPED, StepState.FAILED)


class ProjectReconciliation(Reconciliation[DevOpsProjectSpec, DevOpsProjectStatus]):
    """One pass over one project."""

    async def remove(self) -> Verdict:
        """Records first: their previews are cleaned up while all that they need is still there. Then the children."""
        records = await self._records() or await self._unlabelled()
        children = await self._children()
        await self._pass_policies_on(children)
        if asked(self.obj) is not None:
            await self._pass_force_on(records, children)
        if records:
            for record in records:
                metadata = record["metadata"]
                if not metadata.get("deletionTimestamp"):
                    await self.world.kubernetes.delete(
                        DEPLOYMENT_RECORD, metadata["namespace"], metadata["name"], uid=metadata["uid"]
                    )
            names = ", ".join(sorted(record["metadata"]["name"] for record in records)[:5])
            if self.removal_overdue():
                self.blocked(f"{len(records)} deployments: {names}; see what holds them up")
            else:
                text = f"being deleted: {len(records)} deployments are cleaned up first: {names}"
                self.conditions.progressing(text, Reason.PROGRESSING, retrying=False)
            await self.save()
            return Verdict(after=timedelta(seconds=5), transitions=self.conditions.transitions)
        return await super().remove()

    async def _children(self) -> list[tuple[str, dict[str, Any]]]:
        """The children that are there and belong to this project, by their kind."""
        metadata = self.obj["metadata"]
        found = [
            (name, await self.world.kubernetes.get(kind, metadata["namespace"], metadata["name"]))
            for name, kind in CHILD_KINDS.items()
        ]
        mine = metadata["uid"]
        return [(name, obj) for name, obj in found if obj is not None and (controller(obj) or {}).get("uid") == mine]

    async def _pass_policies_on(self, children: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Each child is removed by its own spec, and no normal pass brings that up to date any more.

        Before any of them is deleted: where this fails, nothing is.
        """
        try:
            policies = removal_policies_of_children(self.subject().spec)
        except ReconcilerError:
            return  # a spec that cannot be read says nothing: they keep the policies that they have
        for kind, child in children:
            wanted = policies[kind]
            if child["metadata"].get("deletionTimestamp"):
                wanted = leaving(child.get("spec"), wanted)
            await self._set(kind, child, wanted)

    async def _set(self, kind: str, child: dict[str, Any], spec: dict[str, Any]) -> None:
        """Fields of a child's spec; where they are so already, nothing is written."""
        if not contains(child.get("spec"), spec):
            metadata = child["metadata"]
            patch = {"spec": spec}
            await self.world.kubernetes.merge_patch(CHILD_KINDS[kind], metadata["namespace"], metadata["name"], patch)

    async def _pass_force_on(
        self, records: Sequence[dict[str, Any]], children: Sequence[tuple[str, dict[str, Any]]]
    ) -> None:
        """Who lets a project go, lets go of what cannot be removed of its deployments and children, too."""
        metadata = self.obj["metadata"]
        patch = {"metadata": {"annotations": {FORCE_ANNOTATION: metadata["annotations"][FORCE_ANNOTATION]}}}
        theirs = ((CHILD_KINDS[kind], child) for kind, child in children)
        for kind, obj in (*((DEPLOYMENT_RECORD, record) for record in records), *theirs):
            if asked({"kind": kind.kind, **obj}) is None:
                await self.world.kubernetes.merge_patch(kind, metadata["namespace"], obj["metadata"]["name"], patch)

    async def advance(self, subject: Project) -> Verdict:
        verdict = await super().advance(subject)
        if all(result.state in SETTLED for result in verdict.results):
            try:
                await self._prune(subject)
            except Exception as error:  # noqa: BLE001 - becomes a log line, and the outcome of the pass
                # The status is saved: what is new in it would be told by nobody, were the verdict lost.
                failed = Outcome(results=[failed_step(HISTORY, error)])
                looks = (verdict.after, self.next_look(failed))
                after = min(look for look in looks if look is not None)
                return replace(verdict, after=after, results=[*verdict.results, *failed.results])
        return verdict

    def shows_at_once(self, outcome: Outcome) -> bool:
        """Children take their time, and tell when they are Ready."""
        return False

    def silence(self, outcome: Outcome) -> timedelta:
        """Children that come to be one after the other are told of together, unless a deployment waits for that."""
        progress = all(r.error is None and r.state in (StepState.RUNNING, StepState.SUCCEEDED) for r in outcome.results)
        if outcome.ready or not progress or self._opens(outcome):
            return timedelta(0)
        told = max((condition.last_transition_time for condition in self.status.conditions), default=None)
        return timedelta(0) if told is None else PROGRESS_EVERY - (self.now - told)

    def _opens(self, outcome: Outcome) -> bool:
        """Whether deployments may begin now that could not by what the status says."""
        ready = {result.step for result in outcome.results if result.state is StepState.SUCCEEDED}
        parts = {condition: kind for kind, _, condition, _ in CHILDREN if condition in PROJECT_PARTS}
        said = {condition.type for condition in self.status.conditions if condition.status == "True"}
        return ready.issuperset(parts.values()) and not said.issuperset(parts)

    async def pause(self) -> Verdict:
        """A paused project pauses its children: each does its own part."""
        if self.obj["metadata"].get("deletionTimestamp"):
            return await super().pause()
        subject = self.subject()
        spec = subject.spec.model_copy(update={"suspend": True})
        plan = await self.what.plan(self.world, replace(subject, spec=spec))
        outcome, missing = await self._pass_on(plan.steps)
        details(self.conditions, outcome)
        verdict = await self.say_paused(missing)
        # Whatever else a paused child waits for is none of the pause's.
        verdict.results = [r for r in outcome.results if r in missing or r.state is StepState.WAITING]
        verdict.after = self.next_look(replace(outcome, results=verdict.results))
        return verdict

    async def _pass_on(self, steps: Sequence[Step[World]]) -> tuple[Outcome, list[StepResult]]:
        """One pass over the children, with the results of those that have not got what is wanted."""
        pipeline: Pipeline[World] = Pipeline(self.world, self.world.clock, self.me)
        outcome = await pipeline.advance(steps, self.ledger, self.save)
        pairs = zip(steps, outcome.results, strict=True)
        return outcome, [result for step, result in pairs if not self._has(step.resource(outcome.facts), result)]

    def _has(self, wanted: Resource[World] | None, result: StepResult) -> bool:
        """Whether a child has what is wanted: by what was last written, and where it was seen, as it is."""
        entry, seen = self.ledger.current(result.step), result.seen
        known = entry is not None and wanted is not None and entry.digest == wanted.digest()
        return result.written or (known and (seen is None or not seen.drift))

    async def plan_only(self) -> Verdict:
        """What is there of the children plans, too: each writes for itself outside."""
        for kind, child in await self._children():
            await self._set(kind, child, {"mode": Mode.PLAN.value, "suspend": False})
        return await super().plan_only()

    async def planned_calls(self) -> list[dict[str, Any]]:
        return await plan_of_project(self.world, self.obj, await super().planned_calls(), dict(self.context.kinds))

    async def _records(self) -> list[dict[str, Any]]:
        metadata = self.obj["metadata"]
        return await self.world.kubernetes.list(
            DEPLOYMENT_RECORD, metadata["namespace"], labels=f"{PROJECT_LABEL}={metadata['name']}"
        )

    async def _unlabelled(self) -> list[dict[str, Any]]:
        """Records of the project that lack its label: made by kubectl a moment ago, or somebody took the label off."""
        metadata = self.obj["metadata"]
        others = await self.world.kubernetes.list(DEPLOYMENT_RECORD, metadata["namespace"], labels=f"!{PROJECT_LABEL}")
        named = [(item, ((item.get("spec") or {}).get("projectRef") or {}).get("name")) for item in others]
        return [item for item, project in named if project == metadata["name"]]

    async def _prune(self, subject: Project) -> None:
        """Delete finished records beyond `historyLimit`, a few at a time.

        None that an environment needs, and none with heartbeats that the broker has not got: a deletion does not wait
        for it without limit.
        """
        holders = {entry.name: entry.holder for entry in self.status.environments}
        found = surplus(await self._records(), holders, subject.spec.history_limit)
        for record in [each for each in found if self._has_told_all(each)][:PRUNE_AT_ONCE]:
            metadata = record["metadata"]
            await self.world.kubernetes.delete(
                DEPLOYMENT_RECORD, metadata["namespace"], metadata["name"], uid=metadata["uid"]
            )

    def _has_told_all(self, record: dict[str, Any]) -> bool:
        outbox = ((record.get("status") or {}).get("heartbeat") or {}).get("outbox") or ()
        return are_sent(outbox, self.context.confirmed(str(record["metadata"]["uid"])))


def leaving(there: Any, wanted: Any) -> Any:
    """`wanted`, but Orphan stays where it is: who has said at a child that is going to leave a thing is heard."""
    if isinstance(wanted, dict):
        known = there if isinstance(there, dict) else {}
        return {name: leaving(known.get(name), value) for name, value in wanted.items()}
    return there if there == DeletionPolicy.ORPHAN else wanted


def surplus(
    records: Sequence[dict[str, Any]], holders: Mapping[str, str | None], limit: int, ended: int = ENDED_KEPT
) -> list[dict[str, Any]]:
    """Finished records of each environment beyond the newest `limit`, without those that hold one; the oldest first.

    With them all those of previews that have ended, beyond the newest `ended` of these.
    The last healthy one of each stays, too: it runs on where later ones have failed, and is the way back. So does what
    a rollback that has not ended may go back to, whatever its environment.
    `holders` is by environment. Where a deployment has succeeded and nobody holds its environment, the status of the
    project has lost its memory: nothing of that environment is given.
    """
    environments: dict[str, list[tuple[Rival, dict[str, Any]]]] = {}
    newest_first = sorted(((rival(record), record) for record in records), key=lambda it: it[0].order, reverse=True)
    for it in newest_first:
        environments.setdefault(it[0].environment, []).append(it)
    staying = [record for me, record in newest_first if not me.deleting]
    needed = {*holders.values(), *(target["metadata"]["name"] for _, target in targets_of_rollbacks(staying))}
    # By their newest records, as the environments are.
    over = [name for name, mine in environments.items() if name not in holders and _has_ended(mine)]
    long_over = set(over[ended:])
    found: list[tuple[Rival, dict[str, Any]]] = []
    # Each preview is an environment of its own, so there may be as many of them as records.
    for environment, mine in environments.items():
        if environment not in holders and any(stands(record) for _, record in mine):
            continue
        healthy = last_healthy((record for me, record in mine if not me.deleting), environment)
        finished = [(me, record) for me, record in mine if me.finished]
        for me, record in finished[0 if environment in long_over else limit :]:
            if record is not healthy and me.name not in needed and not me.deleting:
                found.append((me, record))
    return [record for _, record in sorted(found, key=lambda it: it[0].order)]


def _has_ended(newest_first: Sequence[tuple[Rival, dict[str, Any]]]) -> bool:
    """Whether a preview has expired, with proof that all of it is gone, and nothing of it is under way or to come."""
    newest, record = newest_first[0]
    verified = CLEANUP_VERIFIED in true_conditions(record)
    return newest.environment != PRODUCTION and verified and all(me.finished for me, _ in newest_first)
