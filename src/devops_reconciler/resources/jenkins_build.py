"""One build. The record's UID goes along as a parameter, so that it is found again whatever happened to the reply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from pydantic import Field

from ..api.conditions import Reason
from ..api.errors import ConflictError, ExternalServiceError, Waiting
from ..engine.decide import whose
from ..engine.resource import ABSENT, Intent, Observation
from ..services.jenkins_types import Build, QueueItem, Stage
from ..services.jenkins_xml import differences, merge_parameters, read_pipeline
from ..services.rounds import FRESH
from .jenkins_job import UID_PARAMETER, definitions
from .marks import mark_in
from .polling import pause, pause_since
from .world import ExternalResource, World

COUNTDOWN = re.compile(r"\s*\(ETA[^)]*\)|\.?\s*Expires in .*")
"""What changes in Jenkins' words with each look: it would be news, and a write, each time."""
JENKINS_LAG = timedelta(seconds=15)
"""From a trigger's arrival until Jenkins shows it, at the longest: in its queue or among its builds."""
OLDEST_ANSWER = timedelta(seconds=1)
"""How old an answer may be that says that a build is still under way: looks within that time share it."""
MOST_KNOWN = 10_000
"""So many builds under way are remembered; what is forgotten is searched for."""
LOG_TAIL = 3
"""Lines of the log that a failure quotes."""


class JenkinsBuild(ExternalResource):
    """The build of job `<folder>/<name>` with `DEPLOYMENT_UID=<uid>`. There is never a second one."""

    service: ClassVar[str] = "jenkins"
    once: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False

    folder: str
    name: str
    uid: str
    commit: str
    image_repository: str
    image_tag: str
    parameters: dict[str, str]
    queue_id: int | None = Field(default=None, exclude=True)
    """Of what was seen to wait in the queue with our UID; its build may have lost that."""
    queued_since: datetime | None = Field(default=None, exclude=True)
    """Since when that waited, by Jenkins' clock: a number may come again when Jenkins has lost its count."""

    @property
    def key(self) -> str:
        return f"{self.folder}/{self.name}#{self.uid}"

    @property
    def _path(self) -> tuple[str, str]:
        return (self.folder, self.name)

    @property
    def _arguments(self) -> dict[str, str]:
        ours = {
            UID_PARAMETER: self.uid,
            "GIT_REVISION": self.commit,
            "IMAGE_REPOSITORY": self.image_repository,
            "IMAGE_TAG": self.image_tag,
        }
        return {**self.parameters, **ours}

    def reminded(self, facts: Mapping[str, Any]) -> Self:
        queue, since = facts.get("queue"), facts.get("since")
        if queue is None or since is None:
            return self
        return self.model_copy(update={"queue_id": queue, "queued_since": datetime.fromisoformat(since)})

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await self._still(world, intent) or await self._search(world, intent)
        world.builds.pop(self.key, None)
        if seen.exists and not seen.ready and seen.failed is None:
            world.builds[self.key] = seen.facts
            if len(world.builds) > MOST_KNOWN:
                del world.builds[next(iter(world.builds))]
        return seen

    def _may_be_old(self, world: World, intent: Intent | None) -> timedelta:
        """How old the answer may be that it is still under way: so much later its end is seen."""
        return FRESH if intent is None else pause(world.clock.now() - intent.at, OLDEST_ANSWER)

    async def _still(self, world: World, intent: Intent | None) -> Observation | None:
        """What is known from a search, if it is still under way: the answers say so for all builds at once.

        They say nothing else: what is not in them is searched for. So an old one does no harm. A later number is of a
        later build, so that the first one stays the first, and the others with our UID run beside it, if there are any.
        """
        known, max_age = world.builds.get(self.key, {}), self._may_be_old(world, intent)
        if "number" in known:
            builds = self._ours(await world.jenkins.executing(self._path, max_age))
            if any(build.number == known["number"] for build in builds):
                return await self._of_builds(world, intent, builds)
        elif "queue" in known:
            queued = await self._queued(world, max_age)
            if queued is not None and queued.id == known["queue"]:
                return self._waiting(world, intent, queued)
        return None

    async def _search(self, world: World, intent: Intent | None) -> Observation:
        # The queue first: what leaves it meanwhile shows among the builds then, and never in neither.
        queued = await self._queued(world)
        builds = self._ours(await world.jenkins.builds(self._path))
        if builds:
            return await self._of_builds(world, intent, builds)
        if queued is not None:
            return self._waiting(world, intent, queued)
        return Observation(message=f"job {self.folder}/{self.name} of Jenkins has no such build, or is not there")

    def _ours(self, builds: Sequence[Build]) -> list[Build]:
        """Those with our UID; if there is none, the one that we saw waiting.

        When a build starts, Jenkins hides for good each parameter that the job does not define at that moment, and a
        Jenkinsfile that ran meanwhile may have erased ours (jenkinsci/jenkins, `ParametersAction.onAttached`).
        """
        ours = [build for build in builds if build.parameters.get(UID_PARAMETER) == self.uid]
        since = self.queued_since
        if ours or since is None:
            return ours
        lost = (build for build in builds if UID_PARAMETER not in build.parameters and build.queue_id == self.queue_id)
        newest = max((build for build in lost if build.started_at >= since), key=lambda each: each.number, default=None)
        return [newest] if newest is not None else []

    async def _queued(self, world: World, max_age: timedelta = FRESH) -> QueueItem | None:
        for item in await world.jenkins.queued(self._path, max_age):
            if item.parameters.get(UID_PARAMETER) == self.uid and not item.cancelled:
                return item
        return None

    @staticmethod
    def _waiting(world: World, intent: Intent | None, queued: QueueItem) -> Observation:
        message = f"in the queue of Jenkins: {COUNTDOWN.sub('', queued.why or '') or 'about to start'}"
        after = _pause(world, queued.since, intent)
        facts = {"queue": queued.id, "since": queued.since.isoformat()}
        return Observation(exists=True, ready=False, message=message, after=after, facts=facts)

    async def _of_builds(self, world: World, intent: Intent | None, builds: Sequence[Build]) -> Observation:
        first, *others = sorted(builds, key=lambda build: build.number)
        surplus = tuple(str(build.number) for build in others if build.building)
        return replace(await self._of_build(world, intent, first), surplus=surplus)

    async def _of_build(self, world: World, intent: Intent | None, build: Build) -> Observation:
        facts: dict[str, Any] = {"number": build.number, "url": build.url}
        if UID_PARAMETER not in build.parameters and self.queued_since is not None:
            facts |= {"queue": self.queue_id, "since": self.queued_since.isoformat()}
        seen = Observation(
            exists=True,
            facts=facts,
            external_id=str(build.number),
            url=build.url,
        )
        if not build.finished:
            return await self._running(world, intent, build, seen)
        if build.result == "SUCCESS":
            return replace(seen, percent=100)
        tail = await self._tail(world, build)
        text = f"build {build.number} ended with {build.result}{tail}; see {build.url}console"
        return replace(seen, failed=(Reason.BUILD_FAILED, text))

    async def _running(self, world: World, intent: Intent | None, build: Build, seen: Observation) -> Observation:
        spent = max(timedelta(0), world.clock.now() - build.started_at)
        stages = await world.jenkins.stages(self._path, build.number) or []
        percent, eta = progress(spent, build.estimated, stages)
        current = next((s.name for s in stages if s.status == "IN_PROGRESS"), None)
        message = f"build {build.number} runs" + (f": {current}" if current else "")
        after = _pause(world, build.started_at, intent)
        return replace(seen, ready=False, message=message, percent=percent, eta=eta, after=after)

    async def _tail(self, world: World, build: Build) -> str:
        try:
            lines = await world.jenkins.log_tail(self._path, build.number, LOG_TAIL)
        except ExternalServiceError:
            return ""  # that the build failed is told all the same
        return f" ({' | '.join(lines)})" if lines else ""

    @property
    def lag(self) -> timedelta:
        return JENKINS_LAG

    def settles_in(self, world: World) -> timedelta:
        """Within this a trigger that was sent may still arrive, and Jenkins would not refuse a second one."""
        return self.arrives_in(world)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await self._prepare(world, me)
        await world.jenkins.trigger(self._path, self._arguments)

    async def _prepare(self, world: World, me: str) -> None:
        """Restore the parameters: a Jenkinsfile with `parameters {}` has erased ours, and Jenkins drops undefined ones
        silently.

        Raises ConflictError for a job without our mark: the JenkinsSettings that refuses it may be paused, or not have
        seen the spec of this moment.
        """
        xml = await world.jenkins.config(self._path)
        if xml is None:
            raise Waiting(
                f"jenkins: job {self.folder}/{self.name} is not there yet",
                after=timedelta(seconds=2),
                reason=Reason.DEPENDENCY_NOT_READY,
            )
        current, wanted = read_pipeline(xml), definitions(self.parameters)
        owner = mark_in(current.description)
        if owner != me:
            raise ConflictError(
                f"jenkins: job {self.folder}/{self.name} carries {whose(owner)}, so it is neither changed nor started; "
                "correct jenkins.folder, or let JenkinsSettings take it over (adoption), and deploy again when that is "
                "Ready"
            )
        if differences(current, replace(current, parameters=wanted)):
            await world.jenkins.update_config(self._path, merge_parameters(xml, wanted))

    async def update(self, world: World, me: str, seen: Observation) -> None:
        for number in seen.surplus:
            await world.jenkins.stop_build(self._path, int(number))

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await self.update(world, me, seen)
        number, queue = seen.facts.get("number"), seen.facts.get("queue")
        if number is not None and not seen.ready:
            await world.jenkins.stop_build(self._path, number)
        elif queue is not None:
            await world.jenkins.cancel_queued(queue)


class JenkinsBuildStop(JenkinsBuild):
    """The same build, looked at for its removal: what counts is whether it still runs. History stays with the job."""

    def _may_be_old(self, world: World, intent: Intent | None) -> timedelta:
        return FRESH  # whether it has stopped is asked right after it was told to

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        runs = seen.exists and not seen.ready and seen.failed is None
        return seen if runs or seen.surplus else ABSENT

    async def _tail(self, world: World, build: Build) -> str:
        return ""  # why a build failed is of no interest here


def _pause(world: World, begun: datetime, intent: Intent | None) -> timedelta:
    """Until the next look at what has begun then, by Jenkins' clock, and was asked for before that, by ours."""
    asked = None if intent is None else intent.at
    return pause_since(world.clock.now(), world.settings.build_poll_interval, begun, asked)


def progress(
    spent: timedelta, estimated: timedelta | None, stages: Sequence[Stage]
) -> tuple[int | None, timedelta | None]:
    """Percent and time left: by Jenkins' own estimate, else by the stages that are done."""
    if estimated is not None and estimated > timedelta(0):
        percent = min(99, int(100 * spent / estimated))
        return percent, max(timedelta(0), estimated - spent)
    if stages:
        done = sum(1 for stage in stages if stage.status == "SUCCESS")
        return min(99, int(100 * done / len(stages))), None
    return None, None
