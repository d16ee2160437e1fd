"""What no spec gets: what no preview made, an Argo CD project with more rights, another tenant's namespace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.names import mark
from devops_reconciler.services.godaddy_types import Record
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS, INGRESS_RESOURCE, NAMESPACE, SECRET
from devops_reconciler.services.txt_registry import Ownership
from tests.unit.world import CLUSTER, TEAM

from .life import HOST, Life, run

MARK = "freeleaps.com/mark"
TAKING = ("IfUnowned", "Always")
OTHER_CLUSTER = "freeleaps:ffffffff:" + "0" * 24
CLUSTER_RIGHTS = [{"group": "*", "kind": "*"}]
TEAMS = (TEAM, "team-b")
THEIRS = mark(CLUSTER, "team-b", "uid-of-theirs")


async def passes(life: Life, *kinds: str, count: int = 6) -> None:
    for _ in range(count):
        for kind in ("DevOpsProject", *kinds):
            await life.turn("shop", kind)
        life.out.clock.advance(timedelta(seconds=5))


def stalled(life: Life, kind: str) -> str:
    found = life.condition("shop", "Stalled", kind)
    return "" if found is None else f"{found['status']}/{found['reason']}: {found['message']}"


# A namespace that is there


@pytest.mark.parametrize("adoption", TAKING)
async def test_no_preview_takes_a_namespace_that_no_preview_made(adoption: str) -> None:
    life = Life()
    life.project("cert", ingress={"host": "cert.example.com"}, adoption=adoption)
    life.set_up("cert")
    life.out.namespace("cert-manager", labels={"theirs": "x"})
    life.out.kubernetes.put(SECRET, "cert-manager", {"metadata": {"name": "authority"}})
    before = life.out.kubernetes.see(NAMESPACE, None, "cert-manager")
    life.record("one", "cert", environment="manager", ttl="1h")
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    said = (life.condition("one", "Finished") or {})["message"]
    assert "cert-manager" in said
    assert "another name" in said
    assert "set adoption" not in said
    await life.expire("one")
    assert life.out.kubernetes.see(NAMESPACE, None, "cert-manager") == before
    assert life.out.kubernetes.see(SECRET, "cert-manager", "authority") is not None
    assert not [write for write in life.out.kubernetes.writes if write[2] in ("cert-manager", "authority")]


@pytest.mark.parametrize("adoption", TAKING)
async def test_nor_an_application_that_no_preview_made(adoption: str) -> None:
    life = Life()
    life.project("cert", ingress={"host": "cert.example.com"}, adoption=adoption)
    life.set_up("cert")
    spec = {"project": "infra", "source": {"repoURL": "https://x.test"}, "destination": {"namespace": "infra"}}
    life.out.argocd.apps["cert-manager"] = {"metadata": {"name": "cert-manager"}, "spec": spec}
    life.record("one", "cert", environment="manager", ttl="1h")
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    await life.expire("one")
    assert life.out.argocd.apps["cert-manager"] == {"metadata": {"name": "cert-manager"}, "spec": spec}


# The Argo CD project


@pytest.mark.parametrize("adoption", ["Never", *TAKING])
@pytest.mark.parametrize(
    ("name", "spec", "what"),
    [
        ("default", {"sourceRepos": ["*"], "clusterResourceWhitelist": CLUSTER_RIGHTS}, "Argo CD's own"),
        ("default", {}, "Argo CD's own"),
        ("wide", {"sourceRepos": ["*"], "clusterResourceWhitelist": CLUSTER_RIGHTS}, "clusterResourceWhitelist"),
        ("wide", {"roles": [{"name": "admin"}], "sourceNamespaces": ["x"]}, "roles, sourceNamespaces"),
        ("wide", {"ofTheFuture": True}, "ofTheFuture"),
    ],
)
async def test_no_argo_project_with_more_rights_is_taken(
    name: str, spec: dict[str, Any], what: str, adoption: str
) -> None:
    life = Life()
    there = {"metadata": {"name": name}, "spec": spec}
    life.out.argocd.app_projects[name] = there
    life.project(argo={"project": name}, adoption=adoption)
    await passes(life, "ArgoSettings", "JenkinsSettings")
    said = stalled(life, "ArgoSettings")
    assert said.startswith("True/OwnershipConflict")
    assert what in said
    assert "set adoption" not in said
    assert life.out.argocd.app_projects == {name: {"metadata": {"name": name}, "spec": spec}}
    assert life.out.argocd.apps == {}


async def test_a_preview_that_is_under_way_gets_no_application_in_a_project_that_is_not_its_own() -> None:
    """The spec is changed once the deployment has begun, when it no longer waits for what the project has set up."""
    life = Life()
    life.project()
    life.set_up()
    rights = {"sourceRepos": ["*"], "clusterResourceWhitelist": CLUSTER_RIGHTS}
    life.out.argocd.app_projects["default"] = {"metadata": {"name": "default"}, "spec": rights}
    life.record("one", environment="pr-7", ttl="1h")
    while not any(entry.get("attempts") for entry in life.status("one").get("applied", ())):
        await life.turn("one")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": {"project": "default"}}})
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    assert "shop-pr-7" not in life.out.argocd.apps


# A mark of another installation


@pytest.mark.parametrize("namespaces", [(TEAM,), TEAMS])
@pytest.mark.parametrize(
    ("owner", "resource"), [("external", "ingress/x/y"), ("external", OTHER_CLUSTER), ("owner-1", OTHER_CLUSTER)]
)
async def test_always_takes_no_dns_record_of_another_installation(
    namespaces: tuple[str, ...], owner: str, resource: str
) -> None:
    life = Life(reconciler_namespaces=namespaces)
    text = Ownership(owner=owner, resource=resource).value()
    records = [Record("A", "shop", "198.51.100.9", 600), Record("TXT", "a-shop", text, 600)]
    life.out.godaddy.zones["example.com"] += records
    life.project(adoption="Always")
    await passes(life, "IngressResource")
    said = stalled(life, "IngressResource")
    assert said.startswith("True/OwnershipConflict")
    assert "another installation" in said
    assert life.out.godaddy.zones["example.com"] == records
    assert life.out.kubernetes.see(INGRESS, "shop", "shop") is None


@pytest.mark.parametrize("namespaces", [(TEAM,), TEAMS])
async def test_nor_anything_else(namespaces: tuple[str, ...]) -> None:
    life = Life(reconciler_namespaces=namespaces)
    life.out.hub.add("acme", "shop", f"theirs ({OTHER_CLUSTER})")
    life.project(adoption="Always")
    await passes(life, "RegistrySettings")
    said = stalled(life, "RegistrySettings")
    assert said.startswith("True/OwnershipConflict")
    assert "RECONCILER_CLUSTER_ID" in said
    assert life.out.hub.held["acme/shop"].repository.description == f"theirs ({OTHER_CLUSTER})"


async def test_a_plan_says_that_it_would_not_be_taken() -> None:
    life = Life()
    life.out.hub.add("acme", "shop", f"theirs ({OTHER_CLUSTER})")
    life.project(adoption="Always", mode="Plan")
    await life.turn("shop", "DevOpsProject")
    (said,) = (c for c in life.status("shop", "DevOpsProject")["plan"] if c.get("kind") == "HubRepository")
    assert (said["action"], "another installation" in said["message"]) == ("Refused", True)


# Another tenant's namespace


def neighbours(
    owner: str | None = THEIRS,
    home: str | None = "team-b",
    namespaces: tuple[str, ...] = TEAMS,
    environment: str = "production",
    **spec: Any,
) -> Life:
    """Watched namespaces; `shop-api` is there, with a mark. Whose that is lives in `home`, or nowhere."""
    life = Life(reconciler_namespaces=namespaces)
    if home is not None:
        life.out.kubernetes.put(
            DEVOPS_PROJECT, home, {"metadata": {"name": "shop-api", "uid": "uid-of-theirs"}, "spec": {}}
        )
    labels = {"freeleaps.com/project": "shop-api", "freeleaps.com/environment": environment}
    marked = {} if owner is None else {"annotations": {MARK: owner}, "labels": labels}
    life.out.namespace("shop-api", **marked)
    life.out.secret("pull", {".dockerconfigjson": "{}"}, type="kubernetes.io/dockerconfigjson")
    life.project(**spec)
    return life


INTO = {"destination": {"namespace": "shop-api"}}


@pytest.mark.parametrize("adoption", ["Never", *TAKING])
@pytest.mark.parametrize("environment", ["production", "pr-7"])
async def test_nothing_goes_into_the_namespace_of_a_living_project_of_another_namespace(
    environment: str, adoption: str
) -> None:
    life = neighbours(environment=environment, argo=INTO, adoption=adoption)
    before = life.out.kubernetes.see(NAMESPACE, None, "shop-api")
    await passes(life, "IngressResource", "RegistrySettings", "JenkinsSettings", "ArgoSettings")
    for kind in ("IngressResource", "ArgoSettings"):
        said = stalled(life, kind)
        assert said.startswith("True/OwnershipConflict")
        assert "argo.destination" in said
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is None
    assert life.out.godaddy.zones["example.com"] == []
    assert life.out.argocd.apps == {}
    assert life.out.kubernetes.see(NAMESPACE, None, "shop-api") == before


async def test_an_ingress_of_its_own_publishes_nothing_of_another_tenant() -> None:
    life = neighbours()
    spec = {"host": HOST, "destination": {"namespace": "shop-api"}, "service": {"name": "vault", "port": 80}}
    metadata = {"name": "shop", "uid": "uid-of-lone", "finalizers": ["freeleaps.com/finalizer"]}
    life.out.kubernetes.put(
        INGRESS_RESOURCE, TEAM, {"metadata": metadata, "spec": spec, "status": {"observedGeneration": -1}}
    )
    for _ in range(4):
        await life.turn("shop", "IngressResource")
        life.out.clock.advance(timedelta(seconds=5))
    assert stalled(life, "IngressResource").startswith("True/OwnershipConflict")
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is None
    assert life.out.godaddy.zones["example.com"] == []


async def test_what_runs_moves_into_no_namespace_of_another_tenant() -> None:
    life = neighbours(registry={"pullSecretRef": {"name": "pull"}}, argo={"autoSync": True})
    life.set_up()
    life.record("one")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": INTO}})
    life.record("two")
    await passes(life, "ArgoSettings", "IngressResource")
    await life.live("two")
    assert life.reason("two") in ("True/OwnershipConflict", "True/DependencyNotReady")
    assert life.out.argocd.apps["shop"]["spec"]["destination"]["namespace"] == "shop"
    assert life.out.kubernetes.see(SECRET, "shop-api", "pull") is None
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is None
    assert life.out.kubernetes.see(INGRESS, "shop", "shop") is not None


async def test_a_deployment_under_way_copies_no_secret_into_it() -> None:
    life = neighbours(registry={"pullSecretRef": {"name": "pull"}})
    life.set_up()
    life.record("one")
    while not any(entry.get("attempts") for entry in life.status("one").get("applied", ())):
        await life.turn("one")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"argo": INTO}})
    await life.live("one")
    assert life.reason("one") == "True/OwnershipConflict"
    assert life.out.kubernetes.see(SECRET, "shop-api", "pull") is None
    assert life.out.argocd.syncs == []


@pytest.mark.parametrize(
    ("owner", "home"),
    [(THEIRS, None), (mark(CLUSTER, TEAM, "uid-of-theirs"), TEAM), (None, "team-b"), (OTHER_CLUSTER, "team-b")],
    ids=["of nobody alive", "of our own namespace", "unmarked", "of another cluster"],
)
def test_any_other_namespace_is_used_as_it_is(owner: str | None, home: str | None) -> None:
    life = neighbours(owner, home, argo=INTO)
    before = life.out.kubernetes.see(NAMESPACE, None, "shop-api")
    life.set_up()
    run(life.live("shop", kind="IngressResource"))
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is not None
    assert life.out.kubernetes.see(NAMESPACE, None, "shop-api") == before


def test_whose_a_namespace_is_is_read_once() -> None:
    life = neighbours(THEIRS, None, argo=INTO)
    life.set_up()
    mark = len(life.out.line.calls)
    for _ in range(3):
        life.out.clock.advance(timedelta(minutes=5))
        run(life.turn("shop", "IngressResource"))
    assert not [call for call in life.out.line.since(mark) if call.startswith("kubernetes.list")]


@pytest.mark.parametrize("namespaces", [("shut", *TEAMS), (*TEAMS, "shut")])
def test_a_namespace_that_refuses_us_leaves_alone_what_is_of_another(namespaces: tuple[str, ...]) -> None:
    ours = mark(CLUSTER, TEAM, "uid-of-theirs")
    life = neighbours(ours, TEAM, namespaces, argo=INTO)
    life.out.kubernetes.shut.add("shut")
    life.set_up()
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is not None


def test_whose_a_namespace_is_may_wait_for_one_that_refuses_us_and_is_no_failure() -> None:
    life = neighbours(THEIRS, None, ("shut", *TEAMS), argo=INTO)
    life.out.kubernetes.shut.add("shut")
    run(passes(life, "IngressResource"))
    assert stalled(life, "IngressResource") in ("", "False/Progressing: ")
    said = (life.condition("shop", "Ready", "IngressResource") or {})["message"]
    assert "watched namespaces refuse us: shut (forbidden in namespace shut)" in said
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is None
    life.out.kubernetes.shut.clear()
    life.set_up()
    assert life.out.kubernetes.see(INGRESS, "shop-api", "shop") is not None
