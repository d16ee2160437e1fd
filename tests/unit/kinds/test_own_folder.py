"""A deployment takes its manifests from the folder that `.freeleaps.yaml` of its own commit names."""

from __future__ import annotations

from typing import Any

import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD
from tests.unit.world import GIT_URL, TEAM

from .life import COMMIT, Life
from .test_edited_meanwhile import until
from .test_moved_manifests import NEW, OLD, commit_of, move, source
from .test_running_images import deploy, polls, running

READS = "git.read_file"
DRAFT = "d" * 40
"""A commit of another branch."""


def says(life: Life, commit: str, file: bytes | str, folder: str | None = None) -> None:
    """What the file of a commit says, and the one folder in which the commit has manifests."""
    body = file if isinstance(file, bytes) else f"argo: {{path: {file}}}".encode()
    life.out.git.files[GIT_URL, commit] = body
    life.out.argocd.folders[commit] = {folder or str(file)}


def moving() -> Life:
    """A project as JenkinsSettings knows it from before: its commits from the second on have moved the manifests."""
    life = Life()
    for commit in (COMMIT, commit_of(1)):
        says(life, commit, OLD)
    for number in range(2, 6):
        says(life, commit_of(number), NEW)
    life.project()
    life.set_up()
    return life


def known_folder(life: Life) -> str | None:
    """What JenkinsSettings has read last."""
    file = life.status("shop", "JenkinsSettings")["projectFile"]
    return (file.get("argo") or {}).get("path")


async def first(**spec: Any) -> Life:
    """One deployment from the old folder, and JenkinsSettings has read of that one."""
    life = moving()
    assert await deploy(life, "one", **spec) == "True/Succeeded"
    await polls(life)
    assert known_folder(life) == OLD
    return life


@pytest.mark.parametrize("environment", ["production", "pr-7"])
async def test_a_commit_that_moves_them_is_deployed_before_the_poll(environment: str) -> None:
    life = await first(environment=environment)
    application = "shop" if environment == "production" else "shop-pr-7"
    assert await deploy(life, "two", environment=environment) == "True/Succeeded"
    assert (source(life, application)["path"], source(life, application)["targetRevision"]) == (NEW, commit_of(2))
    assert known_folder(life) == OLD, "the poll has not been yet"
    for kind in ("ArgoSettings", "ArgoSettings", "DevOpsProject"):
        await life.turn("shop", kind)
    assert source(life, application)["path"] == NEW, "what runs is left alone"
    await polls(life)
    assert known_folder(life) == NEW
    assert source(life, application)["path"] == NEW
    assert life.reason("shop", "Ready", "ArgoSettings") == "True/Succeeded"


async def test_a_new_preview_is_made_with_its_commit_and_the_folder_of_it() -> None:
    life = await first()
    says(life, DRAFT, "draft")
    life.out.git.commit(GIT_URL, "feature", DRAFT)
    life.out.argocd.folders["main"] = {OLD}
    assert await deploy(life, "two", environment="pr-7", revision="feature") == "True/Succeeded"
    assert (source(life, "shop-pr-7")["path"], source(life, "shop-pr-7")["targetRevision"]) == ("draft", DRAFT)
    assert source(life)["path"] == OLD


async def test_an_older_commit_is_deployed_from_its_own_folder_after_the_poll() -> None:
    life = await first()
    assert await deploy(life, "two") == "True/Succeeded"
    await polls(life)
    assert await deploy(life, "three", revision=commit_of(1)) == "True/Succeeded"
    assert (source(life)["path"], source(life)["targetRevision"]) == (OLD, commit_of(1))


@pytest.mark.parametrize("file", [None, b"jenkins: {scriptPath: ci/Jenkinsfile}"])
async def test_a_commit_that_names_no_folder_has_them_at_its_root(file: bytes | None) -> None:
    life = await first()
    life.out.argocd.folders[commit_of(2)] = {"."}
    del life.out.git.files[GIT_URL, commit_of(2)]
    if file is not None:
        life.out.git.files[GIT_URL, commit_of(2)] = file
    assert await deploy(life, "two") == "True/Succeeded"
    assert source(life)["path"] == "."


async def test_the_specs_folder_goes_before_and_the_file_is_not_read() -> None:
    life = await first()
    move(life, "said")
    life.out.argocd.folders[commit_of(2)] = {"said"}
    reads = life.out.line.count(READS)
    assert await deploy(life, "two") == "True/Succeeded"
    assert source(life)["path"] == "said"
    assert life.out.line.count(READS) == reads


async def test_a_folder_that_the_spec_names_meanwhile_goes_before_that_of_the_commit() -> None:
    life = await first()
    life.out.git.commit(GIT_URL, "main", commit_of(2))
    life.out.argocd.folders[commit_of(2)] = {"said"}
    life.record("two")
    await until(life, "build", "two")
    move(life, "said")
    await life.live("two", most=4000)
    assert life.reason("two") == "True/Succeeded"
    assert source(life)["path"] == "said"


async def test_of_manifests_in_a_repository_of_their_own_the_file_is_not_read() -> None:
    life = running(argo={"source": {"repoURL": "https://git.example.com/ops.git"}})
    reads = life.out.line.count(READS)
    assert await deploy(life, "one") == "True/Succeeded"
    assert "path" not in _revision(life, "one")["facts"]
    assert life.out.line.count(READS) == reads


async def test_a_rollback_goes_to_the_folder_of_its_record_and_reads_no_file() -> None:
    life = await first()
    assert await deploy(life, "two") == "True/Succeeded"
    says(life, commit_of(1), b"broken: [", OLD)
    reads = life.out.line.count(READS)
    assert await deploy(life, "back", rollbackTo="one") == "True/Succeeded"
    assert (source(life)["path"], source(life)["targetRevision"]) == (OLD, commit_of(1))
    assert life.out.line.count(READS) == reads


async def test_a_rollback_to_a_record_that_keeps_no_folder_takes_that_of_the_commit() -> None:
    life = await first()
    assert await deploy(life, "two") == "True/Succeeded"
    record = life.see("one")
    for entry in record["status"]["applied"]:
        if entry["step"] == "release":
            del entry["value"]["path"]
    life.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, record)
    assert await deploy(life, "back", rollbackTo="one") == "True/Succeeded"
    assert (source(life)["path"], source(life)["targetRevision"]) == (OLD, commit_of(1))


@pytest.mark.parametrize(
    ("file", "names"), [(b"argo: [", "line 1"), (b"argo: {path: ../up}", "argo.path"), (b"argo: text", "argo:")]
)
async def test_a_file_that_is_not_usable_fails_the_deployment_and_says_what_to_do(file: bytes, names: str) -> None:
    life = await first()
    says(life, commit_of(2), file, NEW)
    assert await deploy(life, "two") == "True/InvalidSpec"
    said = str((life.condition("two", "Finished") or {})["message"])
    for part in (f".freeleaps.yaml of {GIT_URL}", commit_of(2)[:12], names, "set argo.source.path"):
        assert part in said
    assert (life.status("two")["fault"], len(life.out.jenkins.triggers)) == ("User", 1)
    assert source(life)["path"] == OLD
    move(life, NEW)
    assert await deploy(life, "three", revision=commit_of(2)) == "True/Succeeded"


async def test_a_file_that_git_cannot_give_names_the_commit_and_what_to_do() -> None:
    life = await first()
    life.out.line.fail(READS, ValidationError("git: .freeleaps.yaml is longer than 65536 bytes; make it shorter"))
    assert await deploy(life, "two") == "True/InvalidSpec"
    said = str((life.condition("two", "Finished") or {})["message"])
    assert "longer than 65536 bytes" in said
    assert commit_of(2)[:12] in said
    assert "set argo.source.path" in said


async def test_what_the_file_says_wrongly_of_the_build_fails_no_deployment() -> None:
    life = await first()
    says(life, commit_of(2), b"{jenkins: {parameters: {PATH: /tmp}}, argo: {path: k8s}}", NEW)
    assert await deploy(life, "two") == "True/Succeeded"
    assert source(life)["path"] == NEW


async def test_git_that_is_away_while_the_file_is_read_is_asked_again() -> None:
    life = await first()
    life.out.line.fail(READS, ExternalServiceError("git: time-out", service="git"), times=3)
    assert await deploy(life, "two") == "True/Succeeded"
    assert source(life)["path"] == NEW
    assert _revision(life, "two")["facts"] == {"commit": commit_of(2), "path": NEW}


async def test_a_commit_that_an_older_operator_has_found_is_not_found_again() -> None:
    life = await first()
    life.out.git.commit(GIT_URL, "main", commit_of(2))
    life.out.argocd.folders[commit_of(2)] = {OLD}
    life.record("two")
    await until(life, "build", "two")
    record = life.see("two")
    entry = next(entry for entry in record["status"]["applied"] if entry["step"] == "revision")
    assert entry["value"] == {"url": GIT_URL, "revision": "main"}, "as an older operator keeps it"
    del entry["facts"]["path"]
    life.out.kubernetes.put(DEPLOYMENT_RECORD, TEAM, record)
    mark = len(life.out.line.calls)
    await life.live("two", most=4000)
    assert life.reason("two") == "True/Succeeded"
    assert source(life)["path"] == OLD, "what JenkinsSettings has read"
    assert not [call for call in life.out.line.since(mark) if call.startswith("git.")]


def _revision(life: Life, name: str) -> dict[str, Any]:
    """What a record keeps of its commit."""
    return next(dict(entry) for entry in life.status(name)["applied"] if entry["step"] == "revision")
