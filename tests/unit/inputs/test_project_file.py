"""`.freeleaps.yaml`: read when the branch has moved, refused with the name of the field that is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.api.git import GitSpec
from devops_reconciler.api.jenkins_settings import JenkinsSettingsSpec, ProjectFileStatus
from devops_reconciler.api.project_file import manifests_folder, parse_project_file
from devops_reconciler.inputs.project_file import read_project_file
from devops_reconciler.kinds.jenkins_settings import parameters_of
from tests.unit.world import GIT_URL, TEAM, outside

FILE = b"""
jenkins: {scriptPath: ci/Jenkinsfile, parameters: {KEY: value}}
argo: {path: deploy}
"""
GIT = GitSpec(url=GIT_URL)


async def test_the_file_is_read_at_the_head_of_the_branch() -> None:
    out = outside()
    out.git.commit(GIT_URL, "main", "a" * 40, FILE)
    found = await read_project_file(out.world, TEAM, GIT, None)
    assert (found.commit, found.found, found.read_at) == ("a" * 40, True, out.clock.now())
    assert (found.jenkins.script_path, found.jenkins.parameters) == ("ci/Jenkinsfile", {"KEY": "value"})
    assert found.argo.path == "deploy"


async def test_a_branch_that_has_not_moved_is_not_read_again() -> None:
    out = outside()
    out.git.commit(GIT_URL, "main", "a" * 40, FILE)
    known = await read_project_file(out.world, TEAM, GIT, None)
    out.clock.advance(timedelta(minutes=5))
    assert await read_project_file(out.world, TEAM, GIT, known) is known
    assert out.line.count("git.read_file") == 1
    out.git.commit(GIT_URL, "main", "b" * 40)
    moved = await read_project_file(out.world, TEAM, GIT, known)
    assert (moved.commit, moved.found, moved.argo.path) == ("b" * 40, False, None)


async def test_a_repository_without_the_file_is_as_good() -> None:
    out = outside()
    out.git.commit(GIT_URL, "main", "a" * 40)
    found = await read_project_file(out.world, TEAM, GIT, None)
    assert (found.found, found.jenkins.script_path, found.argo.path) == (False, None, None)


async def test_a_missing_branch_says_what_to_do() -> None:
    out = outside()
    out.git.commit(GIT_URL, "main", "a" * 40)
    with pytest.raises(ValidationError, match=r"no branch 'next'; push it, or set git\.branch") as caught:
        await read_project_file(out.world, TEAM, GitSpec(url=GIT_URL, branch="next"), None)
    assert caught.value.reason == "RevisionNotFound"


async def test_git_that_is_away_is_an_error_and_no_absence() -> None:
    out = outside()
    out.git.commit(GIT_URL, "main", "a" * 40, FILE)
    out.line.fail("git.read_file", ExternalServiceError("time-out", service="git"))
    with pytest.raises(ExternalServiceError):
        await read_project_file(out.world, TEAM, GIT, None)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"jenkins: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"a: b: c", "not YAML"),
        (b"day: 2024-99-99", "not YAML"),
        (b"day: 0001-01-01t00:00:00-23:00\nratio: 1" + b":1" * 9000 + b".0", "not YAML"),
        (b"a: !!bool maybe", "not YAML"),
        (b"a: !!timestamp soon", "not YAML"),
        (b'a: !!int ""', "not YAML"),
        (b"a:\n  " + b"[" * 5000, "line 2: it is nested too deep"),
        (b"a: 1\nb: [" + b"x," * 5000 + b"]", "line 2: more than 5000 values and keys"),
        (b"a: &a 1\nb:\n- *a", "line 3: aliases are not allowed here; write out"),
        (b"a: &a {b: 1}\nc: {<<: *a}", "line 2: aliases are not"),
        (b"just text", "the file"),
        (b"[1, 2]", "the file"),
        (b"jenkins: text", "jenkins:"),
        (b"jenkins: {scriptPath: 7}", "jenkins.scriptPath"),
        (b"jenkins: {scriptPath: ../up}", "jenkins.scriptPath"),
        (b"jenkins: {parameters: {KEY: 1}}", "jenkins.parameters.KEY"),
        (b"jenkins: {parameters: {'a b': x}}", "jenkins.parameters"),
        (b"jenkins: {parameters: {IMAGE_TAG: x}}", "jenkins.parameters"),
        (b"argo: {path: /abs}", "argo.path"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(body: bytes, names: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_project_file(body, ".freeleaps.yaml of x at abc")
    assert names in str(caught.value)
    assert ".freeleaps.yaml of x at abc" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_small_file_of_merged_aliases_is_refused_before_it_is_built() -> None:
    """Each level names the one before ten times: built, it is 10^20 entries."""
    levels = [b"a0: &a0 {k: v}"]
    levels += [b"a%d: &a%d {<<: [%s]}" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 21)]
    body = b"\n".join(levels)
    assert len(body) < 1500
    with pytest.raises(ValidationError, match="line 2: aliases are not allowed"):
        parse_project_file(body, ".freeleaps.yaml")


def test_an_alias_that_goes_back_to_where_it_stands_is_refused() -> None:
    with pytest.raises(ValidationError, match="line 1: aliases"):
        manifests_folder(b"argo: &a {path: k8s, more: *a}", ".freeleaps.yaml")


def test_as_much_as_may_be_in_the_file_is_read() -> None:
    lines = [f"more{number}: &anchor{number} !!str {number}\n" for number in range(2490)]
    assert manifests_folder(("".join(lines) + "argo: {path: k8s}").encode(), "x") == "k8s"
    assert manifests_folder(b"argo: {path: k8s}\nmore: " + b"[" * 30 + b"]" * 30, "x") == "k8s"


def test_of_many_problems_the_first_are_named() -> None:
    body = b"jenkins: {parameters: {%s}}" % b", ".join(b"K%d: 1" % number for number in range(50))
    with pytest.raises(ValidationError, match=r"parameters\.K9: .*; and 40 more$") as caught:
        parse_project_file(body, "x")
    assert "K10:" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"# nothing", b"{}", b"unknown: 1\njenkins: {alsoUnknown: 2}"])
def test_an_empty_file_and_unknown_fields_are_no_error(body: bytes) -> None:
    content = parse_project_file(body, "x")
    assert (content.jenkins.script_path, content.argo.path) == (None, None)


@pytest.mark.parametrize(
    ("body", "folder"),
    [
        (None, "."),
        (b"", "."),
        (b"argo: {}", "."),
        (b"argo: {path: k8s/shop}", "k8s/shop"),
        (b"{jenkins: text, argo: {path: k8s}}", "k8s"),
    ],
)
def test_the_folder_of_the_manifests_is_the_files_or_the_root(body: bytes | None, folder: str) -> None:
    assert manifests_folder(body, "x") == folder


@pytest.mark.parametrize("parameters", [{"KEY": "spec"}, {}])
def test_the_specs_parameters_go_before_the_files(parameters: dict[str, str]) -> None:
    file = ProjectFileStatus.model_validate({"jenkins": {"parameters": {"KEY": "file", "MORE": "file"}}})
    spec = JenkinsSettingsSpec.model_validate({"git": {"url": GIT_URL}, "parameters": parameters})
    assert parameters_of(spec, file) == parameters
    unsaid = JenkinsSettingsSpec.model_validate({"git": {"url": GIT_URL}})
    assert parameters_of(unsaid, file) == {"KEY": "file", "MORE": "file"}
    assert parameters_of(unsaid, None) == {}
