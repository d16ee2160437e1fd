"""Marked secrets everywhere: used, rotated, refused; none shows, and each goes only where it is for."""

from __future__ import annotations

import base64
import html
import json
import logging
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from devops_reconciler.api.errors import CredentialsError
from tests.unit.world import GIT_URL

from .life import Life, run

OWN = (
    "rabbitmq_password",
    "jenkins_token",
    "argocd_token",
    "dockerhub_token",
    "registry_push_token",
    "godaddy_api_key",
    "godaddy_api_secret",
    "default_git_token",
    "jenkins_git_token",
)
BOUND = {"freeleaps.com/git-host": "git.example.com"}
DOCKER = "kubernetes.io/dockerconfigjson"


def forms_of(value: str) -> set[str]:
    """A secret as it may stand in a text: plain, quoted for URLs, JSON and XML, in hexadecimal, and in base64 at
    each of the three places where it may begin in something longer."""
    raw = value.encode()
    forms = {
        value,
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        html.escape(value),
        raw.hex(),
    }
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        core = text[skipped : len(text) - (1 if (before + len(raw)) % 3 else 0)]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return forms


class Planted:
    """A life whose every secret is marked."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.life = Life(**{name: SecretStr(self.new(name)) for name in OWN}, jenkins_username="operator")

    def new(self, what: str) -> str:
        """A new secret; some of its characters look otherwise in URLs, in XML and in base64."""
        number = len(self.secrets)
        self.secrets[f"{what} {number}"] = value = f"plant-{number * 7919:08x}/+=&'<{number}>"
        return value

    def login(self, name: str, **more: Any) -> str:
        """A Secret of the project with a user and a password."""
        password = self.new(name)
        self.life.out.secret(name, {"username": f"user-of-{name}", "password": password}, **more)
        return password

    def shown_in(self, text: str) -> list[str]:
        return sorted(what for what, value in self.secrets.items() if any(form in text for form in forms_of(value)))

    def passes(self, name: str, count: int = 5) -> None:
        for _ in range(count):
            for kind in ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource"):
                if kind == "DevOpsProject" or self.life.status(name, "DevOpsProject"):
                    run(self.life.turn(name, kind))
            self.life.out.clock.advance(timedelta(seconds=5))


def beside(planted: Planted) -> None:
    """Projects whose Secrets must not be used, or are refused by who has them, and one with the operator's accounts."""
    planted.login("unlabelled", labels={})
    planted.login("elsewhere", annotations={"freeleaps.com/git-host": "git.example.org"})
    planted.login("unbound")
    planted.login("wrong", annotations=BOUND)
    planted.life.out.secret("lacking", {"token": planted.new("lacking")})
    planted.login("refused")
    planted.life.out.registry.refused = {
        planted.secrets[name] for name in planted.secrets if name.startswith("refused")
    }
    for name in ("unlabelled", "elsewhere", "unbound", "wrong"):
        host = {"ingress": {"host": f"{name}.example.com"}}
        planted.life.project(name, git={"url": GIT_URL, "credentialsRef": {"name": name}}, **host)
        if name == "wrong":
            error = CredentialsError("git: the server refuses the user 'user-of-wrong'", status=401)
            planted.life.out.line.fail("git.resolve", error, times=100)
        planted.passes(name)
        planted.life.out.line.faults.clear()
    planted.life.project("plain", ingress={"host": "plain.example.com"})
    planted.passes("plain")
    for name in ("lacking", "refused"):
        host = {"ingress": {"host": f"{name}.example.com"}}
        planted.life.project(name, registry={"credentialsRef": {"name": name}}, **host)
        planted.passes(name)


async def lived(planted: Planted) -> None:
    """Set up and deployed, with a preview; then all of the project's Secrets change, and it is deployed again."""
    life = planted.life
    await life.live("first")
    await life.live("preview")
    secrets_of_project(planted)
    for _ in range(5):
        for kind in ("JenkinsSettings", "ArgoSettings"):
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(seconds=5))
    life.record("second")
    await life.live("second")
    await life.expire("preview")


def secrets_of_project(planted: Planted) -> None:
    planted.login("git", annotations=BOUND)
    planted.login("push")
    pull = {"auths": {"registry.test": {"password": planted.new("pull")}}}
    planted.life.out.secret("pull", {".dockerconfigjson": json.dumps(pull)}, type=DOCKER)
    planted.life.out.secret("tls", {"tls.crt": "public", "tls.key": planted.new("tls")}, type="kubernetes.io/tls")


@pytest.fixture
async def planted(caplog: pytest.LogCaptureFixture) -> Planted:
    """After all of it. The log is taken whole, before anything is replaced in it."""
    caplog.set_level(logging.DEBUG)
    planted = Planted()
    secrets_of_project(planted)
    planted.life.project(
        git={"url": GIT_URL, "credentialsRef": {"name": "git"}},
        registry={"credentialsRef": {"name": "push"}, "pullSecretRef": {"name": "pull"}},
        previews={"tlsSecretRef": {"name": "tls"}},
    )
    planted.life.set_up()
    planted.life.record("first")
    planted.life.record("preview", environment="pr-1", ttl="1h")
    await lived(planted)
    beside(planted)
    return planted


async def test_nothing_that_the_operator_says_shows_a_secret(
    planted: Planted, caplog: pytest.LogCaptureFixture
) -> None:
    life = planted.life
    said = {"log": caplog.text, "heartbeats": json.dumps(life.sent), "verdicts": str(life.verdicts)}
    for (kind, namespace, name), obj in life.out.kubernetes.objects.items():
        if kind != "Secret":
            said[f"{kind} {namespace}/{name}"] = json.dumps(obj, default=str)
    assert len(planted.secrets) >= 20
    assert {where: planted.shown_in(text) for where, text in said.items() if planted.shown_in(text)} == {}
    assert "SecretNotFound" in str(said)
    assert "CredentialsInvalid" in str(said)


async def test_each_secret_is_only_where_it_is_for(planted: Planted) -> None:
    out = planted.life.out
    jenkins = [(name, planted.shown_in(each.password)) for (_, name), each in out.jenkins.stored.items()]
    assert {(name, what.split(" ")[0]) for name, found in jenkins for what in found} == {
        ("git", "git"),
        ("git", "jenkins_git_token"),
        ("registry", "push"),
        ("registry", "registry_push_token"),
        ("registry", "refused"),
    }
    argocd = {what.split(" ")[0] for what in planted.shown_in(json.dumps([out.argocd.repos, out.argocd.apps]))}
    assert argocd <= {"git", "default_git_token"}
    copies = [
        (namespace, planted.shown_in(str(obj["data"])))
        for (kind, namespace, _), obj in out.kubernetes.objects.items()
        if kind == "Secret" and namespace != "team-a"
    ]
    assert {(namespace, what.split(" ")[0]) for namespace, found in copies for what in found} == {("shop", "pull")}


def test_the_search_finds_what_is_there() -> None:
    planted = Planted()
    value = planted.new("needle")
    for text in (value, f"x{base64.b64encode(b'ab:' + value.encode()).decode()}", quote(value), value.encode().hex()):
        assert planted.shown_in(f"some {text} more") == [f"needle {len(OWN)}"]
    assert planted.shown_in("nothing") == []
