"""What a project's author writes reaches Jenkins as data: generated values of every field come back as they were.

The values are drawn from all that the API accepts, and from texts of markup, scripts and expansions.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pydantic
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from devops_reconciler.api.blocks import JenkinsBlock
from devops_reconciler.api.errors import ValidationError
from devops_reconciler.api.git import GitSpec
from devops_reconciler.api.parameters import REFUSED, RESERVED_PARAMETERS
from devops_reconciler.api.project_file import parse_project_file
from devops_reconciler.api.text import GIT_URL, ITEM_NAME, PARAMETER_NAME, PATH
from devops_reconciler.resources.jenkins_build import JenkinsBuild
from devops_reconciler.resources.jenkins_credentials import JenkinsCredentials
from devops_reconciler.resources.jenkins_job import JenkinsJob, definitions
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins
from devops_reconciler.services.jenkins_xml import (
    credential_xml,
    merge_pipeline,
    pipeline_xml,
    read_credential,
    read_pipeline,
)
from tests.unit.world import ME, outside

MARKUP = st.lists(
    st.sampled_from(
        [
            "</url><url>https://evil.example/",
            "]]>",
            "<![CDATA[",
            "<!--",
            "&lt;script&gt;",
            "&#x41;",
            "<script>node { sh 'id' }</script>",
            "${env.JENKINS_URL}",
            "${jenkins.model.Jenkins.instance}",
            "$(id)",
            "`id`",
            "'; id; '",
            '"""',
            "\r\nX-Evil: 1",
            "\t",
            "\u2028",
            "\u0085",
            "\u00a0",
            "\U0001f980",
            "%0a",
            "&DEPLOYMENT_UID=other",
            "=",
            "+",
            ";",
        ]
    ),
    max_size=5,
).map("".join)
STORABLE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufffe\uffff"), max_size=40
)
VALUES = st.one_of(MARKUP, STORABLE, st.builds(str.__add__, MARKUP, STORABLE))


SLOWLY = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""A slow machine is no reason to fail."""


def accepted(pattern: str, forbids: str | None, longest: int) -> st.SearchStrategy[str]:
    """Texts that the API accepts, and that XML can hold."""
    bad = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")
    found = st.from_regex(pattern, fullmatch=True).map(lambda text: text.rstrip("\n"))
    found = found.filter(lambda text: re.fullmatch(pattern, text) is not None and len(text) <= longest)
    return found.filter(lambda text: not bad.search(text) and not (forbids and re.search(forbids, text)))


URLS = accepted(GIT_URL.pattern, GIT_URL.forbids, 200)
PATHS = accepted(PATH.pattern, PATH.forbids, 200)
FOLDERS = accepted(ITEM_NAME.pattern, ITEM_NAME.forbids, 100)
NAMES = accepted(PARAMETER_NAME.pattern, PARAMETER_NAME.forbids, 60).filter(
    lambda name: not any(re.fullmatch(refused.pattern, name) for refused in REFUSED)
)
PARAMETERS = st.dictionaries(NAMES, VALUES, max_size=4)


def tree(xml: bytes) -> list[tuple[str, tuple[tuple[str, str], ...], int]]:
    """The elements, their attributes, and how many each holds; without what stands in them."""
    root = ET.fromstring(re.sub(rb"^<\?xml[^>]*\?>", b"", xml).decode())
    return [(each.tag, tuple(sorted(each.attrib.items())), len(each)) for each in root.iter()]


@SLOWLY
@given(url=URLS, script=PATHS, folder=FOLDERS, parameters=PARAMETERS)
def test_every_field_of_a_spec_comes_back_from_the_jobs_xml_and_changes_no_element(
    url: str, script: str, folder: str, parameters: dict[str, str]
) -> None:
    block = JenkinsBlock.model_validate({"folder": folder, "scriptPath": script, "parameters": parameters})
    git = GitSpec.model_validate({"url": url})
    assert (block.folder, block.script_path, block.parameters, git.url) == (folder, script, parameters, url)
    job = JenkinsJob(folder=folder, name="shop", git_url=url, script_path=script, parameters=parameters)
    plain = JenkinsJob(folder="a", name="shop", git_url="b", script_path="c", parameters=dict.fromkeys(parameters, "d"))
    wanted = job._wanted(ME)
    said = replace(wanted, parameters=tuple(replace(each, any_type=False) for each in wanted.parameters))
    written = pipeline_xml(wanted)
    assert read_pipeline(written) == said
    assert tree(written) == tree(pipeline_xml(plain._wanted(ME)))
    merged = merge_pipeline(pipeline_xml(plain._wanted(ME)), wanted)
    assert read_pipeline(merged) == said
    assert tree(merged) == tree(written)


@SLOWLY
@given(VALUES, VALUES)
def test_credentials_come_back_and_change_no_element(username: str, password: str) -> None:
    def written(user: str, secret: str) -> bytes:
        held = JenkinsCredentials(
            folder="shop", name="git", username=user, password=SecretStr(secret), password_version="1"
        )
        return credential_xml(held._credential(ME))

    xml = written(username, password)
    assert tree(xml) == tree(written("a", "b"))
    read = read_credential(xml)
    assert (read.id, read.username) == ("git", username)
    root = ET.fromstring(re.sub(rb"^<\?xml[^>]*\?>", b"", xml).decode())
    assert (root.findtext("password") or "") == password


class Asked:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(201, {"location": "https://ci.example.com/queue/item/7/"})

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


@SLOWLY
@given(PARAMETERS)
@example({"X": "1&DEPLOYMENT_UID=other&GIT_REVISION=evil"})
async def test_build_parameters_are_form_fields_each_with_its_own_value(parameters: dict[str, str]) -> None:
    asked = Asked()
    jenkins = Jenkins(
        Http("jenkins", "https://ci.example.com", asked, FakeClock()), username=lambda: "op", token=lambda: "t0ken"
    )
    build = JenkinsBuild(
        folder="shop", name="shop", uid="u1", commit="c1", image_repository="r1", image_tag="t1", parameters=parameters
    )
    await jenkins.trigger(("shop", "shop"), build._arguments)
    request = asked.requests[-1]
    sent = parse_qsl((request.body or b"").decode(), keep_blank_values=True, strict_parsing=True)
    assert dict(sent) == {
        **parameters,
        "DEPLOYMENT_UID": "u1",
        "GIT_REVISION": "c1",
        "IMAGE_REPOSITORY": "r1",
        "IMAGE_TAG": "t1",
    }
    assert len(sent) == len(dict(sent))
    assert request.url == "https://ci.example.com/job/shop/job/shop/buildWithParameters?delay=0sec"
    assert {name for name, _ in sent} == {each.name for each in definitions(parameters)}


@pytest.mark.parametrize("name", [*RESERVED_PARAMETERS, "", "A B", "A&B", "A=B", "-A", "A\n", "A;id", "1A", "ä", "A<B"])
def test_a_name_that_is_ours_or_no_name_is_refused_wherever_it_is_written(name: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        JenkinsBlock.model_validate({"parameters": {name: "x"}})
    with pytest.raises(ValidationError):
        parse_project_file(f"jenkins: {{parameters: {{{name!r}: x}}}}".encode(), "the file")


EVIL = (
    *("PATH", "Path", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "BASH_ENV", "bash_env", "HOME"),
    *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_GLOBAL", "GIT_EXEC_PATH"),
    *("git_askpass", "SSH_ASKPASS", "https_proxy", "SSL_CERT_FILE", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"),
    *("PYTHONPATH", "NODE_OPTIONS", "PERL5OPT", "JENKINS_URL", "JENKINS_HOME", "HUDSON_COOKIE", "Build_Number"),
    *("deployment_uid", "Image_Tag", "WORKSPACE"),
)


@pytest.mark.parametrize("name", EVIL)
def test_a_name_that_changes_what_jenkins_itself_runs_is_refused_wherever_it_is_written(name: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="choose another name"):
        JenkinsBlock.model_validate({"parameters": {name: "x"}})
    with pytest.raises(ValidationError, match="choose another name"):
        parse_project_file(f"jenkins: {{parameters: {{{name!r}: x}}}}".encode(), "the file")


@pytest.mark.parametrize(
    "name",
    ["ENV", "PROFILE", "ENVIRONMENT", "TARGET_ENV", "XPATH", "PATHS", "BUILD_TYPE", "JAVA_VERSION", "GITHUB", "LDAP"],
)
def test_a_name_that_only_looks_like_one_is_taken(name: str) -> None:
    assert JenkinsBlock.model_validate({"parameters": {name: "x"}}).parameters == {name: "x"}


async def test_a_parameter_that_the_job_does_not_define_is_never_sent() -> None:
    """Jenkins would drop it, and take it for an environment variable where it is set up to keep such."""
    hand = outside()
    hand.jenkins.folders[("shop",)] = f"Folder ({ME})"
    job = JenkinsJob(folder="shop", name="shop", git_url="https://git.example.com/a", script_path="x", parameters={})
    seen = await job.observe(hand.world, ME, None)
    await job.create(hand.world, ME, seen)
    build = JenkinsBuild(
        folder="shop",
        name="shop",
        uid="u",
        commit="c",
        image_repository="r",
        image_tag="t",
        parameters={"PROFILE": "release"},
    )
    await build.create(hand.world, ME, await build.observe(hand.world, ME, None))
    xml = await hand.jenkins.config(("shop", "shop"))
    assert xml is not None
    assert {each.name: each.default for each in read_pipeline(xml).parameters}.keys() == build._arguments.keys()
