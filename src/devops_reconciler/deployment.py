"""What a deployment is. Read `steps` from top to bottom: this is the order in which things happen.

revision → build → image → claim → namespace, secrets → application → release → ingress, dns → sync → health → address

The record that holds the environment acts on everything from `namespace` on; these things belong to the environment and
pass to the next record. A record's own are its build and its image tag. For production, ArgoSettings and
IngressResource make application, Ingress and DNS record; for a preview the deployment does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .api.base import EffectivePolicy
from .api.conditions import Reason
from .api.errors import SecretNotFoundError
from .api.names import plain_name
from .engine.ledger import Ledger
from .engine.outcome import Facts
from .engine.pipeline import Step
from .inputs.blocks import ImageRepository, Place, Route, Source
from .inputs.logins import Login
from .inputs.route_resources import claim_of, ingress_of, published_name, record_of, waited
from .resources.address import Address, PublishedName, address_of
from .resources.argo_application import ArgoApplication
from .resources.argo_release import ArgoRelease
from .resources.argo_sync import ArgoHealth, ArgoSync
from .resources.dns_record import DnsRecord
from .resources.environment import EnvironmentClaim
from .resources.git_revision import GitRevision
from .resources.image import IMAGE_TIMEOUT, Image, PinnedImage
from .resources.ingress import IngressRoute
from .resources.jenkins_build import JenkinsBuild
from .resources.namespace import DestinationNamespace, PreviewNamespace
from .resources.secret_copy import SecretCopy
from .resources.world import World
from .runtime.settings import Settings

SECRET_STEP = "secret-"
"""What the names of the steps that copy a Secret begin with."""
COMPONENTS = {"revision": "jenkins", "build": "jenkins", "image": "registry", "ingress": "ingress", "dns": "dns"}
"""The component of a step. All others are of Argo CD."""


@dataclass(frozen=True)
class RollbackTarget:
    """What an earlier record had deployed."""

    record: str
    commit: str
    image: str
    """`<repository>@<digest>`."""
    path: str | None = None
    """The folder of the manifests at that commit, where it is known."""


@dataclass(frozen=True)
class AbsentSecret:
    """A Secret that is to be copied and cannot be had now. What has begun goes on until the step that needs it."""

    name: str
    error: SecretNotFoundError


@dataclass(frozen=True)
class Deployment:
    """One deployment with everything that its steps need, defaults in place and allow-lists applied."""

    record: str
    uid: str
    namespace: str
    project: str
    environment: str
    preview: bool
    revision: str
    git_url: str
    git: Login | None
    folder: str
    parameters: dict[str, str]
    image: ImageRepository
    source: Source
    place: Place
    application: str
    route: Route
    rollback: RollbackTarget | None
    secrets: tuple[SecretCopy | AbsentSecret, ...]
    policies: dict[str, EffectivePolicy] = field(hash=False)
    """By component: jenkins, registry, argo, ingress, dns."""

    @property
    def url(self) -> str:
        return address_of(self.route.host, tls=self.route.tls_secret is not None)

    @property
    def absent(self) -> list[AbsentSecret]:
        """The Secrets that are to be copied and cannot be had now."""
        return [secret for secret in self.secrets if isinstance(secret, AbsentSecret)]

    @property
    def asks_commit(self) -> bool:
        """Whether `.freeleaps.yaml` of the commit says where its manifests are: nobody else does."""
        known = self.rollback is not None and self.rollback.path is not None
        return self.source.pinned and not self.source.path_is_said and not known


def steps(
    it: Deployment,
    tag: Callable[[str], str],
    ledger: Ledger,
    settings: Settings,
    now: datetime,
    inherit: Callable[[], Awaitable[None]],
) -> list[Step[World]]:
    """The steps of one deployment. `tag` names the image of a commit, `inherit` enters into the ledger what the present
    holder knows of the environment.
    """
    make = _Steps(it, tag, ledger, settings, now)
    jenkins, registry, argo = it.policies["jenkins"], it.policies["registry"], it.policies["argo"]
    found = [Step("revision", make.revision, jenkins, deadline=settings.build_timeout)]
    built = it.rollback is None
    if built:
        found.append(
            Step("build", make.build, jenkins, deadline=settings.build_timeout, overdue=Reason.BUILD_TIMEOUT, rank=2)
        )
    found.append(
        Step(
            "image",
            make.image if built else make.pinned_image,
            registry,
            deadline=IMAGE_TIMEOUT,
            overdue=Reason.IMAGE_NOT_FOUND,
            # A build that went well is not to be repeated for a registry that is away for some minutes.
            outage=settings.build_timeout,
            # Removed after the build: first that is stopped, then the tag goes that it may have pushed.
            rank=1,
            announce=built,
        )
    )
    found += [
        replace(step, shared=True, deadline=settings.sync_timeout, overdue=Reason.DEPENDENCY_NOT_READY)
        for step in _environment(it, make, inherit)
    ]
    found += [
        Step("sync", make.sync, argo, deadline=settings.sync_timeout, overdue=Reason.SYNC_FAILED),
        Step("health", make.health, argo, deadline=settings.sync_timeout, overdue=Reason.HEALTH_TIMEOUT),
        Step("published", make.published, argo, deadline=settings.dns_timeout, overdue=Reason.NOT_REACHABLE),
        Step("address", make.address, argo, deadline=settings.reachable_timeout, overdue=Reason.NOT_REACHABLE),
    ]
    return found


def component_of(step: str) -> str:
    """Whose policies count for a step."""
    return COMPONENTS.get(step, "argo")


def _environment(it: Deployment, make: _Steps, inherit: Callable[[], Awaitable[None]]) -> list[Step[World]]:
    """What belongs to the environment. Of a higher rank is removed first: the DNS record before what it points to."""
    argo = it.policies["argo"]
    found = [Step("claim", make.claim, argo, rank=3, before=inherit)]
    if it.place.local:
        found.append(Step("namespace", make.namespace, argo, rank=10))
        found += [Step(f"{SECRET_STEP}{s.name}", _copy(s), argo, rank=11) for s in it.secrets]
    if it.preview:
        found.append(Step("application", make.app, argo, rank=20))
    found.append(Step("release", make.release, argo, rank=21))
    if it.preview:
        found.append(Step("ingress", make.ingress, it.policies["ingress"], rank=30))
        found.append(Step("dns", make.dns, it.policies["dns"], gate=False, rank=40))
    return found


def _copy(secret: SecretCopy | AbsentSecret) -> Callable[[Facts], SecretCopy]:
    def resource(facts: Facts) -> SecretCopy:
        if isinstance(secret, AbsentSecret):
            raise secret.error
        return secret

    return resource


class _Steps:
    """The functions from the facts of earlier steps to the resource of each step.

    Commit, build and image are the record's own. What they were asked with stays as it was when they began, in the
    ledger: with what the project says since, the record would begin anew, with a second build.
    """

    def __init__(
        self, it: Deployment, tag: Callable[[str], str], ledger: Ledger, settings: Settings, now: datetime
    ) -> None:
        self._it = it
        self._tag = tag
        self._ledger = ledger
        self._settings = settings
        self._now = now

    def revision(self, facts: Facts) -> GitRevision:
        it, known = self._it, self._ledger.begun("revision")
        if known is not None:
            return GitRevision.recall(known.value)  # without a login: nobody asks again
        return GitRevision(
            url=it.git_url,
            revision=it.rollback.commit if it.rollback else it.revision,
            username=it.git.username if it.git else "",
            password=it.git.password if it.git else "",
            ours=it.git is not None and it.git.ours,
            finds_path=it.asks_commit,
        )

    def build(self, facts: Facts) -> JenkinsBuild:
        begun = self._ledger.begun("build")
        if begun is not None:
            return JenkinsBuild.recall(begun.value)
        it, commit = self._it, str(facts["revision"]["commit"])
        return JenkinsBuild(
            folder=it.folder,
            name=it.project,
            uid=it.uid,
            commit=commit,
            image_repository=it.image.form,
            image_tag=self._tag(commit),
            parameters=it.parameters,
        )

    def image(self, facts: Facts) -> Image:
        pushed_by = self.build(facts)
        namespace, _, repository = plain_name(pushed_by.image_repository).partition("/")
        return Image(
            namespace=namespace,
            repository=repository,
            tag=pushed_by.image_tag,
            form=pushed_by.image_repository,
        )

    def pinned_image(self, facts: Facts) -> PinnedImage:
        facts["revision"]
        known = self._ledger.current("image")
        if known is not None:
            return PinnedImage.recall(known.value)  # of the same record as the commit, also where that one is gone
        assert self._it.rollback is not None
        form, _, digest = self._it.rollback.image.partition("@")
        return PinnedImage(form=form, image_digest=digest)

    def claim(self, facts: Facts) -> EnvironmentClaim:
        it = self._it
        return EnvironmentClaim(
            namespace=it.namespace,
            project=it.project,
            environment=it.environment,
            record=it.record,
            commit=str(facts["revision"]["commit"]),
            image=str(facts["image"]["image"]).partition("@")[0],
            image_digest=str(facts["image"]["digest"]),
            **self._manifests(facts),
            url=it.url,
        )

    def _manifests(self, facts: Facts) -> dict[str, str]:
        """Where those of the commit are; nothing where they come from another repository.

        The folder is as this deployment has set it, which is not the one before it. Else it is that of the record to
        go back to, of the spec, or of the commit.
        """
        source, rollback, entry = self._it.source, self._it.rollback, self._ledger.current("release")
        if not source.pinned:
            return {}
        known = entry.value.get("path") if entry is not None and (entry.attempts or entry.digest) else None
        path = known or (rollback.path if rollback else None)
        if path is None and not source.path_is_said:
            path = facts["revision"].get("path")  # None: found by an older operator, or when none was needed
        return {"repo_url": self.revision(facts).url, "path": str(path or source.path)}

    def namespace(self, facts: Facts) -> DestinationNamespace:
        it = self._it
        kind = PreviewNamespace if it.preview else DestinationNamespace
        return kind(name=it.place.namespace, project=it.project, environment=it.environment)

    def app(self, facts: Facts) -> ArgoApplication:
        it = self._it
        return ArgoApplication(
            name=it.application,
            project=it.source.project,
            devops_project=it.project,
            environment=it.environment,
            repo_url=it.source.repo_url,
            path=it.source.path,
            target_revision=it.source.target_revision,
            server=it.place.server,
            namespace=it.place.namespace,
            pin=self.release(facts),
            released=it.source.pinned,
        )

    def release(self, facts: Facts) -> ArgoRelease:
        it, image = self._it, str(facts["image"]["image"])
        return ArgoRelease(
            name=it.application,
            project=it.source.project,
            kind=it.source.kind,
            image=image,
            image_name=it.source.name_of(image),
            image_parameter=it.source.image_parameter,
            digest_parameter=it.source.digest_parameter,
            target_revision=str(facts["revision"]["commit"]) if it.source.pinned else None,
            **self._manifests(facts),
            auto_sync=it.source.auto_sync,
        )

    def ingress(self, facts: Facts) -> IngressRoute:
        it = self._it
        claim = claim_of(it.route, self._ledger, it.policies["dns"])
        return ingress_of(it.route, it.place.namespace, it.project, it.application, claim)

    def dns(self, facts: Facts) -> DnsRecord:
        return record_of(self._it.route, self._ledger)

    def sync(self, facts: Facts) -> ArgoSync:
        facts["release"]
        return ArgoSync(name=self._it.application, project=self._it.source.project, uid=self._it.uid)

    def health(self, facts: Facts) -> ArgoHealth:
        it, entry, sync = self._it, self._ledger.current("health"), self._ledger.current("sync")
        seen = entry.facts if entry is not None else {}
        decided_here = it.source.kind.value != "Directory"
        return ArgoHealth(
            name=it.application,
            project=it.source.project,
            image_digest=str(facts["image"]["digest"]) if decided_here else None,
            synced_at=datetime.fromisoformat(str(facts["sync"]["finished_at"])),
            sync_seen_at=sync.finished_at if sync is not None else None,
            since=seen.get("since"),
            unused_since=seen.get("unused_since"),
            stable_for=self._settings.healthy_stable_for,
        )

    def published(self, facts: Facts) -> PublishedName:
        if self._it.preview:
            facts["dns"]
        facts["health"]
        return published_name(self._it.route, waited(self._ledger, "published", self._now))

    def address(self, facts: Facts) -> Address:
        route = self._it.route
        facts["published"]
        return Address(
            host=route.host,
            target=route.target,
            path=route.probe_path,
            tls=route.tls_secret is not None,
            waited=waited(self._ledger, "address", self._now),
        )


def application_facts(facts: Facts) -> dict[str, Any]:
    """What of the facts belongs into the status of the record."""
    revision, build = facts.get("revision"), facts.get("build")
    image, address = facts.get("image"), facts.get("address")
    found: dict[str, Any] = {}
    if revision:
        found["commit"] = revision["commit"]
    if build:
        found["build"] = {"number": build["number"], "url": build["url"]}
    if image:
        found["image"] = image["image"]
    if address:
        found["url"] = address["url"]
    return found
