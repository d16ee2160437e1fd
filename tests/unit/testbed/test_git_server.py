"""The Git server as a client meets it, and the sample project in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.git import GitError, git
from testbed.git_server import Credentials, GitServer, parse_cgi
from testbed.sample import SampleProject

CREDENTIALS = Credentials("robot", "s3cret:with@signs")
URL_CREDENTIALS = "robot:s3cret%3Awith%40signs@"


def with_credentials(url: str, credentials: str = URL_CREDENTIALS) -> str:
    return url.replace("http://", f"http://{credentials}")


async def test_a_project_is_cloned_over_http(tmp_path: Path) -> None:
    async with GitServer() as server:
        project = await SampleProject.create(server)
        await git("clone", "--quiet", project.url, "copy", cwd=tmp_path)
        assert await git("rev-parse", "HEAD", cwd=tmp_path / "copy") == await project.head()
        kustomization = (tmp_path / "copy" / "deploy" / "kustomization.yaml").read_text()
        assert "deployment.yaml" in kustomization
        assert "acme/shop" in (tmp_path / "copy" / "deploy" / "deployment.yaml").read_text()
        assert server.requests["shop", "git-upload-pack"] > 0


async def test_commits_branches_and_tags_are_seen(tmp_path: Path) -> None:
    async with GitServer() as server:
        project = await SampleProject.create(server)
        first = await project.head()
        feature = await project.commit("Try something", {"greeting.txt": "Hello\n"}, branch="feature/hello")
        tagged = await project.tag("v1", "feature/hello", message="The first version")
        second = await project.commit("Remove the greeting", {"greeting.txt": None})
        listed = await git("ls-remote", project.url, cwd=tmp_path)
        references = {name: commit for commit, name in (line.split("\t") for line in listed.splitlines())}
    assert references["HEAD"] == references["refs/heads/main"] == second != first
    assert references["refs/heads/feature/hello"] == references["refs/tags/v1^{}"] == feature == tagged


async def test_any_commit_can_be_fetched_by_its_id(tmp_path: Path) -> None:
    async with GitServer() as server:
        project = await SampleProject.create(server)
        first = await project.head()
        await project.commit("Go on", {"more.txt": "more\n"})
        await git("init", "--quiet", ".", cwd=tmp_path)
        await git("fetch", "--quiet", "--depth=1", project.url, first, cwd=tmp_path)
        assert await git("rev-parse", "FETCH_HEAD", cwd=tmp_path) == first


@pytest.mark.parametrize(
    ("credentials", "error"),
    [("", "could not read Username"), ("robot:wrong@", "Authentication failed"), (URL_CREDENTIALS, None)],
)
async def test_credentials_open_a_private_repository(tmp_path: Path, credentials: str, error: str | None) -> None:
    async with GitServer() as server:
        project = await SampleProject.create(server, credentials=CREDENTIALS)
        listing = git("ls-remote", with_credentials(project.url, credentials), cwd=tmp_path)
        if error is None:
            assert await project.head() in await listing
        else:
            with pytest.raises(GitError, match=error):
                await listing


async def test_a_missing_or_failing_repository_is_an_error(tmp_path: Path) -> None:
    async with GitServer() as server:
        project = await SampleProject.create(server)
        with pytest.raises(GitError, match="not found"):
            await git("ls-remote", project.url.replace("shop", "nothing"), cwd=tmp_path)
        project.repository.fail_with = 503
        with pytest.raises(GitError, match="503"):
            await git("ls-remote", project.url, cwd=tmp_path)
        project.repository.fail_with = None
        assert await project.head() in await git("ls-remote", project.url, cwd=tmp_path)


async def test_nobody_pushes_over_http() -> None:
    async with GitServer() as server:
        project = await SampleProject.create(server)
        await git("clone", "--quiet", project.url, "copy", cwd=server.folder)
        with pytest.raises(GitError, match="403"):
            await git("push", "origin", "HEAD:refs/heads/other", cwd=server.folder / "copy")


def test_a_cgi_answer_is_200_unless_it_says_otherwise() -> None:
    response = parse_cgi(b"Content-Type: text/plain\r\nExpires: never\r\n\r\nbody\r\n\r\nmore")
    assert (response.status, response.headers["Expires"], response.body) == (200, "never", b"body\r\n\r\nmore")
    assert parse_cgi(b"Status: 404 Not Found\r\n\r\n").status == 404
