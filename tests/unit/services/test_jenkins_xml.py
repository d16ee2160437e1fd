"""Jenkins' config.xml: hostile values stay values, foreign things stay, drift is seen in owned fields only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.errors import ConflictError, ExternalServiceError, ValidationError
from devops_reconciler.services.jenkins_types import Credential, UsernamePassword
from devops_reconciler.services.jenkins_xml import (
    Parameter,
    PipelineJob,
    credential_xml,
    differences,
    folder_xml,
    merge_parameters,
    merge_pipeline,
    pipeline_xml,
    read_credential,
    read_description,
    read_pipeline,
    with_description,
)

JOB = PipelineJob(
    description="Build of shop",
    git_url="https://git.example.com/shop.git",
    credentials_id="git",
    script_path="Jenkinsfile",
    parameters=(Parameter("GIT_REVISION", "", "Full commit"), Parameter("KEY", "value")),
)
STORED = b"""<?xml version='1.1' encoding='UTF-8'?>
<flow-definition plugin="workflow-job@1505.v1">
  <actions><org.example.Remembered plugin="x@1"><note>bell&#x7;and&#8;back</note></org.example.Remembered></actions>
  <description>Build of shop</description>
  <keepDependencies>false</keepDependencies>
  <properties>
    <org.example.Secret><password>{AQAAABAAAAAQabc=}</password></org.example.Secret>
    <hudson.model.ParametersDefinitionProperty>
      <parameterDefinitions>
        <hudson.model.StringParameterDefinition>
          <name>GIT_REVISION</name><description>Full commit</description><defaultValue></defaultValue><trim>true</trim>
        </hudson.model.StringParameterDefinition>
        <hudson.model.BooleanParameterDefinition><name>THEIRS</name><defaultValue>true</defaultValue>
        </hudson.model.BooleanParameterDefinition>
        <hudson.model.StringParameterDefinition><name>KEY</name><defaultValue>value</defaultValue>
        </hudson.model.StringParameterDefinition>
      </parameterDefinitions>
    </hudson.model.ParametersDefinitionProperty>
  </properties>
  <definition class="org.jenkinsci.plugins.workflow.cps.CpsScmFlowDefinition" plugin="workflow-cps@4106">
    <scm class="hudson.plugins.git.GitSCM" plugin="git@5.7.0">
      <configVersion>2</configVersion>
      <userRemoteConfigs>
        <hudson.plugins.git.UserRemoteConfig>
          <refspec>+refs/heads/*:refs/remotes/origin/*</refspec>
          <url>https://git.example.com/shop.git</url>
          <credentialsId>git</credentialsId>
        </hudson.plugins.git.UserRemoteConfig>
      </userRemoteConfigs>
      <branches><hudson.plugins.git.BranchSpec><name>${GIT_REVISION}</name></hudson.plugins.git.BranchSpec></branches>
      <extensions><org.example.Extension/></extensions>
    </scm>
    <scriptPath>Jenkinsfile</scriptPath>
    <lightweight>false</lightweight>
  </definition>
  <triggers/>
  <disabled>true</disabled>
</flow-definition>"""

values = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cs"], exclude_characters="".join(map(chr, range(0x20))) + "\ufffe\uffff"
    )
    | st.sampled_from("\t\n\r<>&\"'${}\u2028\x85")
).filter(lambda text: not any("\ufdd0" <= character <= "\ufdef" for character in text))


@given(values, values, values, values, values)
def test_whatever_a_value_holds_comes_back_and_changes_no_structure(
    description: str, url: str, script: str, name: str, default: str
) -> None:
    job = PipelineJob(
        description=description,
        git_url=url,
        credentials_id="git",
        script_path=script,
        parameters=(Parameter(name, default, description),),
    )
    written = pipeline_xml(job)
    assert read_pipeline(written) == job
    assert tags(written) == tags(pipeline_xml(replace(JOB, parameters=(Parameter("A"),))))
    merged = merge_pipeline(STORED, job)
    assert differences(read_pipeline(merged), job) == ()


@given(values, values, values, values)
def test_a_credential_holds_what_it_was_given(id: str, description: str, username: str, password: str) -> None:
    root = ET.fromstring(credential_xml(UsernamePassword(id, description, username, password)).decode())
    read = [root.findtext(tag) for tag in ("scope", "id", "description", "username", "password")]
    assert read == ["GLOBAL", id, description, username, password]


@given(values)
def test_a_folder_holds_its_description(description: str) -> None:
    assert read_description(folder_xml(description)) == description
    assert read_description(with_description(folder_xml("old"), description)) == description


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\ud800", "\ufffe", "\uffff", "\ufdd0"])
def test_a_character_that_xml_has_not_is_refused_by_name(character: str) -> None:
    with pytest.raises(ValidationError, match=f"description has the character U\\+{ord(character):04X}"):
        folder_xml(f"a{character}b")


def test_the_password_is_in_no_representation() -> None:
    assert "hidden" not in repr(UsernamePassword("git", "", "reader", "hidden"))


def test_what_jenkins_stores_reads_as_the_owned_fields() -> None:
    assert read_pipeline(STORED) == JOB
    assert differences(read_pipeline(STORED), JOB) == ()


def test_an_unchanged_merge_keeps_everything() -> None:
    merged = merge_pipeline(STORED, JOB)
    expected = STORED.replace(
        b"<defaultValue>value</defaultValue>", b"<defaultValue>value</defaultValue><description/>"
    )
    assert without_space(merged) == without_space(expected)
    assert merged.startswith(b'<?xml version="1.1" encoding="UTF-8"?>')
    assert b"bell&#x7;and&#x8;back" in merged


def test_a_merge_changes_owned_fields_and_keeps_foreign_ones() -> None:
    wanted = replace(
        JOB,
        description="Other",
        git_url="https://git.example.com/other.git",
        credentials_id=None,
        script_path="ci/Jenkinsfile",
        parameters=(Parameter("KEY", "new"), Parameter("ADDED", "1")),
    )
    merged = merge_pipeline(STORED, wanted)
    read = read_pipeline(merged)
    assert differences(read, wanted) == ()
    assert [each.name for each in read.parameters] == ["GIT_REVISION", "KEY", "ADDED"]
    for foreign in (
        b"org.example.Remembered",
        b"{AQAAABAAAAAQabc=}",
        b"THEIRS",
        b"org.example.Extension",
        b"<refspec>",
    ):
        assert foreign in merged
    assert b"<disabled>true</disabled>" in merged


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"Build of shop", b"Changed by hand", "description"),
        (b"shop.git</url>", b"else.git</url>", "git_url"),
        (b"<credentialsId>git<", b"<credentialsId>own<", "credentials_id"),
        (b"<credentialsId>git</credentialsId>", b"<credentialsId/>", "credentials_id"),
        (b"<scriptPath>Jenkinsfile<", b"<scriptPath>other<", "script_path"),
        (b"${GIT_REVISION}", b"*/main", "branch"),
        (b"<lightweight>false<", b"<lightweight>true<", "lightweight"),
        (b"<name>KEY<", b"<name>YEK<", "parameter KEY"),
        (b"<defaultValue>value<", b"<defaultValue>other<", "parameter KEY"),
    ],
)
def test_drift_in_an_owned_field_is_named_and_repaired(old: bytes, new: bytes, field: str) -> None:
    drifted = STORED.replace(old, new)
    assert drifted != STORED
    assert differences(read_pipeline(drifted), JOB) == (field,)
    assert differences(read_pipeline(merge_pipeline(drifted, JOB)), JOB) == ()


def test_a_second_remote_and_a_second_branch_are_drift() -> None:
    remote = b"<hudson.plugins.git.UserRemoteConfig><url>https://evil.example.com/x.git</url></hudson.plugins.git.UserRemoteConfig>"
    branch = b"<hudson.plugins.git.BranchSpec><name>*/main</name></hudson.plugins.git.BranchSpec>"
    drifted = STORED.replace(b"</userRemoteConfigs>", remote + b"</userRemoteConfigs>").replace(
        b"</branches>", branch + b"</branches>"
    )
    assert set(differences(read_pipeline(drifted), JOB)) == {"git_url", "credentials_id", "branch"}
    merged = merge_pipeline(drifted, JOB)
    assert b"evil" not in merged
    assert differences(read_pipeline(merged), JOB) == ()


def test_a_script_typed_into_the_job_is_replaced_by_the_one_in_git() -> None:
    inline = b"""<flow-definition><definition class="org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition">
      <script>node { sh 'id' }</script><sandbox>true</sandbox></definition></flow-definition>"""
    assert "git_url" in differences(read_pipeline(inline), JOB)
    merged = merge_pipeline(inline, JOB)
    assert differences(read_pipeline(merged), JOB) == ()
    assert b"<script>" not in merged


def test_a_parameter_of_ours_with_another_type_is_replaced() -> None:
    drifted = STORED.replace(b"<name>THEIRS</name>", b"<name>IMAGE_TAG</name>")
    wanted = (*JOB.parameters, Parameter("IMAGE_TAG", "1"))
    assert differences(read_pipeline(drifted), replace(JOB, parameters=wanted)) == ("parameter IMAGE_TAG",)
    merged = merge_parameters(drifted, wanted)
    assert b"BooleanParameterDefinition" not in merged
    assert read_pipeline(merged) == replace(JOB, parameters=wanted)


def test_a_parameter_of_a_project_keeps_the_type_that_its_jenkinsfile_gives_it() -> None:
    wanted = (*JOB.parameters, Parameter("THEIRS", "false", any_type=True))
    assert differences(read_pipeline(STORED), replace(JOB, parameters=wanted)) == ()
    for merged in (merge_parameters(STORED, wanted), merge_pipeline(STORED, replace(JOB, parameters=wanted))):
        readable = merged.replace(b"&#x7;", b"").replace(b"&#x8;", b"")
        found = ET.fromstring(readable).findall(".//parameterDefinitions/*[name='THEIRS']")
        assert [(each.tag, each.findtext("defaultValue")) for each in found] == [
            ("hudson.model.BooleanParameterDefinition", "true")
        ]
    erased = STORED.replace(b"<name>THEIRS</name>", b"<name>OTHER</name>")
    assert differences(read_pipeline(erased), replace(JOB, parameters=wanted)) == ("parameter THEIRS",)
    assert read_pipeline(merge_parameters(erased, wanted)).parameters[-1].name == "THEIRS"


@pytest.mark.parametrize(
    ("choices", "found"),
    [
        (
            b"""<choices class="java.util.Arrays$ArrayList"><a class="string-array">
            <string>dev</string><string>a &amp; b </string><string/></a></choices>""",
            ("dev", "a & b ", ""),
        ),
        (b"<choices><string>dev</string><string>prod</string></choices>", ("dev", "prod")),
        (
            b"""<choices class="java.util.Collections$UnmodifiableRandomAccessList">
            <c class="list"><string>dev</string></c><list reference="../c"/></choices>""",
            ("dev",),
        ),
        (b"<choices><org.example.Offered/></choices>", None),
        (b"<choices/>", None),
        (b"", None),
    ],
)
def test_the_choices_of_a_parameter_are_read_in_each_form_and_none_are_no_choices(
    choices: bytes, found: tuple[str, ...] | None
) -> None:
    kind = b"hudson.model.ChoiceParameterDefinition"
    theirs = b"<name>THEIRS</name><defaultValue>true</defaultValue>"
    typed = STORED.replace(b"hudson.model.BooleanParameterDefinition", kind)
    job = read_pipeline(typed.replace(theirs, b"<name>THEIRS</name>" + choices))
    assert job.typed == ("THEIRS",)
    assert job.choices == ({} if found is None else {"THEIRS": found})


def test_only_a_choice_is_judged_by_its_choices() -> None:
    theirs = b"<name>THEIRS</name><defaultValue>true</defaultValue>"
    assert theirs in STORED
    another = STORED.replace(theirs, theirs + b"<choices><string>dev</string></choices>")
    assert read_pipeline(another).choices == {}


def test_erased_parameters_are_restored_and_nothing_else_is_touched() -> None:
    start, end = STORED.index(b"<hudson.model.ParametersDefinitionProperty>"), STORED.index(b"</properties>")
    drifted = (STORED[:start] + STORED[end:]).replace(b"Build of shop", b"Changed by hand")
    assert read_pipeline(drifted).parameters == ()
    restored = merge_parameters(drifted, JOB.parameters)
    assert read_pipeline(restored) == replace(JOB, description="Changed by hand")
    assert b"{AQAAABAAAAAQabc=}" in restored


def test_a_job_without_parameters_stays_one() -> None:
    bare = replace(JOB, parameters=())
    assert b"ParametersDefinitionProperty" not in pipeline_xml(bare)
    assert read_pipeline(pipeline_xml(bare)) == bare


def test_another_kind_of_item_is_a_conflict() -> None:
    for change in (read_pipeline, lambda xml: merge_pipeline(xml, JOB), lambda xml: merge_parameters(xml, ())):
        with pytest.raises(ConflictError, match="the item is a project, not a pipeline"):
            change(b"<project/>")


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><flow-definition>&b;</flow-definition>',
        b'<?xml version="1.0"?>\n<!DOCTYPE x SYSTEM "file:///etc/passwd"><flow-definition/>',
        b"<flow-definition>&undefined;</flow-definition>",
        b"<flow-definition>",
        b"",
        b"<a>\xff</a>",
        b"<html><body>login<br></body></html>",
    ],
)
def test_what_is_no_plain_xml_is_an_error_of_jenkins(xml: bytes) -> None:
    with pytest.raises(ExternalServiceError, match="its XML"):
        read_pipeline(xml)


def test_a_credential_reads_without_its_secret() -> None:
    xml = b"""<?xml version='1.1' encoding='UTF-8'?><org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl
      plugin="plain-credentials@1"><id>token</id><description>d</description><secret><secret-redacted/></secret>
      </org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl>"""
    kind = "org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl"
    assert read_credential(xml) == Credential("token", kind, "d", "")


def tags(xml: bytes) -> list[str]:
    return [element.tag for element in ET.fromstring(xml.decode()).iter()]


def without_space(xml: bytes) -> str:
    """Canonical XML of the document, without declaration, indentation and characters that XML 1.0 has not."""
    text = xml.decode().partition("?>")[2]
    for reference in ("&#x7;", "&#7;", "&#x8;", "&#8;"):
        text = text.replace(reference, "?")
    return ET.canonicalize(text, strip_text=True)
