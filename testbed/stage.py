"""The stage: everything around the operator, started together, and the operator on it.

    async with Stage() as stage:
        operator = await stage.start_operator()
        await stage.publish({"event_type": "DevOpsInitialize", …})

By hand: ``.venv/bin/python -m testbed.stage --environment FILE`` starts all but the operator, writes the operator's
environment to FILE as ``export`` lines, and stays up until Ctrl-C. In another terminal: ``. FILE; devops-reconciler
run``, and ``kubectl`` with the KUBECONFIG that it prints. With ``--operator`` it runs the operator too.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from standins.argocd import ArgoCDStandin
from standins.dockerhub import DockerHubStandin
from standins.godaddy import GoDaddyStandin
from standins.jenkins import JenkinsStandin
from standins.registry_accounts import Account, Secret
from testbed import rights
from testbed.git_server import Credentials, GitServer
from testbed.ingress import LoopbackIngress
from testbed.kubernetes import ControlPlane
from testbed.launcher import Launcher
from testbed.processes import RunFolder, free_port
from testbed.rabbitmq import RabbitMQ
from testbed.sample import SampleProject
from testbed.stage_cluster import NAMESPACE, Cluster
from testbed.stage_heartbeats import Heartbeats
from testbed.stage_inventory import Thing, in_argocd, in_dns, in_dockerhub, in_jenkins, in_kubernetes
from testbed.stage_operator import REPOSITORY, Operator
from testbed.stage_pace import Pace

CRDS = REPOSITORY / "deploy" / "crds"
ZONE = "example.test"
REGISTRY_NAMESPACE = "acme"
INGRESS_HOST = "127.0.0.10"
"""Where records point to: not where all else listens, so that a wrong target does not answer by accident."""
HUB = Account(REGISTRY_NAMESPACE, [Secret("dckr_pat_operator")])
PUSHER = Account("acmepush", [Secret("dckr_pat_push", scope="write")], frozenset({REGISTRY_NAMESPACE}))
GIT_OPERATOR = Credentials("reconciler", "git-operator-token")
GIT_JENKINS = Credentials("jenkins-ro", "git-jenkins-token")
GODADDY = ("stage-key", "stage-secret")


class Ground:
    """The real services: Kubernetes, RabbitMQ and Git. One ground carries several stages side by side.

    With a ``launcher`` operators start sooner; it is started and stopped with the rest.
    """

    def __init__(self, launcher: Launcher | None = None) -> None:
        self.launcher = launcher
        self.control_plane = ControlPlane(manifests=sorted(CRDS.glob("*.yaml")))
        self.broker = RabbitMQ()
        self.git = GitServer()
        self._stack = AsyncExitStack()

    async def _enter(self) -> None:
        own = () if self.launcher is None else (self.launcher,)
        await enter_all(self._stack, (*own, self.control_plane, self.broker, self.git))

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()


async def enter_all(stack: AsyncExitStack, services: Sequence[AbstractAsyncContextManager[Any]]) -> None:
    """Side by side. All are waited for, so that whatever came up is on the stack when one of them failed."""
    entered = [asyncio.create_task(stack.enter_async_context(each)) for each in services]
    for outcome in await asyncio.gather(*entered, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class Stage:
    """All services of one run. Everything is stopped at the end, also after an error.

    Stages on one ``ground`` need a ``lane`` each: its name sets namespace, exchanges, queue and class of Ingress apart.
    Names of projects must differ all the same.
    """

    def __init__(
        self,
        pace: Pace | None = None,
        *,
        latency: timedelta | None = None,
        ground: Ground | None = None,
        lane: str = "",
    ) -> None:
        self.pace = pace or Pace()
        if latency is not None:
            self.pace = replace(self.pace, latency=latency)
        self.lane = lane
        self.namespace = f"{NAMESPACE}-{lane}" if lane else NAMESPACE
        self.ground = ground or Ground()
        self._own_ground = ground is None
        self.control_plane = self.ground.control_plane
        self.broker = self.ground.broker
        self.git = self.ground.git
        self.jenkins = JenkinsStandin(
            build_seconds=self.pace.build_seconds,
            quiet_seconds=self.pace.quiet_seconds,
            executors=self.pace.executors,
        )
        self.argocd = ArgoCDStandin(times=self.pace.argocd)
        self.hub = DockerHubStandin(accounts=[HUB, PUSHER])
        self.godaddy = GoDaddyStandin(
            zones=[ZONE], nameservers=2, credentials=GODADDY, per_minute=self.pace.godaddy_per_minute
        )
        self.heartbeats = Heartbeats(self.broker, lane)
        self.operators: list[Operator] = []
        self.samples: dict[str, SampleProject] = {}
        self._run = RunFolder("devops-reconciler-stage")
        self._stack = AsyncExitStack()
        self._started = False

    @property
    def folder(self) -> Path:
        """Logs of the operators; free for files of the caller."""
        return self._run.path

    @property
    def audit_file(self) -> Path:
        """The audit trail of all operators of this stage."""
        return self.folder / "audit.jsonl"

    @property
    def registry_host(self) -> str:
        """The registry as it stands in front of image names."""
        return self.hub.registry_url.removeprefix("http://")

    async def __aenter__(self) -> Stage:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        """The slow ones side by side; each is told to stop even when another one fails."""
        own = (self.ground,) if self._own_ground else ()
        await enter_all(self._stack, (*own, self.jenkins, self.argocd, self.hub, self.godaddy))
        for standin in (self.jenkins, self.argocd, self.hub, self.godaddy):
            standin.controls.latency = self.pace.latency
        for nameserver in self.godaddy.nameservers:
            nameserver.lag = self.pace.nameserver_lag
        self.kube = Cluster(self.control_plane.server, self.control_plane.authority, self.control_plane.admin_token)
        self.kubeconfig = await self.account()
        self.ingress = await self._stack.enter_async_context(
            LoopbackIngress(self.kube, self.running, host=INGRESS_HOST, ingress_class=self.lane or None)
        )
        await self._stack.enter_async_context(self.heartbeats)
        self._started = True

    async def _stop(self) -> None:
        for operator in self.operators:
            await operator.stop()
        try:
            await self._stack.aclose()
        finally:
            self._run.remove()

    def environment(self, **overrides: str) -> dict[str, str]:
        """The complete environment of ``devops-reconciler run`` on this stage; ``overrides`` win."""
        found = {
            "KUBECONFIG": str(self.kubeconfig),
            "RECONCILER_NAMESPACES": self.namespace,
            "RECONCILER_HTTP_HOST": "127.0.0.1",
            "RECONCILER_HTTP_PORT": str(free_port()),
            "RECONCILER_AUDIT_FILE": str(self.audit_file),
            **self._broker_variables(),
            **self._vendor_variables(),
            **self._git_variables(),
            "INGRESS_TARGET": INGRESS_HOST,
            "INGRESS_HTTP_PORT": str(self.ingress.port),
            **({"INGRESS_CLASS": self.lane} if self.lane else {}),
            **self.pace.intervals,
        }
        return found | overrides

    def _broker_variables(self) -> dict[str, str]:
        return {
            "RABBITMQ_HOST": self.broker.host,
            "RABBITMQ_PORT": str(self.broker.port),
            "RABBITMQ_USERNAME": self.broker.username,
            "RABBITMQ_PASSWORD": self.broker.password,
            "RABBITMQ_VHOST": self.broker.vhost,
            "RABBITMQ_EXCHANGE": self.heartbeats.exchange,
            "RABBITMQ_QUEUE": self.heartbeats.queue,
            "RABBITMQ_HEARTBEAT_EXCHANGE": self.heartbeats.heartbeat_exchange,
        }

    def _vendor_variables(self) -> dict[str, str]:
        return {
            "JENKINS_ENDPOINT": self.jenkins.url,
            "JENKINS_USERNAME": self.jenkins.username,
            "JENKINS_TOKEN": self.jenkins.token,
            **self.argocd_variables(),
            "DOCKERHUB_ENDPOINT": self.hub.url,
            "DOCKERHUB_USERNAME": HUB.name,
            "DOCKERHUB_TOKEN": HUB.secrets[0].value,
            "DOCKERHUB_NAMESPACE": REGISTRY_NAMESPACE,
            "REGISTRY_ENDPOINT": self.hub.registry_url,
            "REGISTRY_PUSH_USERNAME": PUSHER.name,
            "REGISTRY_PUSH_TOKEN": PUSHER.secrets[0].value,
            "GODADDY_ENDPOINT": self.godaddy.url,
            "GODADDY_API_KEY": GODADDY[0],
            "GODADDY_API_SECRET": GODADDY[1],
            "GODADDY_REQUEST_BUDGET": str(self.pace.godaddy_per_minute),
            "DNS_RESOLVERS": ",".join(self.godaddy.resolvers),
            "DNS_ALLOWED_ZONES": ZONE,
        }

    async def account(self) -> Path:
        """The operator's account in the cluster: a kubeconfig with its token."""
        return await rights.install(self.control_plane, self.namespace)

    def argocd_variables(self) -> dict[str, str]:
        """Address and login of Argo CD."""
        return {"ARGOCD_ENDPOINT": self.argocd.url, "ARGOCD_TOKEN": self.argocd.api_token("admin")}

    async def running(self, namespace: str, service: str) -> str | None:
        """The image ("repository@digest") that answers for a Service, or None."""
        return await self.argocd.running(namespace, service)

    def _git_variables(self) -> dict[str, str]:
        return {
            "DEFAULT_GIT_USERNAME": GIT_OPERATOR.username,
            "DEFAULT_GIT_TOKEN": GIT_OPERATOR.password,
            "JENKINS_GIT_USERNAME": GIT_JENKINS.username,
            "JENKINS_GIT_TOKEN": GIT_JENKINS.password,
            "GIT_ALLOWED_HOSTS": f"http://{self.git.address}",
        }

    async def start_operator(self, **overrides: str) -> Operator:
        """The operator as a child process, ready; ``overrides`` are variables of its environment."""
        number = len(self.operators) + 1
        log = self.folder / f"operator-{number}.log"
        operator = Operator(self.environment(**overrides), log, launcher=self.ground.launcher)
        self.operators.append(operator)
        await operator.start()
        await operator.wait_ready()
        return operator

    async def sample(self, name: str) -> SampleProject:
        """The repository of a project of this name, made on first use: one commit on ``main``."""
        if name not in self.samples:
            sample = await SampleProject.create(
                self.git, name, image=f"{REGISTRY_NAMESPACE}/{name}", credentials=GIT_OPERATOR
            )
            sample.repository.readers = (GIT_JENKINS,)
            self.samples[name] = sample
        return self.samples[name]

    async def publish(self, message: Mapping[str, Any] | bytes, routing_key: str | None = None) -> None:
        """Send a trigger to the operator; see :meth:`Heartbeats.publish`."""
        await self.heartbeats.publish(message, routing_key)

    async def inventory(self, project: str | None = None) -> list[Thing]:
        """All that is at the services and in the cluster, of everybody or of what bears the project's name."""
        things = [*in_jenkins(self.jenkins), *await self.argocd_things(), *in_dockerhub(self.hub)]
        things += [*in_dns(self.godaddy, ZONE), *await in_kubernetes(self.kube)]
        return sorted(thing for thing in things if project is None or project in thing.name)

    @property
    def argocd_told(self) -> str:
        """Which Argo CD it is, for people."""
        return f"stand-in: {self.argocd.url}"

    @property
    def nodes_told(self) -> str:
        """What the cluster runs pods on, for people."""
        return "without nodes"

    async def argocd_things(self) -> list[Thing]:
        """What Argo CD holds."""
        return in_argocd(self.argocd)


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def exports(environment: Mapping[str, str]) -> str:
    """The environment as lines for a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


async def _by_hand(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Stage(Pace(build_seconds=options.build_seconds)) as stage:
        sample = await stage.sample("shop")
        operator = await stage.start_operator() if options.operator else None
        environment = operator.environment if operator else stage.environment()
        options.environment.write_text(exports(environment))
        say(f"environment of the operator   {options.environment}")
        say(f"kubectl                       {stage.control_plane.programs / 'kubectl'}")
        say(f"KUBECONFIG (admin)            {stage.control_plane.kubeconfig(namespace=NAMESPACE)}")
        say(f"repository of the project     {sample.url}")
        say(f"zone, host for it             {ZONE}, shop.{ZONE}")
        say(f"logs                          {stage.folder}")
        say("Ctrl-C stops all.")
        await ended.wait()


def main() -> None:
    """Run a stage by hand."""
    parser = argparse.ArgumentParser(prog="python -m testbed.stage", description="Start all services of the operator.")
    parser.add_argument("--environment", type=Path, default=Path("stage.env"), help="file for the export lines")
    parser.add_argument("--operator", action="store_true", help="run the operator too")
    parser.add_argument("--build-seconds", type=float, default=Pace().build_seconds, help="how long a build takes")
    asyncio.run(_by_hand(parser.parse_args()))


if __name__ == "__main__":
    main()
