"""Jenkins: folder, credentials and job."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from devops_reconciler.api.base import Adoption
from devops_reconciler.resources.jenkins_credentials import JenkinsCredentials
from devops_reconciler.services.jenkins_types import UsernamePassword
from devops_reconciler.services.jenkins_xml import PipelineJob, folder_xml, pipeline_xml, read_pipeline
from tests.unit.world import ME, OTHER

from .hand import Hand, changed, policy
from .jenkins_shop import FOLDER, JOB, PATH, erase, with_job

CREDENTIALS = JenkinsCredentials(
    folder="shop", name="git", username="git", password=SecretStr("secret"), password_version="v1"
)


# Folder, credentials, job


async def test_a_folder_is_made_with_its_mark_and_removed() -> None:
    hand = Hand()
    assert (await hand.bring(FOLDER)).ready
    assert ME in hand.out.jenkins.folders[("shop",)]
    await hand.remove()
    assert hand.out.jenkins.folders == {}


async def test_a_folder_with_jobs_of_others_is_not_deleted_until_they_are_gone() -> None:
    hand = Hand()
    assert (await hand.bring(FOLDER)).ready
    hand.out.jenkins.configs[("shop", "nightly")] = folder_xml("The team's job")
    with pytest.raises(AssertionError, match=r"no end.*nightly"):
        await hand.remove()
    assert ("shop",) in hand.out.jenkins.folders
    assert ("shop", "nightly") in hand.out.jenkins.configs

    del hand.out.jenkins.configs[("shop", "nightly")]
    hand.out.clock.advance(timedelta(hours=1))
    await hand.remove()
    assert hand.out.jenkins.folders == {}


@pytest.mark.parametrize("description", ["", "The team's folder", f"Folder shop ({OTHER})"])
async def test_a_foreign_folder_is_a_conflict_and_stays(description: str) -> None:
    hand = Hand()
    hand.out.jenkins.folders[("shop",)] = description
    hand.out.jenkins.configs[("shop",)] = folder_xml(description)
    assert hand.reason(await hand.bring(FOLDER)) == "OwnershipConflict"
    await hand.remove()
    assert hand.out.jenkins.folders == {("shop",): description}


async def test_a_description_that_people_have_added_to_keeps_the_mark() -> None:
    hand = Hand()
    await hand.bring(FOLDER)
    hand.out.jenkins.folders[("shop",)] += " - ask Ann before deleting"
    writes = len(hand.out.line.calls)
    assert (await hand.bring(FOLDER)).ready
    assert hand.out.line.since(writes) == ["jenkins.item"]


async def test_an_unmarked_folder_is_taken_over_where_that_is_asked_for() -> None:
    hand = Hand()
    hand.out.jenkins.folders[("shop",)] = "mine"
    hand.out.jenkins.configs[("shop",)] = folder_xml("mine")
    assert (await hand.bring(FOLDER, policy(Adoption.IF_UNOWNED))).ready
    assert ME in hand.out.jenkins.folders[("shop",)]


def somebody_elses_folder(hand: Hand) -> None:
    hand.out.jenkins.folders[("shop",)] = "Platform team"
    hand.out.jenkins.configs[("shop",)] = folder_xml("Platform team")


KEY = UsernamePassword("prod-deploy-key", "prod", "root", "s3cret")


@pytest.mark.parametrize("adoption", [Adoption.IF_UNOWNED, Adoption.ALWAYS])
@pytest.mark.parametrize("inside", ["job nightly", "credential prod-deploy-key"])
async def test_an_unmarked_folder_with_what_others_have_in_it_is_taken_by_no_adoption(
    adoption: Adoption, inside: str
) -> None:
    hand = Hand()
    somebody_elses_folder(hand)
    kind, name = inside.split()
    if kind == "job":
        hand.out.jenkins.configs[("shop", name)] = folder_xml("The team's job")
    else:
        hand.out.jenkins.stored[("shop",), name] = KEY
    outcome = await hand.bring(FOLDER, policy(adoption))
    assert hand.reason(outcome) == "OwnershipConflict"
    assert name in hand.message(outcome)
    assert ME in hand.message(outcome), "what somebody who may configure it can put into it"
    await hand.remove()
    assert hand.out.jenkins.folders == {("shop",): "Platform team"}
    assert not [each for each in hand.out.line.calls if "update" in each or "delete" in each]


async def test_the_jobs_of_a_folder_are_asked_for_at_once_however_many_they_are() -> None:
    hand = Hand()
    somebody_elses_folder(hand)
    for number in range(300):
        hand.out.jenkins.configs["shop", f"job-{number}"] = folder_xml(f"The team's ({ME})" if number else "The team's")
    outcome = await hand.once(FOLDER, policy(Adoption.IF_UNOWNED))
    assert hand.reason(outcome) == "OwnershipConflict"
    assert "in it is what is not ours: job-0." in hand.message(outcome)
    assert hand.out.line.count("jenkins.*") == 3, "the folder, its jobs, its credentials"


async def test_a_folder_that_lost_its_mark_is_taken_back_with_what_is_ours_in_it() -> None:
    hand = await with_job()
    hand.out.jenkins.stored[("shop",), "git"] = replace(KEY, id="git", description=f"Credentials git ({ME})")
    hand.out.jenkins.folders[("shop",)] = "edited"
    assert (await hand.bring(FOLDER, policy(Adoption.IF_UNOWNED))).ready
    assert ME in hand.out.jenkins.folders[("shop",)]


async def test_at_rest_nobody_asks_for_what_is_in_a_folder() -> None:
    hand = Hand()
    await hand.bring(FOLDER, policy(Adoption.IF_UNOWNED))
    await hand.bring(FOLDER, policy(Adoption.IF_UNOWNED))
    assert hand.out.line.count("jenkins.credentials") == 0


async def test_a_folder_with_credentials_of_others_is_not_deleted_until_they_are_gone() -> None:
    hand = Hand()
    assert (await hand.bring(FOLDER)).ready
    hand.out.jenkins.stored[("shop",), KEY.id] = KEY
    with pytest.raises(AssertionError, match=r"no end.*credential prod-deploy-key"):
        await hand.remove()
    assert list(hand.out.jenkins.stored) == [(("shop",), KEY.id)]

    hand.out.jenkins.stored.clear()
    hand.out.clock.advance(timedelta(hours=1))
    await hand.remove()
    assert hand.out.jenkins.folders == {}


async def test_a_job_where_a_folder_should_be_is_refused_with_what_to_do() -> None:
    hand = Hand()
    job = PipelineJob(description="", git_url="x", credentials_id=None, script_path="J", parameters=())
    hand.out.jenkins.configs[("shop",)] = pipeline_xml(job)
    outcome = await hand.bring(FOLDER)
    assert hand.reason(outcome) == "OwnershipConflict"
    assert "jenkins.folder" in hand.message(outcome)


async def test_a_credential_is_written_again_when_its_password_changes() -> None:
    hand = Hand()
    assert (await hand.bring(CREDENTIALS)).ready
    writes = len(hand.out.line.calls)
    assert (await hand.bring(CREDENTIALS)).ready
    assert hand.out.line.since(writes) == ["jenkins.credential"]
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(changed(CREDENTIALS, password=SecretStr("new"), password_version="v2"))
    stored = hand.out.jenkins.stored[("shop",), "git"]
    assert (stored.password, ME in stored.description) == ("new", True)


async def test_a_changed_user_name_is_repaired() -> None:
    hand = Hand()
    await hand.bring(CREDENTIALS)
    await hand.out.jenkins.update_credential(("shop",), changed_user(hand))
    assert (await hand.see(CREDENTIALS)).drift == ("username",)
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(CREDENTIALS)
    assert hand.out.jenkins.stored[("shop",), "git"].username == "git"


def changed_user(hand: Hand) -> UsernamePassword:
    return replace(hand.out.jenkins.stored[("shop",), "git"], username="theirs")


async def test_a_foreign_credential_of_that_name_gets_no_password_of_ours() -> None:
    hand = Hand()
    await hand.bring(CREDENTIALS)
    there = replace(hand.out.jenkins.stored[("shop",), "git"], description="theirs", password="theirs")
    hand.out.jenkins.stored[("shop",), "git"] = there
    fresh = Hand(hand.out)
    assert fresh.reason(await fresh.bring(CREDENTIALS)) == "OwnershipConflict"
    await fresh.remove()
    assert hand.out.jenkins.stored[("shop",), "git"] == there


async def test_a_job_is_a_pipeline_of_the_revision_with_our_parameters() -> None:
    hand = await with_job()
    job = read_pipeline(hand.out.jenkins.configs[PATH])
    assert (job.git_url, job.credentials_id, job.script_path) == (JOB.git_url, "git", "Jenkinsfile")
    assert (job.branch, job.lightweight) == ("${GIT_REVISION}", False)
    names = [p.name for p in job.parameters]
    assert names == ["DEPLOYMENT_UID", "GIT_REVISION", "IMAGE_REPOSITORY", "IMAGE_TAG", "KEY"]


@pytest.mark.parametrize(
    "fields",
    [
        {"git_url": "https://git.example.com/x.git"},
        {"credentials_id": None},
        {"script_path": "ci/J"},
    ],
)
async def test_each_owned_field_of_a_job_is_repaired(fields: dict[str, str | None]) -> None:
    hand = Hand()
    await Hand(hand.out).bring(FOLDER)
    await hand.bring(changed(JOB, **fields))
    assert (await hand.see(JOB)).drift == tuple(fields)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(JOB)).ready
    assert (await hand.see(JOB)).drift == ()


async def test_what_others_have_put_into_the_job_survives_a_change() -> None:
    hand = Hand()
    await Hand(hand.out).bring(FOLDER)
    await hand.bring(JOB)
    theirs = b"<disabled>true</disabled></flow-definition>"
    hand.out.jenkins.configs[PATH] = hand.out.jenkins.configs[PATH].replace(b"</flow-definition>", theirs)
    hand.out.clock.advance(timedelta(minutes=1))
    await hand.bring(changed(JOB, script_path="ci/Jenkinsfile"))
    assert b"<disabled>true</disabled>" in hand.out.jenkins.configs[PATH]


async def test_erased_parameters_are_no_drift_of_the_job() -> None:
    hand = await with_job()
    erase(hand)
    assert (await hand.see(JOB)).drift == ()
