"""Marked secrets everywhere: none shows in anything that the operator says, none goes where it is not for.

And they rotate: the services refuse the old ones at once, and nothing is restarted.
"""

from __future__ import annotations

import base64
import html
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import pytest_asyncio

from standins.jenkins_auth import User
from standins.registry_accounts import Account, Secret
from testbed.git_server import Credentials
from testbed.kube_api import Object
from testbed.sample import SampleProject
from testbed.stage import HUB, PUSHER, ZONE, Stage
from testbed.stage_cluster import KINDS, condition
from testbed.stage_operator import Operator
from testbed.triggers import initialize, reconcile
from testbed.waiting import eventually

from .play import DEADLINE, Play
from .test_commands import outputs

pytestmark = pytest.mark.asyncio(loop_scope="session")

LABEL = {"freeleaps.com/project-credential": "true"}
OF_CLUSTER = ("events", "configmaps", "serviceaccounts", "namespaces")


def forms_of(value: str) -> set[str]:
    """A secret as it may stand in a text: plain, quoted for URLs, JSON and XML, in hexadecimal, and in base64 at each
    of the three places where it may begin."""
    raw = value.encode()
    forms = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], raw.hex()}
    forms |= {html.escape(value), html.escape(value, quote=False)}
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        core = text[skipped : len(text) - (1 if (before + len(raw)) % 3 else 0)]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return forms


@dataclass
class Planted:
    """A lane of its own, whose every secret is marked. `secrets` are all that were ever planted, by what they are."""

    stage: Stage
    files: Path
    secrets: dict[str, str] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    @property
    def operator(self) -> Operator:
        return self.operators[0]

    def new(self, what: str) -> str:
        """A new secret: some of its characters look otherwise in URLs, in XML and in base64."""
        value = f"plant-{secrets.token_hex(8)}/+=&'{len(self.secrets)}"
        self.secrets[f"{what} {len(self.secrets)}"] = value
        return value

    def put(self, **values: str) -> None:
        """The operator's own secrets, as a mounted directory has them."""
        for name, value in values.items():
            new = self.files / f".{name}"
            new.write_text(value + "\n")
            new.replace(self.files / name)

    def own(self) -> None:
        """New secrets of the operator, at the services and for the operator; the old ones are refused from now on."""
        stage, jenkins = self.stage, self.stage.jenkins
        token, key, secret = self.new("JENKINS_TOKEN"), self.new("GODADDY_API_KEY"), self.new("GODADDY_API_SECRET")
        hub, push = self.new("DOCKERHUB_TOKEN"), self.new("REGISTRY_PUSH_TOKEN")
        argocd = stage.argocd.api_token("admin")
        self.secrets[f"ARGOCD_TOKEN {len(self.secrets)}"] = argocd
        jenkins.users[jenkins.username] = User(jenkins.username, token)
        stage.godaddy.credentials = (key, secret)
        accounts = stage.hub.accounts.by_name
        accounts[HUB.name] = Account(HUB.name, [Secret(hub)])
        accounts[PUSHER.name] = Account(PUSHER.name, [Secret(push, scope="write")], PUSHER.namespaces)
        self.put(JENKINS_TOKEN=token, GODADDY_API_KEY=key, GODADDY_API_SECRET=secret, ARGOCD_TOKEN=argocd)
        self.put(DOCKERHUB_TOKEN=hub, REGISTRY_PUSH_TOKEN=push)

    async def secret(self, name: str, data: dict[str, str], *, type: str = "Opaque", **metadata: Any) -> None:
        """A Secret in the operator's namespace."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        whole = {"name": name, "namespace": self.stage.namespace, "labels": LABEL, **metadata}
        kind = {"apiVersion": "v1", "kind": "Secret", "type": type}
        await self.stage.kube.apply([{**kind, "metadata": whole, "data": encoded}])

    async def git_secret(self, name: str, sample: SampleProject, **metadata: Any) -> str:
        """A login for a repository, which opens to it alone."""
        password = self.new(f"git of {name}")
        sample.repository.credentials = Credentials(f"user-of-{name}", password)
        bound = {"annotations": {"freeleaps.com/git-host": self.stage.git.address}}
        await self.secret(name, {"username": f"user-of-{name}", "password": password}, **{**bound, **metadata})
        return password

    async def project(self, name: str, **spec: Any) -> SampleProject:
        """A project by message."""
        sample = await self.stage.sample(name)
        spec = {"ingress": {"host": f"{name}.{ZONE}"}, **spec}
        spec["git"] = {"url": sample.url, **spec.get("git", {})}
        await self.stage.publish(initialize(name, spec))
        return sample

    async def is_(self, kind: str, name: str, plural: str = "devopsprojects") -> Object:
        return await self.stage.kube.wait_condition(plural, self.stage.namespace, name, kind, deadline=DEADLINE)

    async def deploy(self, name: str) -> None:
        message = reconcile(name, "deploy")
        await self.stage.publish(message)
        last = await self.stage.heartbeats.terminal(name, event=message["event_id"], deadline=DEADLINE)
        assert last.payload["result"] == "Succeeded", str(last)

    def shown_in(self, text: str) -> list[str]:
        """Which secrets stand in the text in some form."""
        return sorted(what for what, value in self.secrets.items() if any(form in text for form in forms_of(value)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def planted(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Planted]:
    """An operator that logs all that it can, with its secrets in files."""
    async with Stage(ground=stage.ground, lane="planted") as lane:
        found = Planted(lane, tmp_path_factory.mktemp("secrets"))
        found.own()
        plain = lane.environment(RECONCILER_DEBUG="true", RECONCILER_SECRETS_DIR=str(found.files))
        for name in ("RABBITMQ_PASSWORD", "DEFAULT_GIT_TOKEN", "JENKINS_GIT_TOKEN"):
            found.secrets[name] = plain[name]
        environment = {name: value for name, value in plain.items() if not (found.files / name).exists()}
        operator = Operator(environment, lane.folder / "operator-planted.log")
        lane.operators.append(operator)
        found.operators.append(operator)
        await operator.start()
        await operator.wait_ready()
        yield found


async def _good(planted: Planted) -> None:
    """Two projects that work: one with Secrets of its own for everything, one with the operator's accounts."""
    sample = await planted.stage.sample("good")
    await planted.git_secret("good-git", sample)
    await planted.secret("good-push", {"username": PUSHER.name, "password": _push(planted)})
    pull = {"auths": {"x": {"auth": planted.new("pull")}}}
    await planted.secret("good-pull", {".dockerconfigjson": json.dumps(pull)}, type="kubernetes.io/dockerconfigjson")
    registry = {"credentialsRef": {"name": "good-push"}, "pullSecretRef": {"name": "good-pull"}}
    await planted.project("good", git={"credentialsRef": {"name": "good-git"}}, registry=registry)
    await planted.project("plain")
    for name in ("good", "plain"):
        await planted.is_("Ready", name)
        await planted.deploy(name)


def _push(planted: Planted) -> str:
    return planted.stage.hub.accounts.by_name[PUSHER.name].secrets[0].value


async def _bad(planted: Planted) -> None:
    """Projects whose Secrets must not be used, are wrong, or are quoted by a service that refuses them."""
    for name, metadata in (
        ("unlabelled", {"labels": {}}),
        ("elsewhere", {"annotations": {"freeleaps.com/git-host": "git.example.com"}}),
        ("unbound", {"annotations": {}}),
    ):
        await planted.git_secret(f"{name}-git", await planted.stage.sample(name), **metadata)
        await planted.project(name, git={"credentialsRef": {"name": f"{name}-git"}})
    sample = await planted.stage.sample("wrong")
    await planted.git_secret("wrong-git", sample)
    sample.repository.credentials = Credentials("somebody", planted.new("another"))
    await planted.project("wrong", git={"credentialsRef": {"name": "wrong-git"}})
    await planted.secret("lacking", {"token": planted.new("lacking")})
    await planted.project("lacking", registry={"credentialsRef": {"name": "lacking"}})
    quoted = planted.new("quoted")
    await planted.secret("quoted", {"username": "ann", "password": quoted})
    said = f"cannot store ann {quoted} {quote(quoted, safe='')} {base64.b64encode(f'ann:{quoted}'.encode()).decode()}"
    planted.stage.jenkins.controls.fault("POST", r"/job/quoted/.*createCredentials", 400, times=1000, body=said)
    await planted.project("quoted", registry={"credentialsRef": {"name": "quoted"}})
    for name in ("unlabelled", "elsewhere", "unbound", "wrong", "lacking", "quoted"):
        await planted.is_("Stalled", name)
    for _ in range(8):  # Secrets beside them, that nobody names
        await planted.secret(f"beside-{secrets.token_hex(3)}", {"password": planted.new("beside")}, labels={})


async def _said(planted: Planted, play: Play) -> dict[str, str]:
    """All that the operator has said, by where."""
    stage, kube = planted.stage, planted.stage.kube
    found = {"log": (stage.folder / "operator-planted.log").read_text(), "audit": stage.audit_file.read_text()}
    for plural in KINDS:
        found[plural] = json.dumps(await kube.every(plural, stage.namespace))
    for plural in OF_CLUSTER:
        found[plural] = json.dumps(await kube.get(f"/api/v1/{plural}"))
    found["ingresses"] = json.dumps(await kube.get("/apis/networking.k8s.io/v1/ingresses"))
    found["heartbeats"] = "\n".join(beat.body.decode() for beat in stage.heartbeats.all)
    for path in ("/metrics", "/health", "/readyz", "/healthz"):
        found[path] = (await planted.operator.answer(path))[1]
    at_lane = Play(stage, planted.operator, play.project)
    for words in (("config", "show"), ("doctor",)):
        found[" ".join(words)] = "\n".join(await outputs(at_lane, *words, code=(0, 1)))
    return found


async def test_no_planted_secret_shows_in_anything_that_the_operator_says(planted: Planted, play: Play) -> None:
    await _good(planted)
    await _bad(planted)

    said = await _said(planted, play)

    assert len(planted.secrets) >= 25
    assert {where: planted.shown_in(text) for where, text in said.items() if planted.shown_in(text)} == {}
    assert all(said.values()), [where for where, text in said.items() if not text]
    assert "cannot store ann ****" in said["jenkinssettings"]
    assert planted.shown_in(f"a line with {base64.b64encode(f'ann:{_push(planted)}'.encode()).decode()}")


MAY_HAVE = {
    "jenkins": ("JENKINS_TOKEN", "JENKINS_GIT_TOKEN", "REGISTRY_PUSH_TOKEN", "git of good", "quoted"),
    "argocd": ("ARGOCD_TOKEN", "DEFAULT_GIT_TOKEN", "git of good", "git of wrong"),
    "dockerhub": ("DOCKERHUB_TOKEN",),
    "registry": ("DOCKERHUB_TOKEN", "REGISTRY_PUSH_TOKEN", "quoted"),
    "godaddy": ("GODADDY_API_KEY", "GODADDY_API_SECRET"),
}


def _asked(planted: Planted) -> Iterator[tuple[str, str]]:
    """All that each service was sent."""
    stage = planted.stage
    for name, standin in (
        ("jenkins", stage.jenkins),
        ("argocd", stage.argocd),
        ("dockerhub", stage.hub),
        ("registry", stage.hub.registry),
        ("godaddy", stage.godaddy),
    ):
        for call in standin.controls.seen():
            login = call.headers.get("authorization", "").partition(" ")[2]
            yield name, f"{call.path}?{call.query} {call.body} {json.dumps(dict(call.headers))} {login}"


async def test_each_credential_goes_to_its_own_service_only(planted: Planted) -> None:
    wrong = {
        (name, what)
        for name, text in _asked(planted)
        for what in planted.shown_in(text)
        if not what.startswith(MAY_HAVE[name])
    }
    assert wrong == set()
    sent = {(name, what.rpartition(" ")[0]) for name, text in _asked(planted) for what in planted.shown_in(text)}
    assert {("jenkins", "REGISTRY_PUSH_TOKEN"), ("argocd", "git of good-git"), ("godaddy", "GODADDY_API_KEY")} <= sent


async def test_all_credentials_rotate_without_a_restart(planted: Planted, play: Play) -> None:
    before, stage = planted.operator.pid, planted.stage
    sample = await stage.sample("good")

    planted.own()
    password = await planted.git_secret("good-git", sample)
    await planted.secret("good-push", {"username": PUSHER.name, "password": _push(planted)})

    async def handed_on() -> bool:
        folder = stage.jenkins.root.children["good"]
        held = [each.config.findtext("password") for each in folder.credentials.values()]
        known = [each.spec.get("password") for each in stage.argocd.state.repositories.values()]
        return {password, _push(planted)} <= set(held) and password in known

    await eventually(handed_on, "Jenkins and Argo CD have the new credentials", DEADLINE)
    for name in ("good", "plain"):
        await planted.deploy(name)
        assert condition(await planted.is_("Ready", name), "Stalled") is None
    assert planted.operator.pid == before
    said = await _said(planted, play)
    assert {where: planted.shown_in(text) for where, text in said.items() if planted.shown_in(text)} == {}
