"""The repository or the destination of a live project changes: Argo CD takes neither from under an application."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.kinds import KINDS
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT
from tests.unit.world import GIT_URL, ME, TEAM

from .life import Life
from .test_running_images import deploy, polls, running

ARGO = "ArgoSettings"
IN_CLUSTER = "https://kubernetes.default.svc"
MOVED = "https://git.example.com/moved.git"
MANIFESTS = "https://git.example.com/manifests.git"


def change(life: Life, **spec: Any) -> None:
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": spec})


def allowed(life: Life) -> tuple[set[str], set[str]]:
    """Repositories and namespaces of the Argo CD project."""
    (project,) = life.out.argocd.app_projects.values()
    spec = project["spec"]
    return set(spec["sourceRepos"]), {each["namespace"] for each in spec["destinations"]}


async def live(**spec: Any) -> Life:
    life = running(**spec)
    life.out.git.commit(MOVED, "main", "9" * 40)
    assert await deploy(life, "one") == "True/Succeeded"
    return life


async def with_a_preview_left(**spec: Any) -> Life:
    """`git.url` has changed, production has been deployed since, and a preview is still of the old one."""
    life = await live(**spec)
    assert await deploy(life, "preview", environment="pr-7") == "True/Succeeded"
    change(life, git={"url": MOVED})
    await polls(life)
    life.out.git.commit(MOVED, "main", "8" * 40)
    assert await deploy(life, "two") == "True/Succeeded"
    await polls(life)
    return life


@pytest.mark.parametrize(
    ("spec", "repository", "namespace", "at_once"),
    [
        ({"git": {"url": MOVED}}, MOVED, "shop", False),
        ({"argo": {"source": {"repoURL": MANIFESTS}}}, MANIFESTS, "shop", True),
        ({"argo": {"destination": {"namespace": "shop-prod"}}}, GIT_URL, "shop-prod", True),
        ({"argo": {"destination": {"namespace": "shop-prod"}, "project": "new"}}, GIT_URL, "shop-prod", True),
    ],
)
async def test_a_live_project_moves(spec: dict[str, Any], repository: str, namespace: str, at_once: bool) -> None:
    life = await live()
    change(life, **spec)
    await polls(life, 5)
    assert life.reason("shop", "Ready", ARGO) == "True/Succeeded"
    source = life.out.argocd.apps["shop"]["spec"]["source"]
    assert source["repoURL"] == (repository if at_once else GIT_URL), "a commit is not looked for elsewhere"
    assert allowed(life)[0] == {repository, source["repoURL"]}
    life.out.git.commit(MOVED, "main", "8" * 40)
    assert await deploy(life, "two") == "True/Succeeded"
    await polls(life)
    app = life.out.argocd.apps["shop"]["spec"]
    assert (app["source"]["repoURL"], app["destination"]["namespace"]) == (repository, namespace)
    assert allowed(life) == ({repository}, {namespace, "shop-*"}), "the old one is not allowed any more"


async def test_what_a_preview_still_uses_stays_allowed_and_holds_nobody_up() -> None:
    life = await with_a_preview_left()
    assert life.reason("shop", "Ready", ARGO) == "True/Succeeded"
    assert life.out.argocd.apps["shop"]["spec"]["source"]["repoURL"] == MOVED
    assert life.out.argocd.apps["shop-pr-7"]["spec"]["source"]["repoURL"] == GIT_URL
    assert allowed(life) == ({GIT_URL, MOVED}, {"shop", "shop-*"})


@pytest.mark.parametrize("policy", ["Repair", "Report"])
async def test_it_is_allowed_until_the_preview_has_moved_whatever_the_drift_policy(policy: str) -> None:
    life = await with_a_preview_left(driftPolicy=policy)
    assert await deploy(life, "again", environment="pr-7") == "True/Succeeded"
    life.verdicts.clear()
    await polls(life)
    assert allowed(life) == ({MOVED}, {"shop", "shop-*"})
    drifted = [result.drifted for verdict in life.verdicts for result in verdict.results if result.drifted]
    assert drifted == [], "nobody has changed anything by hand"


async def test_the_repository_that_a_preview_still_uses_stays_with_its_login_until_it_has_moved() -> None:
    life = await with_a_preview_left()
    assert {each["repo"] for each in life.out.argocd.repos} == {GIT_URL, MOVED}
    assert life.reason("shop", "CleanupVerified", ARGO) == "Unknown/Progressing"
    said = (life.condition("shop", "CleanupVerified", ARGO) or {})["message"]
    assert "application shop-pr-7 still uses it" in said
    assert await deploy(life, "again", environment="pr-7") == "True/Succeeded"
    await polls(life)
    assert [each["repo"] for each in life.out.argocd.repos] == [MOVED]
    assert life.condition("shop", "CleanupVerified", ARGO) is None


async def test_a_project_that_goes_takes_a_repository_along_that_a_preview_uses() -> None:
    life = await with_a_preview_left()
    life.out.kubernetes.mark_deleted(KINDS[ARGO].kind, TEAM, "shop")
    await polls(life, 2)
    assert GIT_URL not in [each["repo"] for each in life.out.argocd.repos]


async def test_while_a_preview_holds_it_nothing_is_written_and_little_is_asked_for() -> None:
    life = await with_a_preview_left()
    before = len(life.out.line.calls)
    writes = len(life.out.kubernetes.writes)
    for _ in range(3):
        await life.turn("shop", ARGO)
    calls = [each for each in life.out.line.since(before) if each.startswith("argocd.")]
    steps = ["argocd.repository", "argocd.project", "argocd.application"]
    assert calls == [*steps, "argocd.repository", "argocd.applications"] * 3, "the last two are for what is to go"
    assert len(life.out.kubernetes.writes) == writes


@pytest.mark.parametrize("lost", ["apps", "app_projects"])
async def test_what_is_lost_before_the_next_deployment_is_made_again_for_the_repository_of_before(lost: str) -> None:
    life = await live()
    change(life, git={"url": MOVED})
    await polls(life)
    before = life.out.argocd.apps["shop"]["spec"]["source"]
    getattr(life.out.argocd, lost).clear()
    await polls(life)
    assert life.reason("shop", "Ready", ARGO) == "True/Succeeded"
    assert life.out.argocd.apps["shop"]["spec"]["source"] == before
    assert allowed(life)[0] == {GIT_URL, MOVED}
    life.out.git.commit(MOVED, "main", "8" * 40)
    assert await deploy(life, "two") == "True/Succeeded"


async def test_a_project_at_rest_needs_no_list_of_its_applications() -> None:
    life = await live()
    before = len(life.out.line.calls)
    await life.turn("shop", ARGO)
    assert "argocd.applications" not in life.out.line.since(before)


async def test_what_is_kept_is_where_an_application_is_and_no_pattern_of_before() -> None:
    life = await live()
    assert await deploy(life, "preview", environment="pr-7") == "True/Succeeded"
    project = life.out.argocd.app_projects["shop"]["spec"]
    project["destinations"] = [{"server": "*", "namespace": "*"}]
    life.out.argocd.apps["shop-pr-7"]["spec"]["destination"]["namespace"] = "elsewhere"
    await polls(life)
    assert allowed(life)[1] == {"shop", "shop-*", "elsewhere"}


async def test_an_application_that_is_not_ours_keeps_nothing() -> None:
    life = await live()
    theirs = {"metadata": {"name": "theirs"}, "spec": life.out.argocd.apps["shop"]["spec"]}
    life.out.argocd.apps["theirs"] = copy.deepcopy(theirs)
    change(life, git={"url": MOVED})
    await polls(life)
    life.out.git.commit(MOVED, "main", "8" * 40)
    assert await deploy(life, "two") == "True/Succeeded"
    await polls(life)
    assert life.reason("shop", "Ready", ARGO) == "False/OwnershipConflict"
    said = (life.condition("shop", "Ready", ARGO) or {})["message"]
    assert "Not ours are in it: theirs. Move or delete them" in said
    del life.out.argocd.apps["theirs"]
    await polls(life)
    assert allowed(life)[0] == {MOVED}


@pytest.mark.parametrize("there", [[GIT_URL, MANIFESTS], ["*", "!https://evil.example.com/*"]])
async def test_an_application_of_ours_adds_nothing_that_its_project_does_not_allow(there: list[str]) -> None:
    life = await live()
    assert await deploy(life, "preview", environment="pr-7") == "True/Succeeded"
    life.out.argocd.app_projects["shop"]["spec"]["sourceRepos"] = there
    preview = life.out.argocd.apps["shop-pr-7"]
    assert preview["metadata"]["annotations"]["freeleaps.com/mark"] == ME
    preview["spec"]["source"]["repoURL"] = "https://evil.example.com/x.git"
    await polls(life)
    assert allowed(life)[0] == {GIT_URL}


async def test_an_argo_cd_that_judges_by_the_project_of_before_is_asked_again() -> None:
    life = await live()
    change(life, argo={"source": {"repoURL": MANIFESTS}})
    await life.turn("shop", "DevOpsProject")
    text = f"application repo {MANIFESTS} is not permitted in project 'shop'"
    life.out.line.fail("argocd.patch_application", ValidationError(text, status=400))
    await life.turn("shop", ARGO)
    assert life.condition("shop", "Stalled", ARGO) is None, "the spec is right"
    await life.live("shop", kind=ARGO)
    assert life.out.argocd.apps["shop"]["spec"]["source"]["repoURL"] == MANIFESTS


async def test_an_application_that_its_project_refuses_for_good_is_refused() -> None:
    life = await live(driftPolicy="Report", argo={"source": {"repoURL": MANIFESTS}})
    life.out.argocd.app_projects["shop"]["spec"]["destinations"] = []
    change(life, argo={"source": {"path": "elsewhere"}})
    await polls(life)
    assert life.reason("shop", "Ready", ARGO) == "False/InvalidSpec"


@pytest.mark.parametrize("url", [GIT_URL.removesuffix(".git"), GIT_URL.replace("shop", "Shop")])
async def test_another_spelling_of_the_same_repository_keeps_it(url: str) -> None:
    life = await live()
    life.out.git.commit(url, "main", "9" * 40)
    change(life, git={"url": url})
    await polls(life)
    assert life.out.line.count("argocd.delete_repository") == 0
    assert len(life.out.argocd.repos) == 1
    keys = [each["key"] for each in life.status("shop", ARGO)["applied"] if each["kind"] == "ArgoRepository"]
    assert keys == [url], "nothing is left to be removed"
    await life.delete("shop", "ArgoSettings")
    assert life.out.argocd.repos == [], "it goes with its project"
