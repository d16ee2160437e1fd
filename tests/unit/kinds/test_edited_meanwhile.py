"""The project is edited while a deployment is under way: what has begun goes on as it began."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.resources.jenkins_job import JenkinsJobRemoval
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from tests.unit.world import GIT_URL, TEAM

from .life import COMMIT, Life
from .test_running_images import DELETE, KINDS, polls

SECOND = timedelta(seconds=1)
OTHER_URL = "https://git.example.com/other.git"
EDITS: list[dict[str, Any]] = [
    {"git": {"branch": "develop"}},
    {"git": {"url": OTHER_URL}},
    {"jenkins": {"folder": "team"}},
    {"jenkins": {"parameters": {"COLOUR": "blue"}}},
    {"registry": {"repository": "shop2"}},
]


def ready(build_timeout: timedelta = timedelta(hours=1), **spec: Any) -> Life:
    life = Life(build_timeout=build_timeout)
    life.project(**spec)
    life.set_up()
    life.out.git.commit(GIT_URL, "develop", "d" * 40)
    life.out.git.commit(OTHER_URL, "main", "e" * 40)
    return life


def edit(life: Life, spec: dict[str, Any]) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


async def until(life: Life, step: str, name: str = "one") -> None:
    """Passes until the record has this step under way."""
    while life.status(name).get("step") != step:
        verdict = await life.turn(name)
        life.out.clock.advance(verdict.after or SECOND)


async def to_its_end(life: Life, name: str = "one") -> str | None:
    """Passes over the record, and over its project and its parts beside it."""
    for number in range(2000):
        verdict = await life.turn(name)
        if life.is_over(name, "DeploymentRecord"):
            return life.reason(name)
        if number % 5 == 0:
            for kind in KINDS:
                await life.turn("shop", kind)
        life.out.clock.advance(min(verdict.after or SECOND, timedelta(seconds=5)))
    raise AssertionError(f"{name} does not come to an end: {life.status(name)}")


def applied(life: Life, step: str, name: str = "one") -> list[dict[str, Any]]:
    return [entry for entry in life.status(name)["applied"] if entry["step"] == step]


@pytest.mark.parametrize("step", ["build", "health"])
@pytest.mark.parametrize("spec", EDITS, ids=str)
async def test_an_edit_makes_no_second_build_and_fails_no_deployment(spec: dict[str, Any], step: str) -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=2)
    life.record("one")
    await until(life, step)
    edit(life, spec)
    assert await to_its_end(life) == "True/Succeeded"
    assert [trigger["GIT_REVISION"] for trigger in life.out.jenkins.triggers] == [COMMIT]
    status = life.status("one")
    assert (status["commit"], status["image"].partition("@")[0]) == (COMMIT, "acme/shop")
    assert status["image"] in str(life.out.argocd.apps["shop"]["spec"]["source"])
    for step in ("revision", "build", "image"):
        assert [entry.get("state") for entry in applied(life, step)] == ["active"], "nothing was begun anew"


async def test_what_has_not_begun_follows_the_edit() -> None:
    life = ready()
    life.record("one")
    await life.one_pass("one")
    edit(life, {"git": {"branch": "develop"}, "jenkins": {"folder": "team"}, "registry": {"repository": "shop2"}})
    assert await to_its_end(life) == "True/Succeeded"
    (trigger,) = life.out.jenkins.triggers
    assert (trigger["GIT_REVISION"], trigger["IMAGE_REPOSITORY"]) == ("d" * 40, "acme/shop2")
    assert applied(life, "build")[0]["key"].startswith("team/shop#")


@pytest.mark.parametrize("spec", EDITS[2:], ids=str)
async def test_a_cancelled_deployment_stops_the_build_where_it_runs(spec: dict[str, Any]) -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record("one")
    await until(life, "build")
    edit(life, spec)
    await life.turn("one")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"cancel": True}})
    assert await to_its_end(life) == "True/Cancelled"
    assert (life.out.jenkins.stopped, life.out.jenkins.running()) == ([1], [])


async def test_the_job_and_its_folder_go_when_the_build_has_ended() -> None:
    life = ready()
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record("one")
    await until(life, "build")
    edit(life, {"jenkins": {"folder": "team"}})
    await polls(life, 1)
    await life.turn("shop", "JenkinsSettings")
    assert life.reason("shop", "Ready", "JenkinsSettings") == "True/Succeeded"
    assert {("shop", "shop"), ("team", "shop")} < set(life.out.jenkins.configs)
    said = (life.condition("shop", "CleanupVerified", "JenkinsSettings") or {})["message"]
    assert "JenkinsJob shop/shop: build 1 is of a deployment under way" in said
    assert await to_its_end(life) == "True/Succeeded"
    await polls(life)
    assert set(life.out.jenkins.configs) == {("team",), ("team", "shop")}
    assert life.condition("shop", "CleanupVerified", "JenkinsSettings") is None


async def test_a_job_stays_for_a_build_in_the_queue_and_not_for_that_of_a_person() -> None:
    life = ready()
    job = JenkinsJobRemoval(folder="shop", name="shop", git_url=GIT_URL, script_path="Jenkinsfile", parameters={})
    seen = await job.observe(life.out.world, "", None)
    life.out.jenkins.queue_time = timedelta(minutes=10)
    await life.out.jenkins.trigger(("shop", "shop"), {"IMAGE_TAG": "mine"})
    assert not (await job.observe(life.out.world, str(seen.owner), None)).deleting
    await life.out.jenkins.trigger(("shop", "shop"), {"DEPLOYMENT_UID": "uid-of-one"})
    assert (await job.observe(life.out.world, str(seen.owner), None)).deleting
    assert not (await job.observe(life.out.world, "another's", None)).deleting


async def test_the_old_repository_is_there_for_the_image_of_a_deployment_under_way() -> None:
    life = ready(**DELETE)
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record("one")
    await until(life, "build")
    edit(life, {"registry": {"repository": "shop2"}})
    await polls(life, 1)
    await life.turn("shop", "RegistrySettings")
    assert sorted(life.out.hub.held) == ["acme/shop", "acme/shop2"]
    said = (life.condition("shop", "CleanupVerified", "RegistrySettings") or {})["message"]
    assert "HubRepository acme/shop: deployment one is under way with an image of it" in said
    assert await to_its_end(life) == "True/Succeeded"
    await polls(life)
    assert sorted(life.out.hub.held) == ["acme/shop", "acme/shop2"], "production runs an image of it"


async def test_the_old_repository_goes_when_the_deployment_has_failed() -> None:
    life = ready(**DELETE)
    life.out.jenkins.build_time, life.out.jenkins.result = timedelta(minutes=10), "FAILURE"
    life.record("one")
    await until(life, "build")
    edit(life, {"registry": {"repository": "shop2"}})
    assert await to_its_end(life) == "True/BuildFailed"
    await polls(life)
    assert list(life.out.hub.held) == ["acme/shop2"]


async def test_the_removal_takes_the_tag_from_the_repository_in_which_it_is() -> None:
    life = ready()
    life.record("one", environment="pr-7")
    await until(life, "health")
    edit(life, {"registry": {"repository": "shop2"}, "jenkins": {"folder": "team"}})
    assert await to_its_end(life) == "True/Succeeded"
    assert life.out.hub.held["acme/shop"].tags
    await life.expire("one")
    assert not life.out.hub.held["acme/shop"].tags


@pytest.mark.parametrize(
    ("was_seen", "reason", "text"),
    [
        (True, "CreateResultUnknown", "it was there and has vanished; it is not made a second time"),
        (False, "BuildTimeout", "not done after 300 s: jenkins: job shop/shop is not there yet"),
    ],
)
async def test_a_build_whose_job_was_deleted_with_it_ends_the_deployment(
    was_seen: bool, reason: str, text: str
) -> None:
    life = ready(build_timeout=timedelta(minutes=5))
    life.out.jenkins.build_time = timedelta(minutes=10)
    life.record("one")
    await until(life, "build")
    if was_seen:
        await life.turn("one")
    edit(life, {"jenkins": {"folder": "team"}})
    await life.out.jenkins.delete_item(("shop",))
    assert await to_its_end(life) == f"True/{reason}"
    assert text in (life.condition("one", "Finished") or {})["message"]
    assert len(life.out.jenkins.triggers) == 1


async def test_a_build_that_was_surely_not_sent_goes_where_the_job_is_by_now() -> None:
    life = ready()
    life.record("one")
    life.out.jenkins.configs.pop(("shop", "shop"))
    await until(life, "build")
    edit(life, {"jenkins": {"folder": "team"}})
    assert await to_its_end(life) == "True/Succeeded"
    assert [entry["key"] for entry in applied(life, "build")] == ["team/shop#uid-of-one"]


async def test_a_login_is_not_asked_for_once_the_commit_is_known() -> None:
    life = ready()
    life.record("one")
    await until(life, "health")
    asked = len(life.out.git.logins)
    edit(life, {"git": {"url": OTHER_URL, "credentialsRef": {"name": "not-there"}}})
    await life.live("one")
    assert (life.reason("one"), len(life.out.git.logins)) == ("True/Succeeded", asked)


async def test_a_rollback_goes_on_with_the_commit_and_the_image_that_it_began_with() -> None:
    life = ready()
    life.record("one")
    assert await to_its_end(life) == "True/Succeeded"
    life.out.clock.advance(timedelta(minutes=1))
    life.record("back", rollbackTo="one")
    await until(life, "health", "back")
    edit(life, {"git": {"url": OTHER_URL, "branch": "develop"}, "registry": {"repository": "shop2"}})
    assert await to_its_end(life, "back") == "True/Succeeded"
    assert life.status("back")["image"] == life.status("one")["image"]
    assert "'acme/shop=acme/shop@" in str(life.out.argocd.apps["shop"]["spec"]["source"])


# Automated sync


def automated(life: Life) -> Any:
    return (life.out.argocd.apps["shop"]["spec"].get("syncPolicy") or {}).get("automated")


@pytest.mark.parametrize("drift", ["Repair", "Report"])
@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
async def test_automated_sync_is_turned_on_and_off_without_a_deployment(on: bool, drift: str) -> None:
    life = ready(argo={"autoSync": not on}, driftPolicy=drift)
    life.record("one")
    assert await to_its_end(life) == "True/Succeeded"
    assert (automated(life) is not None) is not on
    edit(life, {"argo": {"autoSync": on}})
    await polls(life)
    assert (automated(life) is not None) is on
    assert life.reason("shop", "Ready", "ArgoSettings") == "True/Succeeded"


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
async def test_automated_sync_that_somebody_else_has_turned_is_set_back(on: bool) -> None:
    life = ready(argo={"autoSync": on})
    life.record("one")
    await to_its_end(life)
    life.out.argocd.apps["shop"]["spec"]["syncPolicy"] = {"retry": {"limit": 3}, **({} if on else {"automated": {}})}
    await polls(life)
    policy = life.out.argocd.apps["shop"]["spec"]["syncPolicy"]
    assert policy == {"retry": {"limit": 3}, **({"automated": {"prune": True, "selfHeal": True}} if on else {})}
