"""What contract tests share: the transport of the clients, and the Jenkins under test with what its builds need."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devops_reconciler.services.http import AiohttpTransport
from standins.jenkins import JenkinsStandin
from standins.registry import RegistryStandin
from testbed.argocd import RealArgoCD
from testbed.git_server import Credentials, GitServer
from testbed.sample import SampleProject

from .jenkins_target import JenkinsTarget


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    """One pool of connections, closed after the test."""
    transport = AiohttpTransport()
    yield transport
    await transport.close()


@pytest.fixture(scope="session")
def real_argocd(request: pytest.FixtureRequest) -> RealArgoCD | None:
    """The real Argo CD of this test run, with `--real`; else None, and the stand-in is tested."""
    return request.getfixturevalue("argocd_service") if request.config.getoption("--real") else None


@pytest.fixture
async def jenkins(transport: AiohttpTransport) -> AsyncIterator[JenkinsTarget]:
    """Jenkins alone: for all that is not a build."""
    async with JenkinsStandin(build_seconds=0) as standin:
        yield JenkinsTarget(standin, transport)


@pytest.fixture
async def sample() -> AsyncIterator[SampleProject]:
    """The sample project in a Git server that asks for credentials."""
    async with GitServer() as server:
        yield await SampleProject.create(server, credentials=Credentials("git-reader", "git-secret"))


@pytest.fixture
async def registry() -> AsyncIterator[RegistryStandin]:
    async with RegistryStandin() as registry:
        yield registry
