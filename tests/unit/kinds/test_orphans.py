"""Orphans: marked things that no resource owns are found, whatever is owned is not, and nothing is ever written."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, ValidationError
from devops_reconciler.api.names import mark
from devops_reconciler.cli.orphans import NONE, SOME, UNREAD, as_object, as_text, check_ledgers, exit_code
from devops_reconciler.kinds import KINDS
from devops_reconciler.kinds.orphans import Report, find_orphans
from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, NAMESPACE, PEERING
from tests.unit.world import CLUSTER, ME, OTHER, STRANGER, TEAM

from .life import Life
from .test_force_delete import OPERATOR, REFUSED, child, force, passes

ALL = [what.kind for what in KINDS.values()]


def report_of(life: Life) -> Report:
    """What the command finds; it must not have written anything."""
    before = json.dumps([life.out.kubernetes.writes, sorted(life.out.hub.held), life.out.godaddy.zones], default=str)
    report = asyncio.run(find_orphans(life.out.world, ALL))
    after = json.dumps([life.out.kubernetes.writes, sorted(life.out.hub.held), life.out.godaddy.zones], default=str)
    assert before == after
    return report


def found(report: Report) -> dict[str, str]:
    return {f"{each.thing.kind} {each.thing.name or each.thing.id}": each.why for each in report.orphans}


def kept(report: Report) -> list[str]:
    return sorted(f"{each.thing.kind} {each.thing.id}" for each in report.things if each.state == "kept")


def story(**spec: Any) -> Life:
    """A project, production deployed, and a preview."""
    life = Life()
    life.out.namespace(OPERATOR)
    life.project(**spec)
    life.set_up()
    for name, environment in (("one", "production"), ("two", "pr-1")):
        life.record(name, environment=environment)
        asyncio.run(life.live(name))
    return life


def forget(life: Life, *kinds: str) -> None:
    """Resources that are taken away with their finalizers by hand."""
    for key in [key for key in life.out.kubernetes.objects if key[0] in kinds]:
        del life.out.kubernetes.objects[key]


def test_after_a_normal_story_there_are_none() -> None:
    life = story()
    report = report_of(life)
    assert found(report) == {}
    assert exit_code(report) == NONE
    held = {each.thing.kind for each in report.things if each.state == "held"}
    assert held == {
        "ArgoApplication",
        "ArgoProject",
        "ArgoRepository",
        "DnsRecord",
        "HubRepository",
        "Image",
        "IngressRoute",
        "JenkinsFolder",
        "JenkinsJob",
        "Namespace",
    }
    why = {each.thing.id: each.why for each in report.things}
    assert why["shop-pr-1"] == f"held by DeploymentRecord {TEAM}/two"


async def _delete_all(life: Life) -> None:
    life.out.kubernetes.mark_deleted(DEVOPS_PROJECT, TEAM, "shop")
    for _ in range(80):
        for kind, _, name in list(life.out.kubernetes.objects):
            there = life.out.kubernetes.see(KINDS[kind].kind, TEAM, name) if kind in KINDS else None
            if there is not None:
                await life.turn(name, kind)
        life.out.clock.advance(timedelta(seconds=5))


def test_after_a_deletion_only_what_stays_on_purpose_is_named_and_counts_as_none() -> None:
    life = story()
    asyncio.run(_delete_all(life))
    assert not [key for key in life.out.kubernetes.objects if key[0] in KINDS]
    report = report_of(life)
    assert found(report) == {}
    assert kept(report) == ["HubRepository acme/shop", "Namespace shop"]
    assert exit_code(report) == NONE


def test_what_is_left_when_the_resources_are_taken_away_by_force_is_found() -> None:
    life = story()
    forget(life, *KINDS)
    report = report_of(life)
    assert sorted(found(report)) == [
        "ArgoApplication shop",
        "ArgoApplication shop-pr-1",
        "ArgoProject shop",
        "ArgoRepository https://git.example.com/shop.git",
        "DnsRecord A shop-pr-1.example.com in zone example.com",
        "DnsRecord A shop.example.com in zone example.com",
        "IngressRoute shop-pr-1/shop-pr-1",
        "IngressRoute shop/shop",
        "JenkinsFolder shop",
        "JenkinsJob shop/shop",
        "Namespace shop-pr-1",
    ]
    assert exit_code(report) == SOME


def test_what_a_resource_has_forgotten_is_found_with_whose_it_is() -> None:
    life = story()
    life.out.kubernetes.objects["DeploymentRecord", TEAM, "two"]["status"]["applied"] = []
    report = report_of(life)
    assert set(found(report)) >= {"ArgoApplication shop-pr-1", "Namespace shop-pr-1"}
    said = found(report)["Namespace shop-pr-1"]
    assert f"the mark of DevOpsProject {TEAM}/shop" in said
    assert "its environment pr-1 is held by DeploymentRecord two" in said


def test_a_tag_that_no_record_knows_is_found_unless_an_environment_runs_its_image() -> None:
    life = story()
    life.out.hub.push("acme/shop", "0123456789ab-0123456789ab")
    life.out.hub.push("acme/shop", "v1.0")
    assert list(found(report_of(life))) == ["Image acme/shop:0123456789ab-0123456789ab"]
    forget(life, DEPLOYMENT_RECORD.kind)
    tags = [each for each in report_of(life).things if each.thing.kind == "Image" and each.state == "held"]
    assert {each.why for each in tags} == {
        f"DevOpsProject {TEAM}/shop runs it in production",
        f"DevOpsProject {TEAM}/shop runs it in pr-1",
    }


def test_the_mark_of_a_dns_record_is_found_when_the_record_itself_is_gone() -> None:
    life = story()
    value = f'"heritage=external-dns,external-dns/owner=owner-1,external-dns/resource={ME}"'
    life.out.godaddy.zones["example.com"].append(Record("TXT", "a-old", value, 600))
    assert list(found(report_of(life))) == ["DnsRecord TXT a-old.example.com in zone example.com"]


def test_things_of_other_clusters_and_owners_are_counted_and_not_listed() -> None:
    life = story()
    life.out.hub.add("acme", "theirs", f"Images ({STRANGER})")
    stranger_of_dns = f'"heritage=external-dns,external-dns/owner=owner-2,external-dns/resource={ME}"'
    life.out.godaddy.zones["example.com"].append(Record("TXT", "a-theirs", stranger_of_dns, 600))
    life.out.hub.add("acme", "nobodys", "without a mark")
    report = report_of(life)
    assert found(report) == {}
    assert report.others == {mark("cluster-2", "", "").split(":")[1]: 1, mark(CLUSTER, "", "").split(":")[1]: 1}
    assert "another cluster" in as_text(report, everything=False)


def test_a_repository_that_projects_share_belongs_to_any_of_them() -> None:
    life = story()
    life.out.argocd.repos[0]["name"] = OTHER
    assert found(report_of(life)) == {}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("jenkins.items", "jenkins"),
        ("argocd.projects", "argocd"),
        ("dockerhub._every", "dockerhub acme"),
        ("godaddy.zone_records", "godaddy example.com"),
        ("kubernetes.list Ingress", "kubernetes ingresses"),
    ],
)
def test_a_service_that_cannot_be_read_is_one_line_and_the_others_are_listed(call: str, name: str) -> None:
    life = story()
    forget(life, *KINDS)
    life.out.line.fail(call, ExternalServiceError("no answer", service="x"))
    report = report_of(life)
    assert report.failures == {name: "no answer"}
    assert len({each.thing.service for each in report.orphans}) >= 3
    assert exit_code(report) == UNREAD
    assert f"{name} could not be read: no answer" in as_text(report, everything=False)


def test_without_the_resources_nothing_is_called_an_orphan() -> None:
    life = story()
    life.out.line.fail("kubernetes.list JenkinsSettings", ExternalServiceError("no answer", service="kubernetes"))
    with pytest.raises(ExternalServiceError):
        report_of(life)
    life.out.kubernetes.objects["ArgoSettings", TEAM, "shop"]["status"]["applied"] = [{"step": 1}]
    with pytest.raises(ValidationError, match=rf"status.applied of ArgoSettings {TEAM}/shop cannot be read"):
        report_of(life)


def test_with_rights_on_the_watched_namespaces_alone_it_says_what_that_means() -> None:
    life = story()
    life.out.line.fail("kubernetes.list DevOpsProject", CredentialsError("forbidden", status=403))
    report = report_of(life)
    assert found(report) == {}
    assert f"listed in {TEAM} only" in report.notes[0]


def test_what_a_forced_deletion_has_let_go_is_shown_with_whether_it_is_gone_by_now() -> None:
    life = Life()
    life.out.namespace(OPERATOR)
    life.project(deletionPolicy="Delete", components={"registry": {"deletionPolicy": "Delete"}})
    life.set_up()
    life.out.line.fail("dockerhub.delete_repository", REFUSED, times=10_000)
    child(life, "RegistrySettings")
    force(life, "RegistrySettings")
    passes(life, "RegistrySettings", seconds=0.1)
    forget(life, "DevOpsProject", "JenkinsSettings", "ArgoSettings", "IngressResource")
    report = report_of(life)
    assert [(item.now, item.thing["id"]) for item in report.left] == [("there", "acme/shop")]
    assert found(report)["HubRepository acme/shop"] == f"let go by the forced deletion of RegistrySettings {TEAM}/shop"
    life.out.hub.held.clear()
    report = report_of(life)
    assert [item.now for item in report.left] == ["gone"]
    life.out.hub.add("acme", "shop", "somebody else's")
    assert [item.now for item in report_of(life).left] == ["not ours"]
    life.out.line.fail("dockerhub.repository", ExternalServiceError("no answer", service="dockerhub"))
    unknown = report_of(life)
    assert [(item.now, item.detail) for item in unknown.left] == [("unknown", "no answer")]
    assert unknown.found
    shown = as_object(unknown)["left_behind"][0]
    assert (shown["id"], shown["object"], shown["mark"]) == ("acme/shop", f"RegistrySettings {TEAM}/shop", ME)


def test_it_says_in_which_namespace_it_has_looked_for_ledgers() -> None:
    report = report_of(story())
    assert f"those in the namespace {OPERATOR}." in as_text(report, everything=False)
    assert as_object(report)["ledger_namespace"] == OPERATOR


def test_ledgers_of_an_operator_that_runs_in_another_namespace_count_as_not_read() -> None:
    life = story()
    report = report_of(life)
    assert exit_code(report) == NONE
    settings = life.out.world.settings.model_copy(update={"lease_duration": timedelta(0)})
    entry = {"priority": 1, "lifetime": 60, "lastseen": life.out.clock.now().isoformat()}
    metadata = {"name": settings.reconciler_peering_name}
    life.out.kubernetes.put(PEERING, TEAM, {"metadata": metadata, "status": {"one": entry}})
    asyncio.run(check_ledgers(report, life.out.world.kubernetes, settings, life.out.clock))
    assert exit_code(report) == UNREAD
    said = as_text(report, everything=False)
    assert f"ledgers of forced deletions could not be read: the Lease {OPERATOR}/devops-reconciler is not there" in said


def test_a_namespace_of_an_earlier_destination_stays_on_purpose() -> None:
    life = story()
    labels = {"freeleaps.com/project": "shop", "freeleaps.com/environment": "production"}
    metadata = {"name": "shop-before", "labels": labels, "annotations": {"freeleaps.com/mark": ME}}
    life.out.kubernetes.put(NAMESPACE, None, {"metadata": metadata})
    assert kept(report_of(life)) == ["Namespace shop-before"]
