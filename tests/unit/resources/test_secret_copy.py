"""Secrets that are copied to where an application runs."""

from __future__ import annotations

import base64

import pytest

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.names import mark
from devops_reconciler.resources.secret_copy import VERSION_ANNOTATION, SecretCopy
from devops_reconciler.services.kubernetes import (
    DEVOPS_PROJECT,
    NAMESPACE,
    SECRET,
    SERVICE_ACCOUNT,
)
from tests.unit.world import CLUSTER, ME, outside

from .hand import Hand, changed, policy
from .test_kubernetes_things import MARK

COPY = SecretCopy(
    namespace="shop",
    name="pull",
    project="shop",
    type="kubernetes.io/dockerconfigjson",
    version="uid/1",
    pull=True,
    data={".dockerconfigjson": base64.b64encode(b"{}").decode()},
)


async def test_a_pull_secret_is_copied_and_added_to_the_default_service_account_beside_others() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    others = {"imagePullSecrets": [{"name": "theirs"}], "secrets": [{"name": "token"}]}
    hand.out.kubernetes.change(SERVICE_ACCOUNT, "shop", "default", others)
    assert (await hand.bring(COPY)).ready
    copy = hand.out.kubernetes.see(SECRET, "shop", "pull")
    assert copy is not None
    assert copy["data"] == COPY.data
    assert copy["metadata"]["annotations"][MARK] == ME
    account = hand.out.kubernetes.see(SERVICE_ACCOUNT, "shop", "default")
    assert account is not None
    assert account["imagePullSecrets"] == [{"name": "theirs"}, {"name": "pull"}]
    assert account["secrets"] == [{"name": "token"}]


async def test_a_pull_secret_that_is_removed_is_taken_out_of_the_service_account_and_others_stay() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    hand.out.kubernetes.change(SERVICE_ACCOUNT, "shop", "default", {"imagePullSecrets": [{"name": "theirs"}]})
    assert (await hand.bring(COPY)).ready
    await hand.remove()
    account = hand.out.kubernetes.see(SERVICE_ACCOUNT, "shop", "default")
    assert account is not None
    assert account["imagePullSecrets"] == [{"name": "theirs"}]
    assert hand.out.kubernetes.see(SECRET, "shop", "pull") is None


async def test_a_pull_secret_that_a_service_account_does_not_name_any_more_is_removed_all_the_same() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    assert (await hand.bring(COPY)).ready
    hand.out.kubernetes.change(SERVICE_ACCOUNT, "shop", "default", {"imagePullSecrets": []})
    await hand.remove()
    assert hand.out.kubernetes.see(SECRET, "shop", "pull") is None


async def test_a_tls_secret_is_not_for_pulling() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    assert (await hand.bring(changed(COPY, pull=False, type="kubernetes.io/tls"))).ready
    account = hand.out.kubernetes.see(SERVICE_ACCOUNT, "shop", "default")
    assert account is not None
    assert "imagePullSecrets" not in account


async def test_a_service_account_that_comes_late_is_waited_for() -> None:
    hand = Hand()
    hand.out.kubernetes.put(NAMESPACE, None, {"metadata": {"name": "shop"}})
    await hand.once(COPY)
    outcome = await hand.once(COPY)
    assert not outcome.ready
    hand.out.kubernetes.put(SERVICE_ACCOUNT, "shop", {"metadata": {"name": "default"}})
    assert (await hand.bring(COPY)).ready


async def test_a_service_account_that_changes_at_that_moment_is_tried_again() -> None:
    hand = Hand()
    hand.out.namespace("shop")

    def touch(name: str) -> None:
        if name == "kubernetes.merge_patch ServiceAccount":
            hand.out.line.before = None
            hand.out.kubernetes.change(SERVICE_ACCOUNT, "shop", "default", {"secrets": [{"name": "token"}]})

    hand.out.line.before = touch
    assert (await hand.bring(COPY)).ready
    account = hand.out.kubernetes.see(SERVICE_ACCOUNT, "shop", "default")
    assert account is not None
    assert account["imagePullSecrets"] == [{"name": "pull"}]
    assert account["secrets"] == [{"name": "token"}]


async def test_a_changed_source_is_copied_again() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    await hand.bring(COPY)
    await hand.bring(changed(COPY, version="uid/2", data={".dockerconfigjson": "bmV3"}))
    copy = hand.out.kubernetes.see(SECRET, "shop", "pull")
    assert copy is not None
    assert copy["data"] == {".dockerconfigjson": "bmV3"}


async def test_a_copy_of_another_type_is_made_anew() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    await hand.bring(changed(COPY, type="Opaque"))
    first = hand.out.kubernetes.see(SECRET, "shop", "pull")
    again = changed(COPY, version="uid-2/2")
    await hand.once(again)
    assert hand.out.kubernetes.see(SECRET, "shop", "pull") is None
    assert (await hand.bring(again)).ready, "also by another replica: its absence alone tells what is to be done"
    copy = hand.out.kubernetes.see(SECRET, "shop", "pull")
    assert copy is not None
    assert first is not None
    assert (copy["type"], copy["metadata"]["annotations"][MARK]) == ("kubernetes.io/dockerconfigjson", ME)
    assert copy["metadata"]["uid"] != first["metadata"]["uid"]


async def test_a_copy_of_another_type_that_takes_its_time_to_go_is_waited_for() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    await hand.bring(changed(COPY, type="Opaque"))
    hand.out.kubernetes.change(SECRET, "shop", "pull", {"metadata": {"finalizers": ["example.com/theirs"]}})
    await hand.once(COPY)
    outcome = await hand.once(COPY)
    assert hand.message(outcome) == "it is being deleted; it is made again when it is gone"
    hand.out.kubernetes.remove(SECRET, "shop", "pull")
    assert (await hand.bring(COPY)).ready


async def test_a_secret_of_others_and_of_another_type_stays_whatever_adoption_says() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    hand.out.kubernetes.put(SECRET, "shop", {"metadata": {"name": "pull"}, "type": "Opaque", "data": {"x": "eA=="}})
    before = hand.out.kubernetes.see(SECRET, "shop", "pull")
    assert hand.reason(await hand.bring(COPY, policy(Adoption.ALWAYS))) == "InvalidSpec"
    assert hand.out.kubernetes.see(SECRET, "shop", "pull") == before


async def test_a_foreign_secret_of_that_name_is_a_conflict_and_stays() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    hand.out.kubernetes.put(SECRET, "shop", {"metadata": {"name": "pull"}, "data": {"theirs": "eA=="}})
    outcome = await hand.bring(COPY)
    assert hand.reason(outcome) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.kubernetes.writes == []


TEAMS = ("team-a", "team-b")
THEIRS = mark(CLUSTER, "team-b", "uid-of-theirs")
SHARED = changed(COPY, home="team-a")


def copied_by(owner: str, home: str | None, version: str) -> Hand:
    """Two watched namespaces; the copy is there with the mark of a project of `home`, or of nobody."""
    hand = Hand(out=outside(reconciler_namespaces=TEAMS))
    if home is not None:
        project = {"metadata": {"name": "theirs", "uid": "uid-of-theirs"}, "spec": {}}
        hand.out.kubernetes.put(DEVOPS_PROJECT, home, project)
    hand.out.namespace("shop")
    annotations = {MARK: owner, VERSION_ANNOTATION: version}
    metadata = {"name": "pull", "annotations": annotations}
    hand.out.kubernetes.put(SECRET, "shop", {"metadata": metadata, "type": COPY.type, "data": {"theirs": "eA=="}})
    return hand


@pytest.mark.parametrize("adoption", [Adoption.NEVER, Adoption.ALWAYS])
async def test_the_copy_of_a_project_of_another_watched_namespace_is_never_shared(adoption: Adoption) -> None:
    hand = copied_by(THEIRS, "team-b", "uid-of-their-secret/1")
    before = hand.out.kubernetes.see(SECRET, "shop", "pull")
    assert hand.reason(await hand.bring(SHARED, policy(adoption))) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.kubernetes.see(SECRET, "shop", "pull") == before


@pytest.mark.parametrize(
    ("home", "version", "reason"),
    [
        ("team-a", "uid-of-before/1", "Succeeded"),
        (None, "uid/0", "Succeeded"),
        (None, "uid-of-before/1", "OwnershipConflict"),
    ],
    ids=["of a project of ours", "of our Secret, by one that is gone", "of one that is gone"],
)
async def test_a_copy_for_the_same_watched_namespace_is_shared(home: str | None, version: str, reason: str) -> None:
    hand = copied_by(mark(CLUSTER, "team-a", "uid-of-theirs"), home, version)
    assert hand.reason(await hand.bring(SHARED)) == reason


@pytest.mark.parametrize("uid", ["uid-of-shop", "uid-of-another-shop"])
async def test_a_list_of_projects_that_lacks_our_own_removes_nothing(uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lacking(*_: object) -> list[object]:
        return []

    hand = copied_by(ME, None, "uid/1")
    await hand.bring(SHARED)
    hand.out.kubernetes.put(DEVOPS_PROJECT, "team-a", {"metadata": {"name": "shop", "uid": uid}, "spec": {}})
    monkeypatch.setattr(hand.out.kubernetes, "kept", lacking)
    outcome = await hand.remove_once()
    there = hand.out.kubernetes.see(SECRET, "shop", "pull") is not None
    ours = uid == "uid-of-shop"  # another project of the same name is none that the list has to have
    assert (there, "lacks team-a/shop" in hand.message(outcome)) == (ours, ours)
