"""A `World` for unit tests: every service in memory, a clock that stands still, settings built by keyword."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import SecretStr

from devops_reconciler.api.names import mark
from devops_reconciler.resources.world import World
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.every import Every
from devops_reconciler.runtime.reservations import Reservations
from devops_reconciler.runtime.secrets import Secrets
from devops_reconciler.runtime.settings import AllowList, GitHost, Settings
from devops_reconciler.runtime.turns import Turns
from devops_reconciler.services.kubernetes import NAMESPACE, SECRET, SERVICE_ACCOUNT

from .fakes.argocd import FakeArgo
from .fakes.jenkins import FakeJenkins
from .fakes.kubernetes import FakeKubernetes
from .fakes.line import Line
from .fakes.others import FakeGit, FakeGoDaddy, FakeHub, FakeNameservers, FakeProber, FakeRegistry

TEAM = "team-a"
CLUSTER = "cluster-1"
GIT_URL = "https://git.example.com/shop.git"
ME = mark(CLUSTER, TEAM, "uid-of-shop")
OTHER = mark(CLUSTER, TEAM, "uid-of-another")
STRANGER = mark("cluster-2", TEAM, "uid-of-shop")


def settings(**changes: Any) -> Settings:
    """Settings that a small installation would have."""
    values: dict[str, Any] = {
        "reconciler_namespaces": (TEAM,),
        "operator_namespace": "devops-system",
        "rabbitmq_host": "rabbitmq.test",
        "rabbitmq_port": 5672,
        "jenkins_endpoint": "https://jenkins.test",
        "argocd_endpoint": "https://argocd.test",
        "argocd_token": SecretStr("argo-token"),
        "dockerhub_namespace": "acme",
        "registry_push_username": "push",
        "registry_push_token": SecretStr("push-secret"),
        "default_git_username": "reader",
        "default_git_token": SecretStr("git-secret"),
        "jenkins_git_username": "jenkins-reader",
        "jenkins_git_token": SecretStr("jenkins-git-secret"),
        "git_allowed_hosts": (GitHost.parse("git.example.com"),),
        "dns_allowed_zones": AllowList(everywhere=("example.com", "example.net")),
        "dns_txt_owner_id": "owner-1",
        "ingress_target": "203.0.113.7",
        "ingress_class": "nginx",
    }
    return Settings(**{**values, **changes})


@dataclass
class Outside:
    """The world with its services by their own types, for set-up and inspection."""

    world: World
    line: Line
    clock: FakeClock
    kubernetes: FakeKubernetes
    jenkins: FakeJenkins
    argocd: FakeArgo
    hub: FakeHub
    registry: FakeRegistry
    godaddy: FakeGoDaddy
    nameservers: FakeNameservers
    git: FakeGit
    prober: FakeProber

    def namespace(self, name: str, **metadata: Any) -> None:
        self.kubernetes.put(NAMESPACE, None, {"metadata": {"name": name, **metadata}})
        self.kubernetes.put(SERVICE_ACCOUNT, name, {"metadata": {"name": "default"}})

    def secret(
        self,
        name: str,
        data: Mapping[str, str],
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        type: str = "kubernetes.io/basic-auth",
    ) -> None:
        """A Secret in the team's namespace that projects may use."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        default = {"freeleaps.com/project-credential": "true"}
        metadata = {"name": name, "labels": dict(default if labels is None else labels)}
        if annotations:
            metadata["annotations"] = dict(annotations)
        self.kubernetes.put(SECRET, TEAM, {"metadata": metadata, "type": type, "data": encoded})


def outside(**changes: Any) -> Outside:
    """A fresh world; `changes` are settings."""
    line, clock = Line(), FakeClock()
    kubernetes, jenkins, argocd = FakeKubernetes(line, clock), FakeJenkins(line, clock), FakeArgo(line, clock)
    hub, godaddy, git, prober = FakeHub(line), FakeGoDaddy(line), FakeGit(line), FakeProber(line)
    argocd.commits = git.revisions
    registry, nameservers = FakeRegistry(line, hub), FakeNameservers(line, godaddy)
    jenkins.pushes = lambda parameters: _push(hub, parameters)
    found = settings(**changes)
    world = World(
        settings=found,
        secrets=Secrets(found, {}, clock),
        cluster_id=CLUSTER,
        clock=clock,
        kubernetes=cast(Any, kubernetes),
        jenkins=cast(Any, jenkins),
        argocd=cast(Any, argocd),
        hub=cast(Any, hub),
        registry=cast(Any, registry),
        godaddy=cast(Any, godaddy),
        nameservers=cast(Any, nameservers),
        git=cast(Any, git),
        prober=cast(Any, prober),
        hosts=Reservations(clock),
        project_files=Every(clock, found.poll_interval),
        expiries=Turns(clock, found.expiry_rate),
    )
    made = Outside(world, line, clock, kubernetes, jenkins, argocd, hub, registry, godaddy, nameservers, git, prober)
    made.namespace(TEAM)
    return made


def _push(hub: FakeHub, parameters: Mapping[str, str]) -> None:
    if {"IMAGE_REPOSITORY", "IMAGE_TAG"} <= parameters.keys():
        hub.push(parameters["IMAGE_REPOSITORY"], parameters["IMAGE_TAG"])
