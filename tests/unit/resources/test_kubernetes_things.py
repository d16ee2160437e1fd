"""Namespaces, copied Secrets, Ingresses and children: what lives in Kubernetes itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.base import Adoption
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.resources.child import ProjectChild
from devops_reconciler.resources.ingress import IngressRoute
from devops_reconciler.resources.namespace import DestinationNamespace, PreviewNamespace
from devops_reconciler.services.kubernetes import (
    INGRESS,
    JENKINS_SETTINGS,
    NAMESPACE,
)
from tests.unit.world import ME, OTHER, STRANGER, TEAM

from .hand import Hand, changed, policy

MARK = "freeleaps.com/mark"
PRODUCTION = DestinationNamespace(name="shop", project="shop", environment="production")
PREVIEW = PreviewNamespace(name="shop-pr-7", project="shop", environment="pr-7")
ROUTE = IngressRoute(
    namespace="shop",
    name="shop",
    project="shop",
    host="shop.example.com",
    class_name="nginx",
    backend="shop",
    port=80,
    tls_secret="shop-tls",
)
CHILD = ProjectChild(
    child_kind="JenkinsSettings",
    namespace=TEAM,
    name="shop",
    owner_uid="uid-of-shop",
    spec={"git": {"url": "https://git.example.com/shop.git"}, "scriptPath": "ci/Jenkinsfile"},
)


def labels(environment: str, project: str = "shop") -> dict[str, str]:
    return {"freeleaps.com/project": project, "freeleaps.com/environment": environment}


# Namespaces


@pytest.mark.parametrize("resource", [PRODUCTION, PREVIEW])
async def test_an_absent_namespace_is_made_with_label_and_mark(resource: DestinationNamespace) -> None:
    hand = Hand()
    assert (await hand.bring(resource)).ready
    made = hand.out.kubernetes.see(NAMESPACE, None, resource.name)
    assert made is not None
    assert made["metadata"]["labels"]["freeleaps.com/project"] == "shop"
    assert made["metadata"]["annotations"][MARK] == ME


async def test_productions_namespace_is_used_as_it_is_and_never_removed() -> None:
    hand = Hand()
    hand.out.namespace("shop", labels={"team": "a"})
    assert (await hand.bring(PRODUCTION)).ready
    await hand.remove()
    there = hand.out.kubernetes.see(NAMESPACE, None, "shop")
    assert there is not None
    assert there["metadata"]["labels"] == {"team": "a"}
    assert hand.out.kubernetes.writes == []


async def test_productions_namespace_is_not_removed_even_when_we_made_it() -> None:
    hand = Hand()
    await hand.bring(PRODUCTION)
    await hand.remove()
    assert hand.out.kubernetes.see(NAMESPACE, None, "shop") is not None


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"annotations": {MARK: ME}},
        {"labels": {"freeleaps.com/project": "shop"}},
        {"labels": {"freeleaps.com/project": "shop"}, "annotations": {MARK: OTHER}},
        {"labels": {"freeleaps.com/project": "other"}, "annotations": {MARK: ME}},
        {"labels": {"freeleaps.com/project": "shop"}, "annotations": {MARK: ME}},
        {"labels": labels("production"), "annotations": {MARK: ME}},
        {"labels": labels("pr-8"), "annotations": {MARK: ME}},
    ],
)
async def test_a_previews_namespace_without_our_label_and_mark_is_a_conflict_and_stays(metadata: Any) -> None:
    hand = Hand()
    hand.out.namespace("shop-pr-7", **metadata)
    outcome = await hand.bring(PREVIEW)
    assert hand.reason(outcome) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is not None
    assert hand.out.kubernetes.writes == []


@pytest.mark.parametrize("adoption", [Adoption.IF_UNOWNED, Adoption.ALWAYS])
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": labels("pr-7")},
        {"annotations": {MARK: ME}},
        {"annotations": {MARK: OTHER}},
        {"labels": {"freeleaps.com/project": "shop"}, "annotations": {MARK: ME}},
        {"labels": labels("pr-8"), "annotations": {MARK: ME}},
        {"labels": labels("production"), "annotations": {MARK: ME}},
        {"labels": labels("production", "other"), "annotations": {MARK: OTHER}},
    ],
)
async def test_a_preview_takes_no_namespace_over_that_no_preview_of_a_project_here_made(
    metadata: Any, adoption: Adoption
) -> None:
    hand = Hand()
    hand.out.namespace("shop-pr-7", **metadata)
    outcome = await hand.bring(PREVIEW, policy(adoption=adoption))
    assert hand.reason(outcome) == "OwnershipConflict"
    assert "name" in hand.message(outcome)
    assert "set adoption" not in hand.message(outcome)
    await hand.remove()
    assert hand.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is not None
    assert hand.out.kubernetes.writes == []


async def test_what_a_preview_in_another_cluster_has_is_never_taken() -> None:
    hand = Hand()
    hand.out.namespace("shop-pr-7", labels=labels("pr-7", "other"), annotations={MARK: STRANGER})
    outcome = await hand.bring(PREVIEW, policy(adoption=Adoption.ALWAYS))
    assert hand.reason(outcome) == "OwnershipConflict"
    assert hand.out.kubernetes.writes == []


async def test_what_a_preview_of_a_project_that_is_gone_has_left_is_taken_over_on_request() -> None:
    hand = Hand()
    hand.out.namespace("shop-pr-7", labels=labels("pr-7"), annotations={MARK: OTHER})
    assert (await hand.bring(PREVIEW, policy(adoption=Adoption.ALWAYS))).ready
    there = hand.out.kubernetes.see(NAMESPACE, None, "shop-pr-7")
    assert there is not None
    assert there["metadata"]["annotations"] == {MARK: ME}


@pytest.mark.parametrize("adoption", Adoption)
async def test_a_previews_namespace_whose_creation_had_no_answer_is_known_as_ours_and_goes(adoption: Adoption) -> None:
    hand = Hand()
    lost = ExternalServiceError("time-out", service="kubernetes")
    hand.out.line.fail("kubernetes.create Namespace", lost, after_effect=True)
    assert (await hand.bring(PREVIEW, policy(adoption=adoption))).ready
    assert hand.out.line.count("kubernetes.create Namespace") == 1
    assert hand.out.line.count("kubernetes.merge_patch Namespace") == 0
    await hand.remove()
    assert hand.out.kubernetes.see(NAMESPACE, None, "shop-pr-7") is None


async def test_adoption_of_what_is_nobodys_takes_no_namespace_of_another_project() -> None:
    hand = Hand()
    hand.out.namespace("shop-pr-7", labels=labels("production", "other"), annotations={MARK: OTHER})
    outcome = await hand.bring(PREVIEW, policy(adoption=Adoption.IF_UNOWNED))
    assert hand.reason(outcome) == "OwnershipConflict"
    assert hand.out.kubernetes.writes == []


async def test_production_does_not_move_into_the_preview_of_another_project() -> None:
    hand = Hand()
    theirs = {"labels": labels("pr-7", "other"), "annotations": {MARK: OTHER}}
    hand.out.namespace("shop", **theirs)
    assert hand.reason(await hand.bring(PRODUCTION)) == "OwnershipConflict"
    assert hand.out.kubernetes.writes == []
    # Taken over on request, it is no preview's any more, which then leaves it.
    assert (await hand.bring(PRODUCTION, policy(adoption=Adoption.ALWAYS))).ready
    there = hand.out.kubernetes.see(NAMESPACE, None, "shop")
    assert there is not None
    assert there["metadata"]["labels"] == labels("production")


async def test_a_previews_namespace_goes_by_uid_and_its_end_is_waited_for() -> None:
    hand = Hand()
    await hand.bring(PREVIEW)
    hand.out.kubernetes.slow_namespaces = True
    with pytest.raises(AssertionError, match="emptying"):
        await hand.remove(most=5)
    hand.out.kubernetes.finish_namespace("shop-pr-7")
    assert (await hand.remove()).ready


async def test_a_namespace_that_is_being_deleted_is_made_again_when_it_is_gone() -> None:
    hand = Hand()
    await hand.bring(PREVIEW)
    hand.out.kubernetes.slow_namespaces = True
    await hand.out.kubernetes.delete(NAMESPACE, None, "shop-pr-7")
    outcome = await hand.once(PREVIEW)
    assert outcome.results[0].after is not None
    assert outcome.results[0].after <= timedelta(seconds=5)
    hand.out.kubernetes.finish_namespace("shop-pr-7")
    hand.out.clock.advance(timedelta(seconds=5))
    assert (await hand.bring(PREVIEW)).ready


@pytest.mark.parametrize("resource", [PRODUCTION, PREVIEW])
async def test_a_namespace_that_another_object_makes_at_the_same_moment_is_no_failure(
    resource: DestinationNamespace,
) -> None:
    hand = Hand()
    metadata = {"labels": labels(resource.environment), "annotations": {MARK: ME}}

    def race(name: str) -> None:
        if name == "kubernetes.create Namespace":
            hand.out.line.before = None
            hand.out.namespace(resource.name, **metadata)

    hand.out.line.before = race
    assert (await hand.bring(resource)).ready


# Ingress


async def test_an_ingress_is_made_marked_repaired_and_removed() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    assert (await hand.bring(ROUTE)).ready
    made = hand.out.kubernetes.see(INGRESS, "shop", "shop")
    assert made is not None
    assert made["metadata"]["annotations"][MARK] == ME
    assert made["spec"]["ingressClassName"] == "nginx"
    hand.out.kubernetes.change(INGRESS, "shop", "shop", {"spec": {"rules": []}})
    assert (await hand.see(ROUTE)).drift == ("rules",)
    assert (await hand.bring(ROUTE)).ready
    await hand.remove()
    assert hand.out.kubernetes.see(INGRESS, "shop", "shop") is None


async def test_foreign_annotations_and_fields_of_an_ingress_stay() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    await hand.bring(ROUTE)
    theirs = {"metadata": {"annotations": {"cert-manager.io/issuer": "le"}}, "spec": {"defaultBackend": {"x": 1}}}
    hand.out.kubernetes.change(INGRESS, "shop", "shop", theirs)
    await hand.bring(changed(ROUTE, port=8080))
    made = hand.out.kubernetes.see(INGRESS, "shop", "shop")
    assert made is not None
    assert made["metadata"]["annotations"]["cert-manager.io/issuer"] == "le"
    assert made["spec"]["defaultBackend"] == {"x": 1}
    assert made["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] == {"number": 8080}


async def test_tls_that_is_no_longer_wanted_is_taken_away() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    await hand.bring(ROUTE)
    assert (await hand.bring(changed(ROUTE, tls_secret=None))).ready
    made = hand.out.kubernetes.see(INGRESS, "shop", "shop")
    assert made is not None
    assert "tls" not in made["spec"]


async def test_a_foreign_ingress_is_a_conflict_and_stays() -> None:
    hand = Hand()
    hand.out.namespace("shop")
    hand.out.kubernetes.put(INGRESS, "shop", {"metadata": {"name": "shop"}, "spec": {"rules": []}})
    outcome = await hand.bring(ROUTE)
    assert hand.reason(outcome) == "OwnershipConflict"
    assert "adoption" in hand.message(outcome)
    await hand.remove()
    assert hand.out.kubernetes.writes == []


# Children


def make_ready(hand: Hand) -> None:
    there = hand.out.kubernetes.see(JENKINS_SETTINGS, TEAM, "shop")
    assert there is not None
    ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "all is well"}
    status = {"observedGeneration": there["metadata"]["generation"], "conditions": [ready]}
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"status": status})


async def test_a_child_is_owned_by_its_project_and_waited_for() -> None:
    hand = Hand()
    await hand.once(CHILD)
    there = hand.out.kubernetes.see(JENKINS_SETTINGS, TEAM, "shop")
    assert there is not None
    assert [(r["uid"], r["controller"]) for r in there["metadata"]["ownerReferences"]] == [("uid-of-shop", True)]
    assert not (await hand.once(CHILD)).ready
    make_ready(hand)
    assert (await hand.bring(CHILD)).ready


async def test_a_field_that_the_project_gives_up_is_taken_out_of_the_child() -> None:
    hand = Hand()
    await hand.once(CHILD)
    make_ready(hand)
    await hand.bring(CHILD)
    without = changed(CHILD, spec={"git": CHILD.spec["git"]})
    await hand.once(without)
    there = hand.out.kubernetes.see(JENKINS_SETTINGS, TEAM, "shop")
    assert there is not None
    assert "scriptPath" not in there["spec"]


async def test_a_child_keeps_what_the_api_server_has_filled_in() -> None:
    hand = Hand()
    await hand.once(CHILD)
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"spec": {"mode": "Apply"}})
    make_ready(hand)
    writes = len(hand.out.kubernetes.writes)
    assert (await hand.bring(CHILD)).ready
    assert hand.out.kubernetes.writes[writes:] == []


async def test_a_paused_child_counts_as_what_it_was_once_it_is_paused_by_its_present_spec() -> None:
    hand = Hand()
    await hand.once(CHILD)
    make_ready(hand)
    there = hand.out.kubernetes.see(JENKINS_SETTINGS, TEAM, "shop")
    assert there is not None
    ready, generation = there["status"]["conditions"], there["metadata"]["generation"]
    paused = {"type": "Suspended", "status": "True", "reason": "Paused", "observedGeneration": generation}
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"status": {"conditions": [*ready, paused]}})
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"spec": {"managementPolicies": []}})
    assert not (await hand.once(CHILD)).ready
    paused["observedGeneration"] = generation + 1
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"status": {"conditions": [*ready, paused]}})
    outcome = await hand.once(CHILD)
    assert (outcome.ready, hand.reason(outcome)) == (True, "Paused")


async def test_a_childs_failure_is_its_projects_with_the_same_reason() -> None:
    hand = Hand()
    await hand.once(CHILD)
    false = {"type": "Ready", "status": "False", "reason": "SecretNotFound", "message": "create it"}
    stalled = {"type": "Stalled", "status": "True", "reason": "SecretNotFound", "message": "create it"}
    status = {"observedGeneration": 1, "conditions": [false, stalled]}
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"status": status})
    outcome = await hand.once(CHILD)
    assert outcome.failure is not None
    assert (hand.reason(outcome), hand.message(outcome)) == ("SecretNotFound", "create it")


async def test_a_reason_of_another_version_of_the_operator_is_no_fault_of_ours() -> None:
    hand = Hand()
    await hand.once(CHILD)
    false = {"type": "Ready", "status": "False", "reason": "FromTheFuture", "message": "?"}
    stalled = {"type": "Stalled", "status": "True", "reason": "FromTheFuture", "message": "?"}
    status = {"observedGeneration": 1, "conditions": [false, stalled]}
    hand.out.kubernetes.change(JENKINS_SETTINGS, TEAM, "shop", {"status": status})
    outcome = await hand.once(CHILD)
    assert outcome.failure is not None
    assert hand.reason(outcome) != "InternalError"


async def test_a_child_that_is_somebody_elses_is_a_conflict_and_stays() -> None:
    hand = Hand()
    hand.out.kubernetes.put(JENKINS_SETTINGS, TEAM, {"metadata": {"name": "shop"}, "spec": {"git": {"url": "x"}}})
    outcome = await hand.bring(CHILD)
    assert hand.reason(outcome) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.kubernetes.writes == []
