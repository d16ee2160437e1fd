"""Everything that a stage's outside holds of the operator's doing, by looking into each service from behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from standins.argocd import ArgoCDStandin
from standins.dockerhub import DockerHubStandin
from standins.godaddy import GoDaddyStandin
from standins.jenkins import JenkinsStandin
from testbed.kube_api import KubeApi, Object

MARK = re.compile(r"freeleaps:[0-9a-f]{8}:[0-9a-f]{24}")
PROJECT_LABEL = "freeleaps.com/project"
OUR_ANNOTATION = "freeleaps.com/"
KUBERNETES = {
    "namespace": "/api/v1/namespaces",
    "secret": "/api/v1/secrets",
    "ingress": "/apis/networking.k8s.io/v1/ingresses",
}


@dataclass(frozen=True, order=True)
class Thing:
    """One thing at a service; ``mark`` is the mark of ownership on it, empty where it carries none."""

    service: str
    kind: str
    name: str
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.service} {self.kind} {self.name}"


def mark_in(text: str | None) -> str:
    """The mark somewhere in this text, or nothing."""
    found = MARK.search(text or "")
    return found[0] if found else ""


def in_jenkins(jenkins: JenkinsStandin) -> list[Thing]:
    """Folders, jobs and folder credentials."""
    things = []
    for at, item in jenkins.items.items():
        if not at:
            continue
        kind, name = ("folder" if item.is_folder else "job"), "/".join(at)
        things.append(Thing("jenkins", kind, name, mark_in(item.description)))
        for id, credential in item.credentials.items():
            text = ElementTree.tostring(credential.config, encoding="unicode")
            things.append(Thing("jenkins", "credential", f"{name}/{id}", mark_in(text)))
    return things


def in_argocd(argocd: ArgoCDStandin) -> list[Thing]:
    """Applications, projects but the built-in one, and repositories."""
    state = argocd.state
    things = [
        Thing("argocd", kind, name, mark_in(str(each.get("metadata"))))
        for kind, kept in (("application", state.apps), ("project", state.projects))
        for name, each in kept.items()
        if (kind, name) != ("project", "default")
    ]
    for repository in state.repositories.values():
        spec = repository.spec
        things.append(Thing("argocd", "repository", str(spec.get("repo")), mark_in(spec.get("name"))))
    return things


def in_dockerhub(hub: DockerHubStandin) -> list[Thing]:
    """Repositories and their tags."""
    things = []
    for name, record in hub.repositories.items():
        mark = mark_in(record.description)
        things.append(Thing("dockerhub", "repository", name, mark))
        things += [Thing("dockerhub", "tag", f"{name}:{tag}", mark) for tag in hub.registry.tags_of(name)]
    return things


def in_dns(godaddy: GoDaddyStandin, zone: str) -> list[Thing]:
    """All records but the zone's own NS."""
    return [
        Thing("godaddy", record["type"], f"{record['name']}.{zone}", mark_in(record["data"]))
        for record in godaddy.zone(zone).records
        if record["type"] != "NS"
    ]


async def in_kubernetes(api: KubeApi) -> list[Thing]:
    """Namespaces with our label; Secrets and Ingresses with our label or annotations."""
    things = []
    for kind, path in KUBERNETES.items():
        things += [_object(kind, each) for each in (await api.get(path))["items"] if _is_ours(each)]
    return things


def _is_ours(thing: Object) -> bool:
    metadata = thing["metadata"]
    named = any(key.startswith(OUR_ANNOTATION) for key in metadata.get("annotations") or ())
    return named or PROJECT_LABEL in (metadata.get("labels") or ())


def _object(kind: str, thing: Object) -> Thing:
    metadata = thing["metadata"]
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    return Thing("kubernetes", kind, name, mark_in(str(metadata.get("annotations"))))
