"""What the client of Jenkins assumes of folders, jobs and credentials."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from devops_reconciler.api.errors import ConflictError, CredentialsError, ExternalServiceError, ValidationError
from devops_reconciler.services.jenkins import (
    FOLDER_CLASS,
    PIPELINE_CLASS,
    Credential,
    CredentialEntry,
    UsernamePassword,
)
from devops_reconciler.services.jenkins_xml import (
    Parameter,
    differences,
    folder_xml,
    merge_pipeline,
    pipeline_xml,
    read_description,
    read_pipeline,
    with_description,
)
from standins.jenkins_model import StoredCredential

from .jenkins_target import FOLDER, JOB, JenkinsTarget, basic, pipeline

XML = {"Content-Type": "application/xml"}


async def test_what_is_absent_is_none(jenkins: JenkinsTarget) -> None:
    client = jenkins.client()
    assert await client.item(FOLDER) is None
    assert await client.config(JOB) is None
    assert await client.credential(FOLDER, "git") is None
    assert await client.builds(JOB) == []
    assert await client.queue_item(99) is None
    await client.delete_item(FOLDER)
    await client.delete_credential(FOLDER, "git")
    await client.cancel_queued(99)


async def test_a_folder_is_made_in_a_folder(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    await client.create_item(FOLDER, "inner", folder_xml("Deep"))
    await client.create_item(("shop", "inner"), "web", pipeline_xml(pipeline()))
    item = await client.item(("shop", "inner", "web"))
    assert item is not None
    assert (item.name, item.cls, item.description) == ("web", PIPELINE_CLASS, "The shop")
    assert item.url.endswith("/job/shop/job/inner/job/web/")
    inner = await client.item(("shop", "inner"))
    assert inner is not None
    assert (inner.cls, inner.description) == (FOLDER_CLASS, "Deep")


async def test_the_root_is_an_item(jenkins: JenkinsTarget) -> None:
    root = await jenkins.client().item(())
    assert root is not None
    assert root.cls == "hudson.model.Hudson"


async def test_a_name_that_exists_is_a_conflict(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    with pytest.raises(ConflictError, match="A job already exists with the name ‘shop’"):
        await client.create_item((), "shop", folder_xml(""))


@pytest.mark.parametrize("name", ["a/b", "what?", "a:b", "tab\there", "dot.", "a%b", "[x]"])
async def test_a_name_with_a_bad_character_is_refused_with_the_reason(jenkins: JenkinsTarget, name: str) -> None:
    with pytest.raises(ValidationError, match=r"unsafe character|control characters|cannot end"):
        await jenkins.client().create_item((), name, folder_xml(""))


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_would_change_the_path_is_never_sent(jenkins: JenkinsTarget, name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a name"):
        await jenkins.client().item(("shop", name))
    assert jenkins.standin.controls.calls == []


async def test_create_checks_the_content_type_before_the_name(jenkins: JenkinsTarget) -> None:
    account = jenkins.standin
    options = {
        "headers": {"Authorization": basic(account.username, account.token)},
        "skip_auto_headers": ["Content-Type"],
    }
    reply = await jenkins.send("POST", "/createItem", **options)
    assert (reply.status, "No Content-Type header set" in await reply.text()) == (400, True)
    options["headers"] = {**XML, "Authorization": basic(account.username, account.token)}
    reply = await jenkins.send("POST", "/createItem", **options)
    assert (reply.status, reply.headers["X-Error"]) == (400, "Query parameter 'name' is required")


async def test_xml_that_cannot_be_read_is_an_error_of_jenkins(jenkins: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="500"):
        await jenkins.client().create_item((), "shop", b"<flow-definition>")
    assert await jenkins.client().item(FOLDER) is None


async def test_a_byte_order_mark_is_an_error_of_jenkins(jenkins: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="500"):
        await jenkins.client().create_item((), "shop", b"\xef\xbb\xbf" + folder_xml(""))


async def test_creating_in_a_folder_that_is_gone_is_told_from_a_refusal(jenkins: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="the folder shop is absent") as caught:
        await jenkins.client().create_item(FOLDER, "web", pipeline_xml(pipeline()))
    assert not caught.value.maybe_applied


async def test_the_config_never_equals_what_was_sent_but_its_owned_fields_do(jenkins: JenkinsTarget) -> None:
    job = pipeline(parameters=(Parameter("A", "1", "first"), Parameter("B", " <&>\"' ", "")))
    client = await jenkins.with_job(job)
    config = await client.config(JOB)
    assert config is not None
    assert config != pipeline_xml(job)
    assert config.startswith(b"<?xml version='1.1'")
    assert b'plugin="git@' in config
    assert read_pipeline(config) == job
    assert differences(read_pipeline(config), job) == ()


async def test_a_change_touches_owned_fields_only(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    config = await client.config(JOB)
    assert config is not None
    foreign = config.replace(b"<triggers />", b"<triggers><hudson.triggers.TimerTrigger/></triggers>")
    await client.update_config(JOB, foreign)
    changed = replace(pipeline(), git_url="https://git.example.com/moved.git", description="Grüße ✓")
    current = await client.config(JOB)
    assert current is not None
    assert differences(read_pipeline(current), changed) == ("description", "git_url")
    await client.update_config(JOB, merge_pipeline(current, changed))
    after = await client.config(JOB)
    assert after is not None
    assert differences(read_pipeline(after), changed) == ()
    assert b"hudson.triggers.TimerTrigger" in after


async def test_texts_survive_in_both_ways_of_writing_a_config(jenkins: JenkinsTarget) -> None:
    text = "Grüße ✓ 🚀 <b>&amp;</b> \"quoted\" 'single'\r\nsecond\tline"
    client = await jenkins.with_job(pipeline(description=text))
    created = await client.config(JOB)
    assert created is not None
    assert read_pipeline(created).description == text
    await client.update_config(JOB, with_description(created, text + "!"))
    updated = await client.config(JOB)
    assert updated is not None
    assert read_description(updated) == text + "!"


async def test_a_config_without_charset_would_be_garbled(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    account = jenkins.standin
    headers = {"Authorization": basic(account.username, account.token), **XML}
    reply = await jenkins.send(
        "POST", "/job/shop/job/web/config.xml", data=pipeline_xml(pipeline(description="Grüße")), headers=headers
    )
    assert reply.status == 200
    config = await client.config(JOB)
    assert config is not None
    assert read_pipeline(config).description == "GrÃ¼Ã\x9fe"


async def test_a_config_of_another_class_is_an_error_of_jenkins(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    with pytest.raises(ExternalServiceError, match="500"):
        await client.update_config(JOB, folder_xml(""))


async def test_updating_what_is_absent_is_an_error_not_a_creation(jenkins: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="shop is absent"):
        await jenkins.client().update_config(FOLDER, folder_xml(""))


async def test_a_folder_names_what_is_in_it(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    full = await client.item(FOLDER)
    assert full is not None
    assert full.children == (JOB[-1],)
    await client.delete_item(JOB)
    empty = await client.item(FOLDER)
    assert empty is not None
    assert empty.children == ()


async def test_what_is_in_a_folder_comes_with_its_descriptions_in_one_answer(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    await client.create_item(FOLDER, "nightly", pipeline_xml(pipeline(description="")))
    await client.create_item(FOLDER, "inner", folder_xml("The team's"))
    await client.create_item((*FOLDER, "inner"), "deep", pipeline_xml(pipeline()))
    before = len(jenkins.standin.controls.calls)
    assert await client.descriptions(FOLDER) == {"web": "The shop", "nightly": "", "inner": "The team's"}
    assert len(jenkins.standin.controls.calls) == before + 1
    assert await client.descriptions((*FOLDER, "inner")) == {"deep": "The shop"}
    with pytest.raises(ExternalServiceError, match="the folder other is absent"):
        await client.descriptions(("other",))


async def test_a_folder_is_deleted_with_what_is_in_it(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    await client.delete_item(FOLDER)
    assert await client.item(FOLDER) is None
    assert await client.item(JOB) is None
    assert jenkins.standin.items == {}


async def test_the_job_of_a_branch_is_encoded_twice(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    folder = jenkins.standin.find(FOLDER)
    assert folder is not None
    branch = type(folder)((*FOLDER, "feature%2Fx"), folder.config)
    folder.children["feature%2Fx"] = branch
    item = await client.item(("shop", "feature%2Fx"))
    assert item is not None
    assert item.name == "feature%2Fx"
    assert jenkins.standin.controls.calls[-1].path == "/job/shop/job/feature%252Fx/api/json"
    reply = await jenkins.get("/job/shop/job/feature%2Fx/api/json")
    assert reply.status == 400


async def test_a_credential_is_made_read_changed_and_deleted(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    await client.create_credential(FOLDER, UsernamePassword("git", "Our mark", "reader", "s3cr<t>&"))
    found = await client.credential(FOLDER, "git")
    cls = "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl"
    assert found == Credential("git", cls, "Our mark", "reader")
    assert jenkins.standin.credentials_of(FOLDER)["git"].secret == "s3cr<t>&"
    await client.update_credential(FOLDER, UsernamePassword("git", "Our mark", "other", "new"))
    assert jenkins.standin.credentials_of(FOLDER)["git"].secret == "new"
    await client.delete_credential(FOLDER, "git")
    assert await client.credential(FOLDER, "git") is None


async def test_all_credentials_of_a_folder_are_listed_in_whatever_domain_and_of_whatever_kind(
    jenkins: JenkinsTarget,
) -> None:
    client = await jenkins.with_folder()
    assert await client.credentials(FOLDER) == []
    await client.create_credential(FOLDER, UsernamePassword("git", "Our mark", "reader", "s3cret"))
    folder = jenkins.standin.items[FOLDER]
    config = ET.Element("org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl")
    ET.SubElement(config, "id").text = "deploy-key"
    folder.domains["github.com"] = {"deploy-key": StoredCredential(config)}
    assert await client.credentials(FOLDER) == [CredentialEntry("git", "Our mark"), CredentialEntry("deploy-key", "")]
    url = jenkins.standin.controls.calls[-1].path
    assert url.endswith("/job/shop/credentials/store/folder/api/json")


async def test_a_store_that_cannot_be_seen_is_not_an_empty_one(jenkins: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="credentials store of shop is absent"):
        await jenkins.client().credentials(FOLDER)


async def test_the_secret_of_a_credential_is_never_given_back(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    await client.create_credential(FOLDER, UsernamePassword("git", "", "reader", "hidden-value"))
    account = jenkins.standin
    reply = await jenkins.get(
        "/job/shop/credentials/store/folder/domain/_/credential/git/config.xml",
        headers={"Authorization": basic(account.username, account.token)},
    )
    assert "secret-redacted" in await reply.text()
    assert "hidden-value" not in await reply.text()


async def test_a_credential_that_exists_is_a_conflict(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_folder()
    await client.create_credential(FOLDER, UsernamePassword("git", "", "a", "b"))
    with pytest.raises(ConflictError, match="409"):
        await client.create_credential(FOLDER, UsernamePassword("git", "", "c", "d"))


async def test_a_credential_of_an_absent_folder_is_told(jenkins: JenkinsTarget) -> None:
    with pytest.raises(ExternalServiceError, match="credentials store of shop is absent"):
        await jenkins.client().create_credential(FOLDER, UsernamePassword("git", "", "a", "b"))
    client = await jenkins.with_folder()
    with pytest.raises(ExternalServiceError, match="credential git of shop is absent"):
        await client.update_credential(FOLDER, UsernamePassword("git", "", "a", "b"))


async def test_a_missing_permission_is_named_and_is_not_an_absence(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    jenkins.standin.users[jenkins.standin.username].denied = {"hudson.model.Item.Configure", "hudson.model.Item.Delete"}
    with pytest.raises(CredentialsError, match="403"):
        await client.update_config(JOB, pipeline_xml(pipeline()))
    with pytest.raises(CredentialsError, match="403"):
        await client.delete_item(JOB)
    assert await client.item(JOB) is not None


async def test_what_may_not_be_read_looks_absent(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    jenkins.standin.users[jenkins.standin.username].denied = {"hudson.model.Item.Read"}
    assert await client.item(JOB) is None


async def test_the_list_has_every_folder_and_job_with_its_description(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    await client.create_item((), "other", folder_xml("Another"))
    listed = {path: (item.cls, item.description) for path, item in await client.items()}
    assert listed == {
        FOLDER: (FOLDER_CLASS, "Made by a test"),
        JOB: (PIPELINE_CLASS, "The shop"),
        ("other",): (FOLDER_CLASS, "Another"),
    }


async def test_the_list_of_an_empty_jenkins_is_empty_and_a_refused_login_is_no_list(jenkins: JenkinsTarget) -> None:
    assert await jenkins.client().items() == []
    jenkins.account[1] = "wrong"
    with pytest.raises(CredentialsError):
        await jenkins.client().items()
