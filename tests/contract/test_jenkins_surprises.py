"""Surprises of Jenkins that the client goes around: asked for without it, so that the stand-in keeps having them."""

from __future__ import annotations

import json

import aiohttp

from devops_reconciler.services.jenkins import UsernamePassword
from devops_reconciler.services.jenkins_xml import folder_xml, merge_pipeline
from standins.jenkins_model import StoredBuild

from .jenkins_target import FOLDER, JOB, JenkinsTarget, basic, pipeline

MULTIBRANCH = b"<org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject/>"
STORE = "/job/shop/credentials/store/folder/domain/_"


async def ask(target: JenkinsTarget, method: str, path: str, **options: object) -> aiohttp.ClientResponse:
    login = {"Authorization": basic(target.standin.username, target.standin.token)}
    return await target.send(method, path, headers=login, **options)


async def test_without_xml_an_empty_item_is_made_and_a_form_is_offered(jenkins: JenkinsTarget) -> None:
    mode = "com.cloudbees.hudson.plugins.folder.Folder"
    reply = await ask(jenkins, "POST", "/createItem?name=shop", data={"mode": mode})
    assert (reply.status, reply.headers["Location"]) == (302, f"{jenkins.standin.url}/job/shop/configure")
    item = await jenkins.client().item(FOLDER)
    assert item is not None
    assert (item.cls, item.description) == (mode, "")


async def test_the_older_way_of_deleting_redirects(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    assert (await ask(jenkins, "POST", "/job/shop/doDelete")).status == 302
    assert await client.item(FOLDER) is None


async def test_creating_has_no_location(jenkins: JenkinsTarget) -> None:
    await jenkins.with_folder()
    assert jenkins.standin.controls.calls[-1].status == 200
    reply = await jenkins.send(
        "POST",
        "/createItem?name=other",
        data=folder_xml(""),
        headers={
            "Authorization": basic(jenkins.standin.username, jenkins.standin.token),
            "Content-Type": "text/xml",
        },
    )
    assert (reply.status, "Location" in reply.headers) == (200, False)


async def test_a_multibranch_project_scans_without_a_queue_item(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    await client.create_item(FOLDER, "branches", MULTIBRANCH)
    reply = await ask(jenkins, "POST", "/job/shop/job/branches/build")
    assert reply.status == 302
    assert "/queue/item/" not in reply.headers["Location"]
    await ask(jenkins, "POST", "/job/shop/job/branches/disable")
    assert (await ask(jenkins, "POST", "/job/shop/job/branches/build")).status == 500


async def test_build_without_parameters_says_201_also_for_a_folded_item(jenkins: JenkinsTarget) -> None:
    jenkins.standin.queue.executors = 0
    await jenkins.with_job(pipeline(parameters=()))
    first = await ask(jenkins, "POST", "/job/shop/job/web/build")
    second = await ask(jenkins, "POST", "/job/shop/job/web/build")
    assert (first.status, second.status) == (201, 201)
    assert first.headers["Location"] == second.headers["Location"]


async def test_a_parameterized_job_does_not_take_a_plain_build(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    assert (await ask(jenkins, "POST", "/job/shop/job/web/build")).status == 400
    assert await client.queued(JOB) == []


async def test_that_a_job_is_not_parameterized_is_not_said_in_x_error(jenkins: JenkinsTarget) -> None:
    await jenkins.with_job(pipeline(parameters=()))
    reply = await ask(jenkins, "POST", "/job/shop/job/web/buildWithParameters")
    assert (reply.status, "X-Error" in reply.headers) == (400, False)
    assert "is not parameterized" in await reply.text()


async def test_a_missing_permission_is_named_in_headers(jenkins: JenkinsTarget) -> None:
    await jenkins.with_job()
    jenkins.standin.users["operator"].denied = {"hudson.model.Item.ExtendedRead"}
    reply = await ask(jenkins, "GET", "/job/shop/job/web/config.xml")
    assert reply.status == 403
    assert reply.headers["X-You-Are-Authenticated-As"] == "operator"
    assert reply.headers["X-Required-Permission"] == "hudson.model.Item.ExtendedRead"


async def test_secrets_in_a_config_are_encrypted_and_redacted_for_who_may_not_configure(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    config = await client.config(JOB)
    assert config is not None
    secret = b"<properties><org.example.Hook><secretToken>in-clear</secretToken></org.example.Hook>"
    await client.update_config(JOB, config.replace(b"<properties>", secret))
    stored = await client.config(JOB)
    assert stored is not None
    assert b"in-clear" not in stored
    assert b"<secretToken>{AQAA" in stored
    await client.update_config(JOB, merge_pipeline(stored, pipeline(description="Changed")))
    assert b"<secretToken>{AQAA" in (await client.config(JOB) or b"")
    jenkins.standin.users["operator"].denied = {"hudson.model.Item.Configure"}
    assert b"<secret-redacted" in (await client.config(JOB) or b"")


async def test_the_form_of_credentials_answers_200_whatever_happened(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    kind = "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl"
    fields = {"credentials": {"$class": kind, "scope": "GLOBAL", "id": "git", "username": "u", "password": "p"}}
    kinds = []
    for _ in range(2):
        reply = await ask(jenkins, "POST", f"{STORE}/createCredentials", data={"json": json.dumps(fields)})
        assert reply.status == 200
        kinds.append((await reply.json())["notificationType"])
    assert kinds == ["SUCCESS", "ERROR"]
    assert await client.credential(FOLDER, "git") is not None


async def test_a_credential_is_found_in_the_singular_only(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    await client.create_credential(FOLDER, UsernamePassword("git", "", "u", "p"))
    assert (await ask(jenkins, "GET", f"{STORE}/credential/git/config.xml")).status == 200
    assert (await ask(jenkins, "GET", f"{STORE}/credentials/git/config.xml")).status == 404
    system = STORE.replace("/store/folder/", "/store/system/")
    assert (await ask(jenkins, "GET", f"{system}/credential/git/config.xml")).status == 404


async def test_the_root_has_a_store_of_its_own(jenkins: JenkinsTarget) -> None:
    client = jenkins.client()
    await client.create_credential((), UsernamePassword("shared", "", "u", "p"))
    assert await client.credential((), "shared") is not None
    assert jenkins.standin.controls.calls[-1].path.startswith("/credentials/store/system/domain/_/")


async def test_without_a_tree_builds_are_numbers_and_addresses(jenkins: JenkinsTarget) -> None:
    await jenkins.with_job()
    job = jenkins.standin.find(JOB)
    assert job is not None
    now = jenkins.standin.clock.now()
    job.builds[1] = StoredBuild(JOB, 1, 1, {}, now, building=False, result="SUCCESS")
    shallow = await (await ask(jenkins, "GET", "/job/shop/job/web/api/json")).json()
    assert set(shallow["builds"][0]) == {"_class", "number", "url"}
    deep = await (await ask(jenkins, "GET", "/job/shop/job/web/api/json?tree=builds[number,result]{0,1}")).json()
    assert set(deep) == {"_class", "builds"}
    assert set(deep["builds"][0]) == {"_class", "number", "result"}
