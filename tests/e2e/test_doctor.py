"""`devops-reconciler doctor` on the stage: all well, a service down, a login refused, a right missing."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from standins.argocd_accounts import restricted
from testbed.processes import free_port
from testbed.stage import ZONE
from testbed.stage_operator import REPOSITORY, clean_environment

from .play import DEADLINE, Play
from .test_audit import LOGINS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Report:
    """What `doctor --json` has said."""

    code: int
    findings: dict[str, dict[str, Any]]

    @property
    def bad(self) -> list[str]:
        return [name for name, finding in self.findings.items() if not finding["ok"]]

    def said(self, service: str, what: str) -> str:
        return "; ".join(self.findings[service][what])


async def run(play: Play, *arguments: str, **overrides: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devops_reconciler", "doctor", *arguments),
        env=clean_environment(play.operator.environment | overrides),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), DEADLINE.total_seconds() * 2)
    assert process.returncode in (0, 1), errors.decode()
    return process.returncode, out.decode()


async def examined(play: Play, **overrides: str) -> Report:
    code, out = await run(play, "--json", **overrides)
    value = json.loads(out)
    findings = {finding["service"]: finding for finding in value["findings"]}
    assert value["ok"] == (code == 0) == all(finding["ok"] for finding in findings.values())
    return Report(code, findings)


def written(play: Play) -> list[str]:
    """What `doctor` has changed at the services: logins change nothing."""
    stage = play.stage
    calls = [
        call for standin in (stage.jenkins, stage.argocd, stage.hub, stage.godaddy) for call in standin.controls.writes
    ]
    ours = [call for call in calls if call.headers.get("user-agent") == "devops-reconciler/doctor"]
    return [f"{call.method} {call.path}" for call in ours if call.path not in LOGINS]


async def test_all_is_well_and_each_service_tells_who_we_are_and_what_we_may_do(play: Play) -> None:
    await play.set_up()
    report = await examined(play)

    assert (report.code, report.bad) == (0, []), report.findings
    git = f"git {play.stage.git.address}"
    http = {"jenkins", "dockerhub", "registry", "argocd", "godaddy", git}
    others = {"configuration", "kubernetes", "rabbitmq", "registry push", f"dns {ZONE}"}
    assert set(report.findings) == http | others
    for service in (*http - {git}, "kubernetes"):
        assert report.findings[service]["clock_difference_seconds"] in (-2, -1, 0, 1, 2), report.findings[service]
    assert report.findings["jenkins"]["version"] == "2.579"
    assert report.findings["rabbitmq"]["version"].startswith("RabbitMQ")
    assert report.findings["kubernetes"]["version"].startswith("v1.")
    identities = {service: report.findings[service]["identity"] for service in ("jenkins", "argocd", "registry push")}
    assert identities == {"jenkins": "operator", "argocd": "admin", "registry push": "acmepush"}
    assert report.findings["jenkins"]["may"] == ["create folders", "create pipelines"]
    assert "jenkins-ro reads" in report.said(git, "may")
    assert "1 consumers" in report.said("rabbitmq", "notes")
    assert written(play) == []


async def test_for_people_it_is_one_line_each(play: Play) -> None:
    code, out = await run(play)
    lines = out.splitlines()
    assert code == 0, out
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert any("jenkins" in line and "as operator" in line for line in lines)


async def test_a_service_that_is_down_fails_alone(play: Play) -> None:
    report = await examined(play, JENKINS_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert (report.code, report.bad) == (1, ["jenkins"])
    assert "check JENKINS_ENDPOINT" in report.said("jenkins", "todo")


async def test_a_cluster_that_is_down_hides_nothing_else(play: Play) -> None:
    report = await examined(play, KUBECONFIG="/nowhere")
    assert (report.code, report.bad) == (1, ["kubernetes"])
    assert report.findings["jenkins"]["identity"] == "operator"


@pytest.mark.parametrize(
    ("variable", "services", "advice"),
    [
        ("JENKINS_TOKEN", {"jenkins"}, "check JENKINS_USERNAME and JENKINS_TOKEN"),
        ("ARGOCD_TOKEN", {"argocd"}, "check ARGOCD_TOKEN"),
        ("DOCKERHUB_TOKEN", {"dockerhub", "registry"}, "check DOCKERHUB_USERNAME and DOCKERHUB_TOKEN"),
        ("REGISTRY_PUSH_TOKEN", {"registry push"}, "check REGISTRY_PUSH_USERNAME and REGISTRY_PUSH_TOKEN"),
        ("GODADDY_API_SECRET", {"godaddy"}, "check GODADDY_API_KEY"),
        ("RABBITMQ_PASSWORD", {"rabbitmq"}, "check RABBITMQ_USERNAME and RABBITMQ_PASSWORD"),
    ],
)
async def test_a_wrong_credential_fails_where_it_is_used_and_is_never_shown(
    play: Play, variable: str, services: set[str], advice: str
) -> None:
    code, out = await run(play, "--json", **{variable: "wrong-hunter2"})
    report = Report(code, {finding["service"]: finding for finding in json.loads(out)["findings"]})
    assert (report.code, set(report.bad)) == (1, services), report.findings
    for service in services:
        assert advice in report.said(service, "todo")
    assert "hunter2" not in out


async def test_what_the_account_may_not_do_is_named(play: Play) -> None:
    user = play.stage.jenkins.users["operator"]
    user.denied.add("hudson.model.Item.Create")
    try:
        report = await examined(play)
    finally:
        user.denied.clear()
    assert report.bad == ["jenkins"]
    assert "may not create folders" in report.said("jenkins", "problems")


async def test_rights_that_are_missing_at_argocd_are_named(play: Play) -> None:
    play.stage.argocd.accounts.accounts["reader"] = restricted("reader")
    report = await examined(play, ARGOCD_TOKEN=play.stage.argocd.api_token("reader"))
    assert report.bad == ["argocd"]
    assert "create applications" in report.said("argocd", "problems")


async def test_a_zone_of_another_account_is_named(play: Play) -> None:
    report = await examined(play, DNS_ALLOWED_ZONES=f"{ZONE},example.org")
    assert "godaddy" in report.bad
    assert "zone example.org is not in this account" in report.said("godaddy", "problems")
