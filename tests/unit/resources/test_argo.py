"""Argo CD: the application and its release, the project, the shared repository, the sync and the health after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.blocks import SourceKind
from devops_reconciler.api.errors import ExternalServiceError, Waiting
from devops_reconciler.resources.argo_application import ArgoApplication
from devops_reconciler.resources.argo_project import ArgoProject
from devops_reconciler.resources.argo_release import ArgoRelease, image_name
from devops_reconciler.resources.argo_repository import ArgoRepository
from devops_reconciler.services.kubernetes import ARGO_SETTINGS
from tests.unit.world import ME, OTHER, STRANGER, TEAM, Outside

from .hand import Hand, changed, policy

MARK = "freeleaps.com/mark"
SERVER = "https://kubernetes.default.svc"
URL = "https://git.example.com/shop.git"
DIGEST = "sha256:" + "a" * 64
IMAGE = f"acme/shop@{DIGEST}"
APP = ArgoApplication(
    name="shop",
    project="shop",
    devops_project="shop",
    environment="production",
    repo_url=URL,
    path="deploy",
    target_revision="main",
    server=SERVER,
    namespace="shop",
)
RELEASE = ArgoRelease(
    name="shop",
    project="shop",
    kind=SourceKind.KUSTOMIZE,
    image=IMAGE,
    image_name="acme/shop",
    image_parameter="image.repository",
    digest_parameter="image.digest",
    target_revision="abc123",
    auto_sync=False,
)
PROJECT = ArgoProject(name="shop", source_repos=(URL,), destinations=((SERVER, "shop"), (SERVER, "shop-*")))
REPOSITORY = ArgoRepository(
    url=URL, username="git", password=SecretStr("secret"), password_version="v1", user="team-a/shop"
)

PUBLIC = ArgoRepository(url=URL, username="", password_version="", user="team-a/shop")


def spec(hand: Hand) -> dict[str, Any]:
    return dict(hand.out.argocd.apps["shop"]["spec"])


# The application


async def test_an_application_is_made_with_mark_labels_and_finalizer() -> None:
    hand = Hand()
    assert (await hand.bring(APP)).ready
    metadata = hand.out.argocd.apps["shop"]["metadata"]
    assert metadata["annotations"][MARK] == ME
    assert metadata["labels"] == {"freeleaps.com/project": "shop", "freeleaps.com/environment": "production"}
    assert metadata["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    assert spec(hand)["source"] == {"repoURL": URL, "path": "deploy", "targetRevision": "main"}
    assert "syncPolicy" not in spec(hand)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repo_url", "https://git.example.com/other.git"),
        ("path", "elsewhere"),
        ("target_revision", "next"),
        ("server", "https://1.2.3.4"),
        ("namespace", "elsewhere"),
        ("project", "elsewhere"),
    ],
)
async def test_each_owned_field_is_repaired_and_the_rest_stays(field: str, value: str) -> None:
    hand = Hand()
    await hand.bring(changed(APP, **{field: value}))
    app = hand.out.argocd.apps["shop"]
    app["spec"]["source"]["kustomize"] = {"images": ["x=y"], "namePrefix": "theirs-"}
    app["spec"]["syncPolicy"] = {"retry": {"limit": 3}}
    app["metadata"]["annotations"]["theirs"] = "stays"
    assert len((await hand.see(APP)).drift) == 1
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(APP)).ready
    assert spec(hand)["project"] == "shop"
    assert spec(hand)["destination"] == {"server": SERVER, "namespace": "shop"}
    assert spec(hand)["source"]["kustomize"] == {"images": ["x=y"], "namePrefix": "theirs-"}
    assert spec(hand)["syncPolicy"] == {"retry": {"limit": 3}}
    assert hand.out.argocd.apps["shop"]["metadata"]["annotations"] == {MARK: ME, "theirs": "stays"}


async def test_a_released_application_keeps_its_commit() -> None:
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(RELEASE)
    assert spec(hand)["source"]["targetRevision"] == "abc123"
    assert (await hand.bring(changed(APP, released=True))).ready
    assert spec(hand)["source"]["targetRevision"] == "abc123"


async def test_an_application_made_anew_gets_its_release_back() -> None:
    hand = Hand()
    release = {"source": RELEASE.model_copy().source_patch({}), "syncPolicy": {"automated": {}}}
    await hand.bring(changed(APP, release=release, released=True))
    assert (await hand.see(RELEASE)).drift == ("automated",)
    assert spec(hand)["source"]["kustomize"]["images"] == [f"acme/shop={IMAGE}"]


@pytest.mark.parametrize("annotations", [{}, {MARK: OTHER}, {MARK: STRANGER}])
async def test_a_foreign_application_is_a_conflict_and_stays(annotations: dict[str, str]) -> None:
    hand = Hand()
    there = {"metadata": {"name": "shop", "annotations": annotations}, "spec": {"project": "default"}}
    hand.out.argocd.apps["shop"] = there
    assert hand.reason(await hand.bring(APP)) == "OwnershipConflict"
    hand2 = Hand(hand.out)
    assert hand2.reason(await hand2.bring(RELEASE)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.argocd.apps["shop"] == there


async def test_an_unmarked_application_is_taken_over_where_that_is_asked_for() -> None:
    hand = Hand()
    await hand.bring(APP)
    del hand.out.argocd.apps["shop"]["metadata"]["annotations"]
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(APP, policy(Adoption.IF_UNOWNED))).ready
    assert hand.out.argocd.apps["shop"]["metadata"]["annotations"] == {MARK: ME}


async def test_an_application_under_deletion_is_waited_for_by_name_of_what_blocks_it() -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.slow_deletion = True
    with pytest.raises(AssertionError, match="resources-finalizer"):
        await hand.remove(most=4)
    hand.out.argocd.finish("shop")
    assert (await hand.remove()).ready


# The release


async def test_a_release_sets_image_and_commit_beside_what_others_have_set() -> None:
    hand = Hand()
    await hand.bring(APP)
    source = hand.out.argocd.apps["shop"]["spec"]["source"]
    source["kustomize"] = {"images": ["acme/shop=acme/shop:old", "sidecar=sidecar:1"], "namePrefix": "x-"}
    assert (await hand.bring(RELEASE)).ready
    kustomize = spec(hand)["source"]["kustomize"]
    assert sorted(kustomize["images"]) == [f"acme/shop={IMAGE}", "sidecar=sidecar:1"]
    assert kustomize["namePrefix"] == "x-"
    assert spec(hand)["source"]["targetRevision"] == "abc123"


async def test_the_order_of_image_overrides_is_no_drift() -> None:
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(RELEASE)
    spec(hand)["source"]["kustomize"]["images"].append("sidecar=sidecar:1")
    assert (await hand.see(RELEASE)).drift == ()


async def test_a_helm_release_sets_two_parameters_beside_those_of_others() -> None:
    hand = Hand()
    await hand.bring(APP)
    theirs = {"name": "replicas", "value": "3", "forceString": True}
    hand.out.argocd.apps["shop"]["spec"]["source"]["helm"] = {"parameters": [theirs], "releaseName": "r"}
    helm = changed(RELEASE, kind=SourceKind.HELM)
    assert (await hand.bring(helm)).ready
    there = spec(hand)["source"]["helm"]
    assert there["releaseName"] == "r"
    assert theirs in there["parameters"]
    values = {p["name"]: p["value"] for p in there["parameters"]}
    assert values == {"replicas": "3", "image.repository": "acme/shop", "image.digest": DIGEST}
    there["parameters"].reverse()
    assert (await hand.see(helm)).drift == ()


async def test_a_directory_release_sets_the_commit_only() -> None:
    hand = Hand()
    await hand.bring(APP)
    assert (await hand.bring(changed(RELEASE, kind=SourceKind.DIRECTORY))).ready
    assert spec(hand)["source"] == {"repoURL": URL, "path": "deploy", "targetRevision": "abc123"}


async def test_manifests_of_another_repository_keep_their_revision() -> None:
    hand = Hand()
    await hand.bring(APP)
    assert (await hand.bring(changed(RELEASE, target_revision=None))).ready
    assert spec(hand)["source"]["targetRevision"] == "main"


async def test_automated_sync_comes_with_the_release_and_goes_with_the_setting() -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.apps["shop"]["spec"]["syncPolicy"] = {"retry": {"limit": 3}}
    await hand.bring(changed(RELEASE, auto_sync=True))
    assert spec(hand)["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(RELEASE)
    assert spec(hand)["syncPolicy"] == {"retry": {"limit": 3}}


async def test_automated_sync_does_not_come_before_the_first_image() -> None:
    """Not when the deployment holds production already, and has set nothing yet."""
    pin = changed(RELEASE, auto_sync=True)
    held = changed(APP, release={"source": {}, "syncPolicy": pin.sync_policy}, pin=pin, released=True)
    hand = Hand()
    await hand.bring(APP)
    assert (await hand.see(held)).drift == ()
    await hand.bring(RELEASE)
    assert (await hand.see(held)).drift == ("automated",)
    await hand.bring(held)
    assert spec(hand)["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("acme/shop=registry.test:5000/acme/shop@sha256:1", "acme/shop"),
        ("acme/shop=acme/shop:v1", "acme/shop"),
        ("acme/shop:v1", "acme/shop"),
        ("acme/shop@sha256:1", "acme/shop"),
        ("registry.test:5000/acme/shop", "registry.test:5000/acme/shop"),
        ("registry.test:5000/acme/shop:v1", "registry.test:5000/acme/shop"),
        ("registry.test:5000/acme/shop@sha256:1", "registry.test:5000/acme/shop"),
        ("shop", "shop"),
    ],
)
def test_the_name_that_an_override_replaces(override: str, name: str) -> None:
    assert image_name(override) == name


# The project


async def test_a_project_is_made_repaired_and_removed() -> None:
    hand = Hand()
    assert (await hand.bring(PROJECT)).ready
    made = hand.out.argocd.app_projects["shop"]
    assert made["metadata"]["annotations"][MARK] == ME
    made["spec"]["sourceRepos"] = ["*"]
    made["spec"]["roles"] = ["theirs"]
    made["metadata"]["resourceVersion"] = "7"
    assert (await hand.see(PROJECT)).drift == ("sourceRepos",)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(PROJECT)).ready
    made = hand.out.argocd.app_projects["shop"]
    assert made["spec"]["sourceRepos"] == [URL]
    assert made["spec"]["roles"] == ["theirs"]
    assert made["metadata"]["resourceVersion"] == "7"
    await hand.remove()
    assert hand.out.argocd.app_projects == {}


async def test_an_application_goes_whose_project_was_removed_by_hand() -> None:
    hand = Hand()
    assert (await hand.bring(PROJECT)).ready
    assert (await hand.bring(APP)).ready
    hand.out.argocd.lose_project("shop")
    await hand.remove()
    assert hand.out.argocd.apps == {}
    assert hand.out.argocd.app_projects == {}, "what was made for the deletion goes with it"


async def test_a_preview_whose_project_was_removed_by_hand_waits_for_its_owner_to_make_it_again() -> None:
    hand = Hand()
    preview = APP.model_copy(update={"name": "shop-pr-1", "environment": "pr-1"})
    await PROJECT.create(hand.out.world, ME, await hand.see(PROJECT))
    assert (await hand.bring(preview)).ready
    hand.out.argocd.lose_project("shop")
    with pytest.raises(Waiting, match="project shop is gone"):
        await preview.delete(hand.out.world, ME, await hand.see(preview))
    assert hand.out.argocd.app_projects == {}


async def test_a_foreign_project_is_a_conflict_and_stays() -> None:
    hand = Hand()
    hand.out.argocd.app_projects["shop"] = {"metadata": {"name": "shop"}, "spec": {"sourceRepos": ["*"]}}
    assert hand.reason(await hand.bring(PROJECT)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.argocd.app_projects["shop"]["spec"] == {"sourceRepos": ["*"]}


@pytest.mark.parametrize(
    ("spec", "metadata", "taken"),
    [
        (
            {"sourceRepos": ["*"], "description": "theirs", "destinations": [{"server": "*", "namespace": "*"}]},
            {},
            True,
        ),
        ({"namespaceResourceBlacklist": [{"group": "", "kind": "Secret"}], "roles": []}, {}, True),
        ({"clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}, {}, False),
        ({"roles": [{"name": "admin"}]}, {}, False),
        ({"sourceNamespaces": ["apps"]}, {}, False),
        ({"destinationServiceAccounts": [{"server": "*"}]}, {}, False),
        ({}, {"labels": {"global": "yes"}}, False),
    ],
)
@pytest.mark.parametrize("owner", [None, OTHER])
async def test_a_project_is_taken_over_only_where_it_gives_no_more_than_ours(
    spec: dict[str, Any], metadata: dict[str, Any], taken: bool, owner: str | None
) -> None:
    hand = Hand()
    marked = {} if owner is None else {"annotations": {MARK: owner}}
    hand.out.argocd.app_projects["shop"] = {"metadata": {"name": "shop", **metadata, **marked}, "spec": spec}
    outcome = await hand.bring(PROJECT, policy(Adoption.IF_UNOWNED if owner is None else Adoption.ALWAYS))
    assert outcome.ready == taken
    there = hand.out.argocd.app_projects["shop"]
    assert (there["metadata"].get("annotations") == {MARK: ME}) == taken
    if not taken:
        assert hand.reason(outcome) == "OwnershipConflict"
        assert there["spec"] == spec


# The repository


def user(out: Outside, name: str, url: str = URL, **metadata: Any) -> None:
    """The ArgoSettings of ME (`shop`), or of OTHER."""
    whole = {"name": name, "uid": "uid-of-shop" if name == "shop" else "uid-of-another", **metadata}
    out.kubernetes.put(ARGO_SETTINGS, TEAM, {"metadata": whole, "spec": {"git": {"url": url}}})


async def test_a_repository_is_registered_with_its_login_and_the_mark_as_name() -> None:
    hand = Hand()
    assert (await hand.bring(REPOSITORY)).ready
    assert hand.out.argocd.repos == [{"repo": URL, "type": "git", "name": ME, "username": "git", "password": "secret"}]


async def test_a_new_password_is_written_though_it_cannot_be_read_back() -> None:
    hand = Hand()
    user(hand.out, "shop")
    await hand.bring(REPOSITORY)
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(changed(REPOSITORY, password=SecretStr("new"), password_version="v2"))
    assert hand.out.argocd.repos[0]["password"] == "new"


async def test_a_write_that_finds_the_repository_gone_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand()
    user(hand.out, "shop")
    await hand.bring(REPOSITORY)
    hand.out.clock.advance(timedelta(minutes=1))
    update = hand.out.argocd.update_repository

    async def gone(repo: dict[str, Any]) -> Any:
        hand.out.argocd.repos.clear()
        return await update(repo)

    monkeypatch.setattr(hand.out.argocd, "update_repository", gone)
    assert (await hand.bring(changed(REPOSITORY, password=SecretStr("new"), password_version="v2"))).ready
    assert hand.out.argocd.repos[0]["password"] == "new"
    assert hand.out.line.count("argocd.retest_repository") == 0


async def test_a_project_without_a_login_takes_a_shared_repository_as_it_is_and_leaves_its_login() -> None:
    first = Hand()
    second = Hand(first.out, OTHER)
    user(first.out, "shop")
    user(first.out, "other")
    await first.bring(REPOSITORY)
    assert (await second.bring(changed(PUBLIC, user="team-a/other"))).ready
    assert first.out.argocd.repos[0]["password"] == "secret"
    assert first.out.line.count("argocd.update_repository") == first.out.line.count("argocd.retest_repository") == 0


@pytest.mark.parametrize("lost", [False, True])
async def test_a_login_that_is_not_wanted_any_more_is_taken_away(lost: bool) -> None:
    hand = Hand()
    user(hand.out, "shop")
    if lost:
        hand.out.line.fail(
            "argocd.create_repository", ExternalServiceError("lost", service="argocd"), after_effect=True
        )
        await hand.once(REPOSITORY)
    else:
        await hand.bring(REPOSITORY)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(PUBLIC)).ready
    assert "password" not in hand.out.argocd.repos[0]


async def test_a_repository_shared_by_two_projects_goes_with_the_last() -> None:
    first = Hand()
    second = Hand(first.out, OTHER)
    user(first.out, "shop")
    user(first.out, "other", url=URL.removesuffix(".git"))
    await first.bring(REPOSITORY)
    theirs = changed(REPOSITORY, user="team-a/other", url=URL.removesuffix(".git"))
    assert (await second.bring(theirs)).ready
    assert len(first.out.argocd.repos) == 1
    await first.remove()
    assert len(first.out.argocd.repos) == 1
    first.out.kubernetes.remove(ARGO_SETTINGS, TEAM, "shop")
    first.out.kubernetes.mark_deleted(ARGO_SETTINGS, TEAM, "other")
    await second.remove()
    assert first.out.argocd.repos == []


async def test_of_two_projects_that_go_at_once_neither_leaves_the_repository_behind() -> None:
    first = Hand()
    second = Hand(first.out, OTHER)
    user(first.out, "shop", deletionTimestamp="2026-01-01T00:00:00Z")
    user(first.out, "other", deletionTimestamp="2026-01-01T00:00:00Z")
    await first.bring(REPOSITORY)
    await second.bring(changed(REPOSITORY, user="team-a/other"))
    await first.remove()
    await second.remove()
    assert first.out.argocd.repos == []


async def test_projects_that_register_one_repository_at_the_same_moment_all_get_it() -> None:
    hand = Hand()
    user(hand.out, "shop")
    user(hand.out, "other")

    def race(name: str) -> None:
        if name == "argocd.create_repository":
            hand.out.line.before = None
            hand.out.argocd.repos.append({"repo": URL, "type": "git", "name": OTHER, "username": "git"})

    hand.out.line.before = race
    first = await hand.once(REPOSITORY)
    assert first.failure is None
    assert (await hand.bring(REPOSITORY)).ready


@pytest.mark.parametrize("name", ["", "shop", STRANGER])
async def test_a_foreign_repository_is_a_conflict_and_gets_no_credential(name: str) -> None:
    hand = Hand()
    there = {"repo": URL, "type": "git", "name": name, "username": "theirs"}
    hand.out.argocd.repos.append(dict(there))
    assert hand.reason(await hand.bring(REPOSITORY)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.argocd.repos == [there]
