"""How `doctor` looks at the services that speak HTTP, at Git hosts and nameservers. Everything here only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..api.conditions import Reason
from ..api.errors import CredentialsError
from ..host.world import Clients
from ..services.dns import Nameservers
from ..services.git import GitCredentials
from ..services.git_names import host_of
from ..services.jenkins import FOLDER_CLASS, PIPELINE_CLASS
from .doctor_finding import Examination, Finding, note_clock

ARGOCD_RIGHTS = (
    *(("applications", verb, "*/*") for verb in ("get", "create", "update", "delete", "sync")),
    *(("projects", verb, "*") for verb in ("get", "create", "update", "delete")),
    *(("repositories", verb, "*") for verb in ("get", "create", "update", "delete")),
)
"""What the resources ask of Argo CD, in the words of its RBAC."""
JENKINS_TYPES = {FOLDER_CLASS: "folders (plugin cloudbees-folder)", PIPELINE_CLASS: "pipelines (plugin workflow-job)"}
TRIED = 5
"""Git hosts that are tried, at most, where none are configured."""


@dataclass(frozen=True)
class Vendors:
    """The examinations of all services but the cluster and the broker.

    `repositories` is one repository URL of a project per Git host: a login can only be tried on a repository.
    """

    clients: Clients
    repositories: Mapping[str, str] = field(default_factory=dict)

    def all(self) -> list[Examination]:
        """In the order of a deployment."""
        s = self.clients.settings
        zones = s.dns_allowed_zones.names()
        return [
            *self._git_hosts(),
            self._http("jenkins", s.jenkins_endpoint, self._jenkins, "JENKINS_USERNAME and JENKINS_TOKEN"),
            self._http("dockerhub", s.dockerhub_endpoint, self._dockerhub, "DOCKERHUB_USERNAME and DOCKERHUB_TOKEN"),
            self._http("registry", s.registry_endpoint, self._registry, "DOCKERHUB_USERNAME and DOCKERHUB_TOKEN"),
            *self._push_account(),
            self._http("argocd", s.argocd_endpoint, self._argocd, "ARGOCD_TOKEN, or ARGOCD_USERNAME and _PASSWORD"),
            self._http("godaddy", s.godaddy_endpoint, partial(self._godaddy, zones), "GODADDY_API_KEY and _SECRET"),
            *(self._nameservers(zone) for zone in zones),
        ]

    def _http(self, service: str, address: str, look: Any, login: str) -> Examination:
        async def whole(finding: Finding) -> None:
            insecure = service == "argocd" and self.clients.settings.argocd_insecure
            pool = self.clients.unchecked if insecure else self.clients.pool
            await note_clock(finding, pool, f"{address}/", self.clients.clock)
            await look(finding)

        variable = f"{service.upper()}_ENDPOINT"
        return Examination(Finding(service, address), whole, endpoint=variable, login=login)

    async def _jenkins(self, finding: Finding) -> None:
        jenkins = self.clients.jenkins()
        lacking = ("may not read anything", "Overall/Read")
        try:
            finding.version = await jenkins.version()
            finding.identity = await jenkins.whoami()
            lacking = ("may not create folders at the root", "Job/Create")
            types = await jenkins.item_types()
        except CredentialsError as error:
            if error.reason is not Reason.PERMISSION_DENIED:
                raise
            problem, right = lacking
            finding.fail(problem, f"give {finding.identity or 'the user of JENKINS_USERNAME'} {right} in Jenkins")
            return
        for name, what in JENKINS_TYPES.items():
            if name in types:
                finding.may.append(f"create {what.partition(' ')[0]}")
            else:
                finding.fail(f"has no {what}", "install the plugins cloudbees-folder and workflow-aggregator")

    async def _dockerhub(self, finding: Finding) -> None:
        s, hub = self.clients.settings, self.clients.hub()
        finding.identity = s.dockerhub_username or ""
        if s.dockerhub_username is None:
            finding.notes.append("DOCKERHUB_USERNAME is not set: calls carry no login")
        known = s.known_registry_namespaces
        if known:
            await hub.ping(known[0])
            finding.may.append(f"list repositories of {known[0]}")
        elif s.dockerhub_username is not None or s.allowed_registry_namespaces:
            await hub.log_in()
            finding.may.append("log in")
        else:
            finding.notes.append("DOCKERHUB_NAMESPACE is not set: no project can have images")

    async def _registry(self, finding: Finding) -> None:
        finding.identity = self.clients.settings.dockerhub_username or "anonymous"
        await self.clients.registry().ping()
        finding.may.append("log in")

    def _push_account(self) -> list[Examination]:
        username = self.clients.settings.registry_push_username
        if username is None:
            return []

        async def look(finding: Finding) -> None:
            finding.identity = username
            await self.clients.registry("registry_push").ping()
            finding.may.append("log in")
            finding.notes.append("that it may push shows with the first build")

        address = self.clients.settings.registry_endpoint
        login = "REGISTRY_PUSH_USERNAME and REGISTRY_PUSH_TOKEN"
        return [Examination(Finding("registry push", address), look, endpoint="REGISTRY_ENDPOINT", login=login)]

    async def _argocd(self, finding: Finding) -> None:
        argocd = self.clients.argocd()
        finding.version = await argocd.version()
        finding.identity = str((await argocd.whoami()).get("username", "unknown"))
        missing = [
            f"{action} {resource}"
            for resource, action, thing in ARGOCD_RIGHTS
            if not await argocd.can_i(resource, action, thing)
        ]
        if missing:
            finding.fail(
                f"may not {', '.join(missing)}", "grant it in argocd-rbac-cm, for this account and all projects"
            )
        else:
            finding.may.append("work with applications, projects and repositories")

    async def _godaddy(self, zones: tuple[str, ...], finding: Finding) -> None:
        s, godaddy = self.clients.settings, self.clients.godaddy()
        if s.godaddy_api_key is None:
            finding.notes.append("GODADDY_API_KEY is not set: no record can be made")
            return
        if not zones:
            finding.notes.append("DNS_ALLOWED_ZONES names no zone: the login was not tried")
        for zone in zones:
            domain = await godaddy.domain(zone)
            if domain is None:
                finding.fail(
                    f"zone {zone} is not in this account", "correct DNS_ALLOWED_ZONES, or use its account's key"
                )
            else:
                count = len(await godaddy.zone_records(zone))
                finding.may.append(f"read zone {zone} ({domain.get('status', 'no status')}, {count} records)")

    def _nameservers(self, zone: str) -> Examination:
        s = self.clients.settings

        async def look(finding: Finding) -> None:
            for answer in await Nameservers(s.dns_resolvers, self.clients.clock).answers(zone, zone, "SOA"):
                if answer.error is not None:
                    advice = "check DNS_RESOLVERS" if s.dns_resolvers else "check the zone's delegation"
                    finding.fail(f"{answer.server} {answer.error}", f"{advice}, and UDP and TCP port 53 to it")
                else:
                    finding.may.append(f"ask {answer.server}")

        address = ",".join(s.dns_resolvers) or "by the zone's NS records"
        return Examination(Finding(f"dns {zone}", address), look, endpoint="DNS_RESOLVERS")

    def _git_hosts(self) -> list[Examination]:
        allowed = [str(each) for each in self.clients.settings.git_allowed_hosts]
        hosts = [text if "://" in text else f"https://{text}" for text in allowed]
        if not hosts:
            hosts = [f"{url.partition('://')[0]}://{host}" for host, url in self.repositories.items()][:TRIED]
        return [self._git_host(host) for host in hosts]

    def _git_host(self, address: str) -> Examination:
        name = address.partition("://")[2]

        async def look(finding: Finding) -> None:
            await note_clock(finding, self.clients.pool, f"{address}/", self.clients.clock)
            url = self.repositories.get(name)
            if url is None:
                finding.notes.append("no project has a repository there yet: the login was not tried")
                if finding.clock is None:
                    finding.fail("it does not answer", "check GIT_ALLOWED_HOSTS, and the way there")
                return
            if not self.clients.settings.git_allowed_hosts:
                finding.notes.append("GIT_ALLOWED_HOSTS is not set: no login is sent to hosts that projects name")
                return
            for who in ("default_git", "jenkins_git"):
                await self._read(url, who, finding)

        return Examination(Finding(f"git {name}", address), look, endpoint="GIT_ALLOWED_HOSTS", login="DEFAULT_GIT_*")

    async def _read(self, url: str, who: str, finding: Finding) -> None:
        clients = self.clients
        username, token = clients.text(f"{who}_username")(), clients.text(f"{who}_token")()
        if not token:
            finding.notes.append(f"{who.upper()}_TOKEN is not set")
            return
        finding.identity = f"{finding.identity}, {username}" if finding.identity else username
        try:
            login = GitCredentials(username, token, host_of(url), ours=True)
            found = await clients.git().resolve(url, "HEAD", login)
        except CredentialsError:
            finding.fail(f"{username} may not read {url}", f"check {who.upper()}_USERNAME and {who.upper()}_TOKEN")
            return
        finding.may.append(f"{username} reads {url} at {(found or 'no commit yet')[:12]}")


def by_host(projects: list[dict[str, Any]]) -> dict[str, str]:
    """A repository per Git host, of a project that brings no login of its own."""
    found: dict[str, str] = {}
    for project in projects:
        git = (project.get("spec") or {}).get("git") or {}
        if git.get("url") and not git.get("credentialsRef"):
            found.setdefault(host_of(git["url"]), git["url"])
    return found
