"""Looks at what rests, where it is of things that are not ours to watch: Secrets, Git, Ingresses and namespaces."""

from __future__ import annotations

import pytest

from devops_reconciler.api.errors import CredentialsError
from devops_reconciler.api.names import mark
from devops_reconciler.services.kubernetes import DEVOPS_PROJECT, INGRESS, NAMESPACE
from tests.unit.kinds.life import Life
from tests.unit.world import CLUSTER, GIT_URL, TEAM

from .home import JENKINS, ROUTE, WHOSE, Home, at_rest, reads


async def test_a_secret_is_read_at_each_look_and_a_new_login_adopted_at_the_next() -> None:
    it = await at_rest(git={"url": GIT_URL, "credentialsRef": {"name": "git"}})
    assert reads(await it.poll(JENKINS)) == ["kubernetes.get Secret"]
    it.out.secret("git", {"username": "ann", "password": "git-2"}, annotations=WHOSE)
    await it.poll(JENKINS)
    assert {each.password for (_, name), each in it.out.jenkins.stored.items() if name == "git"} == {"git-2"}


async def test_a_new_project_file_that_a_look_finds_is_not_lost() -> None:
    it = await at_rest()
    it.out.git.commit(GIT_URL, "main", "f" * 40, b"jenkins: {scriptPath: ci/Jenkinsfile}\n")
    for _ in range(3):
        await it.poll(JENKINS)
    assert it.status(JENKINS)["projectFile"]["jenkins"]["scriptPath"] == "ci/Jenkinsfile"


def ingress_of(it: Home) -> tuple[str, str]:
    ((_, namespace, name),) = (key for key in it.out.kubernetes.objects if key[0] == INGRESS.kind)
    assert namespace is not None
    return namespace, name


async def test_one_list_of_ingresses_serves_all_within_the_poll_interval() -> None:
    it = await at_rest()
    await it.loop._run(ROUTE)
    mark = len(it.out.line.calls)
    for _ in range(4):
        await it.loop._run(ROUTE)
    assert reads(it.out.line.since(mark)) == []


@pytest.mark.parametrize("change", ["gone", "changed", "deleting"])
async def test_an_ingress_that_is_not_as_wanted_is_set_right(change: str) -> None:
    it = await at_rest()
    namespace, name = ingress_of(it)
    if change == "gone":
        it.out.kubernetes.remove(INGRESS, namespace, name)
    elif change == "changed":
        it.out.kubernetes.change(INGRESS, namespace, name, {"spec": {"ingressClassName": "theirs"}})
    else:
        it.out.kubernetes.mark_deleted(INGRESS, namespace, name)
    calls = await it.poll(ROUTE)
    assert calls.index("kubernetes.get IngressResource") < calls.index("kubernetes.get Ingress")
    if change == "deleting":
        assert it.life.reason("shop", "IngressReady", "IngressResource") != "True/Succeeded"
        return
    found = it.out.kubernetes.see(INGRESS, namespace, name)
    assert found is not None
    assert found["spec"]["ingressClassName"] == "nginx"


async def test_an_ingress_without_our_label_is_read_by_its_name() -> None:
    it = await at_rest()
    it.out.kubernetes.change(INGRESS, *ingress_of(it), {"metadata": {"labels": None}})
    assert "kubernetes.get Ingress" in await it.poll(ROUTE)
    assert it.life.reason("shop", "Ready", "IngressResource") == "True/Succeeded"


async def test_where_ingresses_may_not_be_listed_each_is_read_by_its_name() -> None:
    it = await at_rest()
    it.out.line.fail("kubernetes.list Ingress", CredentialsError("forbidden"), times=99)
    calls = [call for _ in range(12) for call in await it.poll(ROUTE)]
    assert calls.count("kubernetes.list Ingress") == 1
    assert calls.count("kubernetes.get Ingress") == 12
    assert calls.count("kubernetes.get Namespace") == 12


async def test_a_namespace_is_read_anew_when_what_was_in_it_is_another() -> None:
    it = await at_rest()
    await it.poll(ROUTE)
    namespace, name = ingress_of(it)
    there = it.out.kubernetes.see(INGRESS, namespace, name)
    assert there is not None
    it.out.kubernetes.finish_namespace(namespace)
    it.out.namespace(namespace)
    del there["metadata"]["uid"]
    it.out.kubernetes.put(INGRESS, namespace, there)
    calls = await it.poll(ROUTE)
    assert "kubernetes.get Namespace" in calls
    found = it.out.kubernetes.see(NAMESPACE, None, namespace)
    assert found is not None
    known = {entry["key"]: entry.get("external_id") for entry in it.status(ROUTE)["applied"]}
    assert known[namespace] == found["metadata"]["uid"]
    await it.poll(ROUTE)
    await it.poll(ROUTE)
    assert reads(await it.poll(ROUTE)) == ["kubernetes.list Ingress"]


@pytest.mark.parametrize("home", [TEAM, None], ids=["of a project beside it", "of nobody"])
async def test_whose_a_destination_is_that_others_have_marked_is_not_read_again(home: str | None) -> None:
    life = Life(reconciler_namespaces=("team-b", TEAM))
    if home is not None:
        life.out.kubernetes.put(DEVOPS_PROJECT, home, {"metadata": {"name": "theirs", "uid": "uid-of-theirs"}})
    theirs = mark(CLUSTER, TEAM, "uid-of-theirs")
    life.out.namespace("shop", annotations={"freeleaps.com/mark": theirs})
    it = await at_rest(life)
    assert life.out.line.count("kubernetes.list RegistrySettings") > 0, "it was read once"
    for _ in range(5):
        assert reads(await it.poll()) == ["kubernetes.list Ingress"]
