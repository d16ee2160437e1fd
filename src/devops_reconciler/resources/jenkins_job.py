"""The Jenkins job: a pipeline from SCM whose branch is the revision that a build is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from ..engine.resource import ABSENT, Intent, Observation
from ..services.jenkins_xml import Parameter, PipelineJob, differences, merge_pipeline, pipeline_xml, read_pipeline
from .marks import described, mark_in
from .world import ExternalResource, World

UID_PARAMETER = "DEPLOYMENT_UID"
BUILD_PARAMETERS = (
    Parameter(UID_PARAMETER, description="UID of the DeploymentRecord"),
    Parameter("GIT_REVISION", description="Full commit to build"),
    Parameter("IMAGE_REPOSITORY", description="Repository to push to"),
    Parameter("IMAGE_TAG", description="Tag to push"),
)
"""Definitions of the parameters that each build gets from the operator."""


def definitions(parameters: Mapping[str, str]) -> tuple[Parameter, ...]:
    """All parameters of the job: the operator's, then the project's with their values as defaults.

    The project's may have the type that its Jenkinsfile gives them.
    """
    return BUILD_PARAMETERS + tuple(Parameter(name, value, any_type=True) for name, value in sorted(parameters.items()))


class JenkinsJob(ExternalResource):
    """`/job/<folder>/job/<name>`."""

    service: ClassVar[str] = "jenkins"

    folder: str
    name: str
    git_url: str
    credentials_id: str | None = None
    script_path: str
    parameters: dict[str, str]

    @property
    def key(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def _path(self) -> tuple[str, str]:
        return (self.folder, self.name)

    def _wanted(self, me: str) -> PipelineJob:
        return PipelineJob(
            description=described(f"Build of {self.name}", me),
            git_url=self.git_url,
            credentials_id=self.credentials_id,
            script_path=self.script_path,
            parameters=definitions(self.parameters),
        )

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        xml = await world.jenkins.config(self._path)
        if xml is None:
            return ABSENT
        current = read_pipeline(xml)
        # Descriptions are for people, who may add to them; only the mark in it is ours. Parameters are restored
        # before each build, since a Jenkinsfile may replace them at any time.
        drift = tuple(
            name
            for name in differences(current, self._wanted(me))
            if name != "description" and not name.startswith("parameter ")
        )
        url = f"{world.settings.jenkins_endpoint}/job/{self.folder}/job/{self.name}/"
        return Observation(exists=True, owner=mark_in(current.description), drift=drift, external_id=self.key, url=url)

    async def create(self, world: World, me: str, seen: Observation) -> None:
        await world.jenkins.create_item((self.folder,), self.name, pipeline_xml(self._wanted(me)))

    async def update(self, world: World, me: str, seen: Observation) -> None:
        xml = await world.jenkins.config(self._path)
        if xml is not None:
            await world.jenkins.update_config(self._path, merge_pipeline(xml, self._wanted(me)))

    async def delete(self, world: World, me: str, seen: Observation) -> None:
        await world.jenkins.delete_item(self._path)


class JenkinsJobRemoval(JenkinsJob):
    """The same job, looked at for its removal: it stays while a deployment builds in it, since Jenkins would stop the
    build and forget it. That happens where `jenkins.folder` changes meanwhile; a project that goes has stopped it.
    """

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        if not seen.exists or seen.owner != me:
            return seen
        # The queue first: what leaves it meanwhile shows among the builds then.
        queued = await world.jenkins.queued(self._path)
        waits = any(UID_PARAMETER in item.parameters and not item.cancelled for item in queued)
        builds = await world.jenkins.builds(self._path)
        running = [build.number for build in builds if build.building and UID_PARAMETER in build.parameters]
        if not waits and not running:
            return seen
        what = f"build {running[0]}" if running else "a build in the queue"
        text = f"{what} is of a deployment under way; the job goes when it has ended"
        return replace(seen, deleting=True, message=text, after=world.settings.poll_interval)
