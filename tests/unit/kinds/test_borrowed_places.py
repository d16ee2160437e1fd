"""A deployment uses the Argo CD project and the Jenkins job of its own project, whatever the spec names meanwhile.

ArgoSettings and JenkinsSettings refuse what is not theirs; but they may be paused, and are behind for a moment after
each change. Whoever may write a project may do both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.kinds import KINDS
from devops_reconciler.resources.marks import ANNOTATION
from devops_reconciler.services.jenkins_xml import Parameter, PipelineJob, pipeline_xml
from tests.unit.world import ME, OTHER, TEAM

from .life import Life
from .test_policies import change, looked_at, ready

DEFAULT = {
    "metadata": {"name": "default"},
    "spec": {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    },
}
"""Argo CD's own project, in which everything is allowed."""
JOB = ("platform", "shop")


def pause(life: Life, kind: str) -> None:
    patch = {"metadata": {"annotations": {"freeleaps.com/paused": "true"}}}
    life.out.kubernetes.change(KINDS[kind].kind, TEAM, "shop", patch)


def with_default(mark: str | None = None) -> Life:
    life = ready()
    annotations = {} if mark is None else {ANNOTATION: mark}
    life.out.argocd.app_projects["default"] = {**DEFAULT, "metadata": {"name": "default", "annotations": annotations}}
    return life


def projects(life: Life) -> dict[str, str]:
    """The Argo CD project of each application."""
    return {name: app["spec"]["project"] for name, app in life.out.argocd.apps.items()}


def told(life: Life, name: str) -> str:
    found = life.condition(name, "Finished")
    assert found is not None
    return str(found["message"])


# The Argo CD project


@pytest.mark.parametrize("mark", [None, OTHER])
async def test_a_paused_child_lends_no_other_argo_cd_project(mark: str | None) -> None:
    life = with_default(mark)
    pause(life, "ArgoSettings")
    change(life, argo={"project": "default"})
    await looked_at(life)
    assert life.reason("shop", "ArgoReady", "DevOpsProject") == "True/Succeeded", "what was Ready stays so"
    life.record("one", environment="pr-7")
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    assert "Argo CD project default" in told(life, "one")
    assert projects(life) == {"shop": "shop"}
    assert life.out.argocd.syncs == []


async def test_a_child_that_is_behind_lends_no_other_argo_cd_project() -> None:
    life = with_default()
    life.record("one", environment="pr-7")
    change(life, argo={"project": "default"})
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    assert projects(life) == {"shop": "shop"}


async def test_a_change_during_the_build_lends_no_other_argo_cd_project() -> None:
    life = with_default()
    life.out.jenkins.build_time = timedelta(minutes=5)
    life.record("one", environment="pr-7")
    for _ in range(4):
        verdict = await life.turn("one")
        life.out.clock.advance(verdict.after or timedelta(0))
    assert [build.number for build in life.out.jenkins.running()] == [1]
    change(life, argo={"project": "default"})
    await looked_at(life, times=1, minutes=0.1)
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    assert projects(life) == {"shop": "shop"}


async def test_a_preview_that_runs_is_not_moved_into_it() -> None:
    life = with_default()
    life.record("one", environment="pr-7")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    pause(life, "ArgoSettings")
    change(life, argo={"project": "default"})
    await looked_at(life)
    life.record("two", environment="pr-7")
    await life.live("two")
    assert life.reason("two") == "True/OwnershipConflict"
    assert projects(life) == {"shop": "shop", "shop-pr-7": "shop"}


@pytest.mark.parametrize("environment", ["production", "pr-7"])
async def test_what_is_in_it_already_gets_no_new_release(environment: str) -> None:
    """An earlier version has put it there, or somebody has moved it."""
    life = with_default()
    life.record("one", environment=environment)
    await life.live("one")
    app = life.out.argocd.apps["shop" if environment == "production" else "shop-pr-7"]
    app["spec"]["project"] = "default"
    pause(life, "ArgoSettings")
    change(life, argo={"project": "default"})
    await looked_at(life)
    before = dict(app["spec"]["source"])
    life.record("two", environment=environment, revision="main")
    await life.live("two")
    assert life.reason("two") == "True/OwnershipConflict"
    assert app["spec"]["source"] == before
    assert life.out.argocd.syncs == ["uid-of-one"]


async def test_one_that_argo_settings_has_taken_over_serves_previews_also_while_it_is_paused() -> None:
    life = ready()
    there = {"metadata": {"name": "theirs"}, "spec": {"sourceRepos": ["*"], "destinations": []}}
    life.out.argocd.app_projects["theirs"] = there
    change(life, argo={"project": "theirs"}, adoption="IfUnowned")
    await looked_at(life)
    assert life.out.argocd.app_projects["theirs"]["metadata"]["annotations"] == {ANNOTATION: ME}
    pause(life, "ArgoSettings")
    await looked_at(life)
    life.record("one", environment="pr-7")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert projects(life) == {"shop": "theirs", "shop-pr-7": "theirs"}


@pytest.mark.parametrize("management", [["Observe"], ["Observe", "Create", "Delete"]])
@pytest.mark.parametrize("mark", [None, OTHER])
async def test_argo_settings_accepts_no_other_one_either_whatever_it_may_do(
    management: list[str], mark: str | None
) -> None:
    life = with_default(mark)
    change(life, argo={"project": "default"}, components={"argo": {"managementPolicies": management}})
    await looked_at(life)
    assert life.reason("shop", "ArgoReady", "DevOpsProject") == "False/OwnershipConflict"


# The job


def platform_job(life: Life, description: str) -> bytes:
    """A job of others that happens to have the name of the project."""
    xml = pipeline_xml(
        PipelineJob(
            description=description,
            git_url="https://git.example.com/platform.git",
            credentials_id="platform",
            script_path="Jenkinsfile",
            parameters=(Parameter("CLUSTER", "staging"),),
        )
    )
    life.out.jenkins.folders[JOB[:1]] = "Platform"
    life.out.jenkins.configs[JOB] = xml
    return xml


FOREIGN: tuple[tuple[str, str], ...] = (("nobody's mark", "Roll-out"), ("another owner's mark", f"Roll-out ({OTHER})"))


@pytest.mark.parametrize(("whose", "description"), FOREIGN)
@pytest.mark.parametrize("paused", [True, False])
async def test_a_job_of_others_is_neither_changed_nor_started(whose: str, description: str, paused: bool) -> None:
    life = ready()
    job = platform_job(life, description)
    jenkins: dict[str, Any] = {"folder": "platform", "parameters": {"CLUSTER": "production"}}
    if paused:
        pause(life, "JenkinsSettings")
    change(life, jenkins=jenkins)
    if paused:
        await looked_at(life)
    life.record("one", environment="pr-7")
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    assert "job platform/shop" in told(life, "one")
    assert whose in told(life, "one")
    assert life.out.jenkins.configs[JOB] == job
    assert life.out.jenkins.triggers == []


async def test_our_own_job_builds_also_while_its_child_is_paused() -> None:
    life = ready()
    pause(life, "JenkinsSettings")
    await looked_at(life)
    life.record("one", environment="pr-7")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"


# What the project says of its children


@pytest.mark.parametrize("passes", [1, 2], ids=["when it is told", "when it has been told"])
async def test_a_child_that_is_behind_its_spec_counts_as_not_ready_until_it_has_seen_it(passes: int) -> None:
    life = ready()
    life.out.clock.advance(timedelta(minutes=1))
    change(life, argo={"autoSync": True})
    for _ in range(passes):
        await life.turn("shop", "DevOpsProject")
    assert life.reason("shop", "ArgoReady", "DevOpsProject") == "Unknown/Progressing"
    assert life.reason("shop", "JenkinsReady", "DevOpsProject") == "True/Succeeded"
    life.record("one", environment="pr-7")
    await life.turn("one")
    await life.turn("one")
    assert life.reason("one", "Ready") == "Unknown/DependencyNotReady"
    assert life.out.jenkins.triggers == []
    await looked_at(life)
    assert life.reason("shop", "ArgoReady", "DevOpsProject") == "True/Succeeded"
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"


async def test_to_ask_for_a_look_makes_no_child_count_as_not_ready() -> None:
    life = ready()
    life.out.clock.advance(timedelta(minutes=1))
    patch = {"metadata": {"annotations": {"freeleaps.com/requestedAt": "2026-01-01T00:00:00Z"}}}
    life.out.kubernetes.change(KINDS["DevOpsProject"].kind, TEAM, "shop", patch)
    for _ in range(2):
        await life.turn("shop", "DevOpsProject")
        assert life.reason("shop", "ArgoReady", "DevOpsProject") == "True/Succeeded"
