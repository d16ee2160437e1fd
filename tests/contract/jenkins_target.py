"""The Jenkins that the contract tests ask, and how they wait for it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp

from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.services.http import AiohttpTransport, Http
from devops_reconciler.services.jenkins import Build, Jenkins, UsernamePassword
from devops_reconciler.services.jenkins_xml import Parameter, PipelineJob, folder_xml, pipeline_xml
from standins.jenkins import JenkinsStandin
from standins.registry import RegistryStandin
from testbed.sample import SampleProject
from testbed.waiting import eventually

FOLDER = ("shop",)
JOB = ("shop", "web")
OURS = ("DEPLOYMENT_UID", "GIT_REVISION", "IMAGE_REPOSITORY", "IMAGE_TAG")


def pipeline(**changes: object) -> PipelineJob:
    """A job whose repository need not exist."""
    fields: dict[str, object] = {
        "description": "The shop",
        "git_url": "https://git.example.com/shop.git",
        "credentials_id": "git",
        "script_path": "Jenkinsfile",
        "parameters": tuple(Parameter(name) for name in OURS),
    }
    return PipelineJob(**(fields | changes))  # type: ignore[arg-type]


def basic(username: str, secret: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


@dataclass
class JenkinsTarget:
    """A Jenkins to ask, and a client for it; `username` and `token` may be changed."""

    standin: JenkinsStandin
    transport: AiohttpTransport
    account: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = self.account or [self.standin.username, self.standin.token]

    def client(self, timeout: timedelta = timedelta(seconds=10), *, hidden: Callable[[str], str] = str) -> Jenkins:
        http = Http("jenkins", self.standin.url, self.transport, SystemClock(), timeout=timeout)
        return Jenkins(http.hiding(hidden), username=lambda: self.account[0], token=lambda: self.account[1])

    async def with_folder(self) -> Jenkins:
        client = self.client()
        await client.create_item((), "shop", folder_xml("Made by a test"))
        return client

    async def with_job(self, job: PipelineJob | None = None) -> Jenkins:
        client = await self.with_folder()
        await client.create_item(FOLDER, "web", pipeline_xml(job or pipeline()))
        return client

    async def get(self, path: str, **options: object) -> aiohttp.ClientResponse:
        """A request of a test's own, without client: to see what Jenkins itself does."""
        return await self.send("GET", path, **options)

    async def send(self, method: str, path: str, **options: object) -> aiohttp.ClientResponse:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, self.standin.url + path, allow_redirects=False, **options) as reply,  # type: ignore[arg-type]
        ):
            await reply.read()
            return reply


@dataclass
class Builds:
    """A job of the sample project, with the credentials that its builds need."""

    target: JenkinsTarget
    client: Jenkins
    sample: SampleProject
    registry: RegistryStandin

    @classmethod
    async def create(cls, target: JenkinsTarget, sample: SampleProject, registry: RegistryStandin) -> Builds:
        client = await target.with_job(pipeline(git_url=sample.url))
        assert sample.repository.credentials is not None
        git = sample.repository.credentials
        await client.create_credential(FOLDER, UsernamePassword("git", "", git.username, git.password))
        await client.create_credential(FOLDER, UsernamePassword("registry", "", "pusher", "push-secret"))
        return cls(target, client, sample, registry)

    @property
    def repository(self) -> str:
        return self.registry.url.removeprefix("http://") + "/acme/shop"

    async def parameters(self, uid: str = "uid-1", **changes: str) -> dict[str, str]:
        values = {
            "DEPLOYMENT_UID": uid,
            "GIT_REVISION": await self.sample.head(),
            "IMAGE_REPOSITORY": self.repository,
            "IMAGE_TAG": "tag-1",
        }
        return values | changes

    async def commit(self, jenkinsfile: str) -> str:
        return await self.sample.commit("Change the Jenkinsfile", {"Jenkinsfile": jenkinsfile})

    async def run(self, **changes: str) -> Build:
        """Trigger, wait, and give the finished build."""
        queue_id = await self.client.trigger(JOB, await self.parameters(**changes))
        assert queue_id is not None
        return await self.finished(lambda build: build.queue_id == queue_id)

    async def finished(self, which: Callable[[Build], bool]) -> Build:
        async def probe() -> Build | None:
            builds = await self.client.builds(JOB)
            return next((build for build in builds if which(build) and build.finished), None)

        found = await eventually(probe, "a finished build")
        assert found is not None
        return found
