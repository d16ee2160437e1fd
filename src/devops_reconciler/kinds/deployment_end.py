"""How a deployment ends: success, failure, cancellation, supersession; then expiry and removal, proven."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ..api.conditions import Reason
from ..api.deployment_record import (
    PRODUCTION,
    DeploymentRecordSpec,
    DeploymentRecordStatus,
    StepState,
)
from ..api.errors import ReconcilerError, Waiting, fault_of
from ..api.faults import Fault
from ..engine.conditions import (
    CLEANUP_VERIFIED,
    CONFLICT,
    CREDENTIALS_READY,
    DRIFTED,
    READY,
    STALLED,
    VENDOR_DEGRADED,
    say,
    shorten,
    summarise,
)
from ..engine.ledger import EntryState
from ..engine.outcome import Outcome, StepResult, failed_step
from ..inputs.subject import Subject
from ..resources.argo_sync import INFO
from ..resources.environment import EnvironmentClaim
from ..services.argocd_view import ApplicationView
from .deployment_cleanup import CLAIM, ENDED_WELL, ENDING, DeploymentCleanUp, is_replaced
from .reconcile import SOON, Verdict
from .warning import next_warning, ttl_of_previews, warning_text

Record = Subject[DeploymentRecordSpec, DeploymentRecordStatus]

STOPPED = {Reason.CANCELLED: "Cancelled", Reason.SUPERSEDED: "Superseded"}
EXPIRING = "Expiring"


def result_of(reason: Reason) -> str:
    """The result that the terminal heartbeat tells."""
    if reason in ENDED_WELL:
        return "Succeeded"
    return STOPPED.get(reason, "Failed")


class DeploymentEnd(DeploymentCleanUp):
    """The end of a record."""

    # The terminal states

    async def stop(self, reason: Reason, text: str) -> Verdict:
        """End before the time: what runs for us is stopped first, if that is done within CLEANUP_TIMEOUT.

        Others wait for their turn, a rollback among them: a service that is away must not hold them up for ever. What
        could not be stopped stays in the ledger, for the removal to try again.
        """
        since = self.status.stopping_since or self.now
        outcome = await self.lifecycle().clean(self.ledger, self.save, ENDING, only=lambda entry: entry.step == "build")
        try:
            await self._stop_operation()
        except Exception as error:  # noqa: BLE001 - becomes a condition, and the text of the end
            outcome.results.append(failed_step("sync", error))
        waits, limit = outcome.blocking, self.world.settings.cleanup_timeout
        if waits is None:
            return await self.end(reason, text)
        if self.now - since >= limit:
            return await self.end(reason, f"{text}; not stopped within {limit.total_seconds():g} s: {say(waits)}")
        self.fields["stoppingSince"] = since
        self.conditions.progressing(f"being stopped: {say(waits)}", waits.reason, retrying=waits.error is not None)
        await self.save()
        after = min(self.next_look(outcome), self.world.settings.retry_external_delay, since + limit - self.now)
        return Verdict(after=after, results=outcome.results, transitions=self.conditions.transitions)

    async def _stop_operation(self) -> None:
        """Stop our own sync, if it still runs."""
        sync = self.ledger.current("sync")
        if sync is None or sync.state is EntryState.ACTIVE:
            return
        name, project = str(sync.value["name"]), str(sync.value["project"])
        app = await self.world.argocd.application(name, project)
        view = ApplicationView(app or {})
        if view.operation_running and view.operation_infos.get(INFO) == self.obj["metadata"]["uid"]:
            await self.world.argocd.terminate_operation(name, project)

    async def fail(self, failure: StepResult, outcome: Outcome) -> Verdict:
        """End with a step that has failed.

        Its own sync may run on: Argo CD sets it no limit, and the next deployment would have to stop it. That is tried
        once, before others get their turn; whatever comes of it, this deployment ends now.
        """
        text, trouble = say(failure), []
        if failure.step == "sync":
            try:
                await self._stop_operation()
            except Exception as error:  # noqa: BLE001 - becomes a log line, and a part of the text of the end
                trouble = [failed_step(failure.step, error)]
                text = shorten(f"{text}; its operation could not be stopped: {trouble[0].message}")
        verdict = await self.end(failure.reason, text, outcome)
        return replace(verdict, results=[*verdict.results, *trouble])

    async def end(
        self, reason: Reason, text: str, outcome: Outcome | None = None, *, fault: Fault | None = None
    ) -> Verdict:
        """The terminal state, and the one terminal heartbeat, saved together.

        `fault` is whose failure it is where the outcome has none.
        """
        result = result_of(reason)
        if outcome is not None and outcome.failure is not None:
            fault = fault_of(outcome.failure.error)
        self._conclude_conditions(reason, text, outcome)
        finished = self.now
        expires = await self.expiry(finished)
        self._observe()
        self.fields.update(finishedAt=finished, etaSeconds=0, fault=fault)
        self._set_expiry(expires)
        state = StepState.SUCCEEDED if result == "Succeeded" else StepState.FAILED
        if result in STOPPED.values():
            state = StepState.CANCELLED
        url = self.fields.get("url") if result == "Succeeded" else None
        percent = 100 if result == "Succeeded" else self.fields.get("percent", self.status.percent)
        self.tell("done", state, text, percent=percent, eta=0, reason=reason.value, fault=fault, url=url, result=result)
        await self.save()
        return Verdict(
            after=SOON if expires is not None or any(map(is_replaced, self.ledger.remaining)) else None,
            results=outcome.results if outcome is not None else [],
            transitions=self.conditions.transitions,
        )

    def _conclude_conditions(self, reason: Reason, text: str, outcome: Outcome | None = None) -> None:
        """All that the end of a deployment says."""
        if outcome is None or outcome.failure is None:
            # What an earlier pass met on the way is over.
            for flag in (CONFLICT, CREDENTIALS_READY, DRIFTED, VENDOR_DEGRADED):
                self.conditions.drop(flag)
        else:
            summarise(self.conditions, outcome, self.generation)
        if reason in ENDED_WELL:
            self.conditions.ready(text)
        else:
            self.conditions.stalled(reason, text)
        self.conditions.put("Finished", "True", reason, text)
        for item in self.conditions.list():
            if item.status == "Unknown":  # the part that was under way
                self.conditions.put(item.type, "False", reason, text)

    async def expiry(self, finished_at: datetime) -> datetime | None:
        """When a preview goes away: spec.expiresAt, else the TTL from the end of the deployment. Production stays, and
        what cannot be read until it is corrected."""
        try:
            spec = self.subject().spec
        except ReconcilerError:
            return None
        if spec.environment == PRODUCTION:
            return None
        if spec.expires_at is not None:
            return spec.expires_at
        return finished_at + (spec.ttl or ttl_of_previews(await self.project_or_none()))

    def _until(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else max(timedelta(0), moment - self.now)

    # After the end

    async def after_end(self, subject: Record) -> Verdict:
        """A finished record only expires. A new spec (extended, shortened) moves its end."""
        if self.status.finished_at is None or self.conditions.is_true(CLEANUP_VERIFIED):
            self._observe()
            await self.save()
            return Verdict(transitions=self.conditions.transitions)
        expires = self.status.expires_at
        if self.status.observed_generation != self.generation and not self.conditions.is_true("Expired"):
            expires = await self.expiry(self.status.finished_at)
            self._observe()
            if expires != self.status.expires_at:
                self._set_expiry(expires)
        if expires is None or self.now < expires:
            warning = await self._warn(expires)
            removed = await self.remove_replaced()
            await self.save()
            after = await self._announce_expiry(expires) or self._until(warning or expires)
            if removed is None or not removed.replaced:
                return Verdict(after=after, on_time=True, transitions=self.conditions.transitions)
            again = self.next_look(removed)
            after = again if after is None else min(again, after)
            return Verdict(after=after, results=removed.results, transitions=self.conditions.transitions)
        return await self._expire()

    def _observe(self) -> None:
        """This generation is seen, and changes nothing of what is over: `kubectl wait` asks each condition for it."""
        self.conditions.hold_on()
        self.fields.update(observedGeneration=self.generation)

    def _set_expiry(self, expires: datetime | None) -> None:
        """A new moment: what was announced of the old one holds no longer."""
        self.conditions.drop(EXPIRING)
        self.fields.update(expiresAt=expires, nextWarningAt=next_warning(expires, self.now))

    async def _warn(self, expires: datetime | None) -> datetime | None:
        """Announce the expiry when it is time, if it takes the preview down. Gives when the next warning is due."""
        due: datetime | None = self.fields.get("nextWarningAt", self.status.next_warning_at)
        if expires is None or due is None or self.now < due:
            return due
        if self.holds(await self.project_or_none()):
            text = warning_text(expires, self.now)
            self.conditions.drop(EXPIRING)  # each warning is news, also when the condition is True already
            self.conditions.put(EXPIRING, "True", Reason.EXPIRES_SOON, text)
            self.tell("expiry", StepState.PENDING, text, percent=100, reason=Reason.EXPIRES_SOON.value)
        due = next_warning(expires, self.now)
        self.fields.update(nextWarningAt=due)
        return due

    async def _announce_expiry(self, expires: datetime | None) -> timedelta | None:
        """The environment's entry in the project says when it goes away, as long as we hold it.

        Gives when to try again where the project has changed meanwhile.
        """
        claim = self.ledger.current(CLAIM)
        if expires is None or claim is None:
            return None
        wanted = EnvironmentClaim.model_validate(claim.value).model_copy(update={"expires_at": expires})
        seen = await wanted.observe(self.world, self.me, None)
        if seen.exists and seen.drift:
            try:
                await wanted.update(self.world, self.me, seen)
            except Waiting as error:
                return error.after
        return None

    async def _expire(self) -> Verdict:
        """Tell that its time is over, before any service is asked; the clean-up follows.

        Not while the project holds it back: a change of the project wakes it.
        """
        project = await self.project_or_none()
        if self.is_held_back(project):
            await self.save()
            return Verdict(after=self.world.settings.poll_interval, transitions=self.conditions.transitions)
        if not self.conditions.is_true("Expired"):
            turn = self.world.expiries.wait(str(self.obj["metadata"]["uid"]))
            if turn > timedelta(0):
                return Verdict(after=turn, on_time=True)
            self.conditions.drop(EXPIRING)
            self.fields.update(nextWarningAt=None)
            self.conditions.put("Expired", "True", Reason.EXPIRED, "its time to live is over")
            self.conditions.put(READY, "False", Reason.EXPIRED, "its time to live is over")
            self.conditions.drop(STALLED)
            self.conditions.put(CLEANUP_VERIFIED, "Unknown", Reason.PROGRESSING, "being cleaned up")
            self.tell(
                "expiry", StepState.RUNNING, "expired; being cleaned up", percent=100, reason=Reason.EXPIRED.value
            )
            await self.save()
            return Verdict(after=SOON, transitions=self.conditions.transitions)
        outcome = await self.clean_up_by(project)
        waits = outcome.blocking
        if waits is None:
            found, told = "all of it was looked for and is gone", "cleaned up and verified gone"
            left, reason = self.left_by_policy(), Reason.CLEANUP_VERIFIED
            self.conditions.put(CLEANUP_VERIFIED, "True", reason, left or found)
            self.tell("expiry", StepState.SUCCEEDED, left or told, percent=100, reason=reason.value)
            await self.save()
            return Verdict(results=outcome.results, transitions=self.conditions.transitions)
        failed = waits.error is not None
        status, reason = ("False", Reason.CLEANUP_FAILED) if failed else ("Unknown", Reason.PROGRESSING)
        self.conditions.put(CLEANUP_VERIFIED, "False" if status == "False" else "Unknown", reason, say(waits))
        await self.save()
        after = self.next_look_at_removal(outcome, timedelta(milliseconds=500))
        return Verdict(after=after, results=outcome.results, transitions=self.conditions.transitions)

    async def remove(self) -> Verdict:
        """The record itself goes: with it all that it holds. A deployment that was under way ends as cancelled."""
        if not self.conditions.is_true("Finished") and self._sequence > 0:
            text = "deleted while it was under way"
            self._conclude_conditions(Reason.CANCELLED, text)
            self.tell("done", StepState.CANCELLED, text, reason=Reason.CANCELLED.value, result="Cancelled")
            await self.save()
            # The end is counted with this pass, whatever the clean-up meets.
            return Verdict(after=SOON, transitions=self.conditions.transitions)
        outcome = await self.clean_up()
        verdict = await self.conclude_removal(outcome)
        finished = self.conditions.get("Finished")
        said = self.now if finished is None else finished.last_transition_time
        patient = not self.removal_overdue() or self.now - said <= self.world.settings.cleanup_timeout
        if verdict.released and not self.all_told and patient:
            # Its last words are in its status: it goes when the broker has them. The first pass may come long after
            # the deletion, so that time counts from when they were said, too.
            return replace(verdict, after=timedelta(seconds=1), released=False)
        return verdict
