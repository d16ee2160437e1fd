"""Jenkins' config.xml: written by a real XML library from hostile values, and read back for the fields that we own.

Jenkins hands a config out differently from how it came in: XML 1.1, plugin versions as attributes, elements of other
plugins, redacted secrets. So drift is judged on owned fields (`read_pipeline`, `differences`) and a change touches only
them (`merge_pipeline`, `with_description`); the rest survives as it is, control characters (`&#x1;`, legal in XML 1.1
only) included.

ValidationError: a value of ours has a character that XML has not. ExternalServiceError: Jenkins' XML is not usable.
ConflictError: the item is of another type.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..api.errors import ConflictError, ExternalServiceError, ValidationError
from .jenkins_types import FOLDER_CLASS, USERNAME_PASSWORD_CLASS, Credential, UsernamePassword

PIPELINE_ROOT = "flow-definition"
DEFINITION = "org.jenkinsci.plugins.workflow.cps.CpsScmFlowDefinition"
GIT_SCM = "hudson.plugins.git.GitSCM"
REMOTE = "hudson.plugins.git.UserRemoteConfig"
BRANCH = "hudson.plugins.git.BranchSpec"
PARAMETERS = "hudson.model.ParametersDefinitionProperty"
STRING_PARAMETER = "hudson.model.StringParameterDefinition"
CHOICE_PARAMETER = "hudson.model.ChoiceParameterDefinition"

DECLARATION = re.compile(rb"^\s*<\?xml\s[^>]*\?>")
CONTROL_REFERENCE = re.compile(r"&#(?:x0*([0-9a-fA-F]{1,2})|0*([0-9]{1,2}));")
PLACEHOLDERS = 0xFDD0
"""32 code points that Unicode assigns to nobody stand for the control characters while the tree is in memory."""
REFERENCED = re.compile("[\r\x7f-\x9f\u2028\ufdd0-\ufdef]")
"""Written as references: raw, a parser turns line ends into LF, and XML 1.1 allows the others only so."""
REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a job: a string, unless `any_type` lets a definition of another type stand as it is."""

    name: str
    default: str = ""
    description: str = ""
    any_type: bool = False


@dataclass(frozen=True, kw_only=True)
class PipelineJob:
    """The fields of a pipeline job that we own. `branch` is expanded by Jenkins from the build's parameters.

    Never lightweight: that mode reads the Jenkinsfile through an API that does not know a commit in a parameter.
    """

    description: str
    git_url: str
    credentials_id: str | None
    script_path: str
    parameters: tuple[Parameter, ...]
    branch: str = "${GIT_REVISION}"
    lightweight: bool = False
    typed: tuple[str, ...] = field(default=(), compare=False)
    """Names of the parameters that are no strings, as they are read: a Jenkinsfile defines them, we never do."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    """What those of them offer that are a `choice`, by name. Where it cannot be read, they are not among these."""


def folder_xml(description: str) -> bytes:
    """A new folder."""
    root = ET.Element(FOLDER_CLASS)
    _set(root, "description", description)
    return _write(root)


def pipeline_xml(job: PipelineJob) -> bytes:
    """A new pipeline job whose Jenkinsfile comes from Git."""
    root = ET.Element(PIPELINE_ROOT)
    _apply(root, job)
    return _write(root)


def credential_xml(value: UsernamePassword) -> bytes:
    """A user name and password credential, usable by the jobs of its folder."""
    root = ET.Element(USERNAME_PASSWORD_CLASS)
    _set(root, "scope", "GLOBAL")
    _set(root, "id", value.id)
    _set(root, "description", value.description)
    _set(root, "username", value.username)
    _set(root, "password", value.password)
    return _write(root)


def read_credential(xml: bytes) -> Credential:
    """What a credential's config.xml tells; its secret is redacted there."""
    root, _ = _parse(xml)
    return Credential(_text(root, "id"), root.tag, _text(root, "description"), _text(root, "username"))


def read_description(xml: bytes) -> str:
    """The description of any item."""
    return _text(_parse(xml)[0], "description")


def with_description(xml: bytes, description: str) -> bytes:
    """The same config with another description."""
    root, version = _parse(xml)
    _set(root, "description", description)
    return _write(root, version)


def read_pipeline(xml: bytes) -> PipelineJob:
    """The owned fields as they are now. What is missing reads as empty; several remotes or branches are all named."""
    root, _ = _parse(xml)
    _check_pipeline(root)
    definition = root.find("definition")
    if definition is None or definition.get("class") != DEFINITION:
        definition = ET.Element("definition")
    scm = definition.find("scm")
    if scm is None or scm.get("class") != GIT_SCM:
        scm = ET.Element("scm")
    remotes, branches = scm.findall(f"userRemoteConfigs/{REMOTE}"), scm.findall(f"branches/{BRANCH}")
    parameters = root.findall(f"properties/{PARAMETERS}/parameterDefinitions/*")
    return PipelineJob(
        description=_text(root, "description"),
        git_url="\n".join(_text(each, "url") for each in remotes),
        credentials_id="\n".join(_text(each, "credentialsId") for each in remotes) or None,
        script_path=_text(definition, "scriptPath"),
        parameters=tuple(
            Parameter(_text(each, "name"), _text(each, "defaultValue"), _text(each, "description"))
            for each in parameters
            if each.tag == STRING_PARAMETER
        ),
        branch="\n".join(_text(each, "name") for each in branches),
        lightweight=_text(definition, "lightweight").strip() == "true",
        typed=tuple(_text(each, "name") for each in parameters if each.tag != STRING_PARAMETER),
        choices=_choices(parameters),
    )


def _choices(parameters: list[ET.Element]) -> dict[str, tuple[str, ...]]:
    """The list is of whatever class Jenkins was given, and each class is written in another depth."""
    offered = {
        _text(each, "name"): tuple(choice.text or "" for choice in each.iterfind("choices//string"))
        for each in parameters
        if each.tag == CHOICE_PARAMETER
    }
    return {name: choices for name, choices in offered.items() if choices}


def differences(current: PipelineJob, wanted: PipelineJob) -> tuple[str, ...]:
    """The owned fields in which `current` is not as `wanted`: drift.

    Parameters of others are no difference, nor are texts that describe ours: only names and defaults count, and only
    names of what may have another type.
    """
    fields = ("description", "git_url", "credentials_id", "script_path", "branch", "lightweight")
    differing = [name for name in fields if getattr(current, name) != getattr(wanted, name)]
    defaults = {each.name: each.default for each in current.parameters}
    asked = [each for each in wanted.parameters if not (each.name in current.typed and _stays(each, current.choices))]
    missing = [f"parameter {each.name}" for each in asked if defaults.get(each.name) != each.default]
    return (*differing, *missing)


def merge_pipeline(existing_xml: bytes, job: PipelineJob) -> bytes:
    """`existing_xml` with the owned fields as in `job` and everything else kept, parameters of others too."""
    root, version = _parse(existing_xml)
    _check_pipeline(root)
    _apply(root, job)
    return _write(root, version)


def merge_parameters(existing_xml: bytes, parameters: tuple[Parameter, ...]) -> bytes:
    """`existing_xml` with these parameters defined, and nothing else touched.

    For the time before a trigger: a Jenkinsfile's own `parameters {}` erases ours, and Jenkins drops undefined ones. A
    definition of another type stays where it may: Jenkins turns what a build is given into a value of that type, and as
    a string "false" would be true in a Jenkinsfile. A `choice` stays where it offers the value: of another one Jenkins
    makes a 500, and the Jenkinsfile that is built may offer it, of which Jenkins learns only when that runs. What is
    chosen is a string in any case.
    """
    root, version = _parse(existing_xml)
    _check_pipeline(root)
    _apply_parameters(_child(root, "properties"), parameters)
    return _write(root, version)


def _check_pipeline(root: ET.Element) -> None:
    if root.tag != PIPELINE_ROOT:
        raise ConflictError(f"jenkins: the item is a {root.tag}, not a pipeline; rename it, or delete it in Jenkins")


def _apply(root: ET.Element, job: PipelineJob) -> None:
    _set(root, "description", job.description)
    _apply_parameters(_child(root, "properties"), job.parameters)
    definition = _typed(root, "definition", DEFINITION)
    scm = _typed(definition, "scm", GIT_SCM)
    _set(scm, "configVersion", "2")
    remote = _only(_child(scm, "userRemoteConfigs"), REMOTE)
    _set(remote, "url", job.git_url)
    credentials = remote.find("credentialsId")
    if job.credentials_id is not None:
        _set(remote, "credentialsId", job.credentials_id)
    elif credentials is not None:
        remote.remove(credentials)
    _set(_only(_child(scm, "branches"), BRANCH), "name", job.branch)
    _set(definition, "scriptPath", job.script_path)
    _set(definition, "lightweight", "true" if job.lightweight else "false")


def _apply_parameters(properties: ET.Element, parameters: tuple[Parameter, ...]) -> None:
    if not parameters and properties.find(PARAMETERS) is None:
        return
    definitions = _child(_child(properties, PARAMETERS), "parameterDefinitions")
    choices = _choices(list(definitions))
    for parameter in parameters:
        found = [each for each in definitions if _text(each, "name") == parameter.name]
        if any(each.tag != STRING_PARAMETER for each in found) and _stays(parameter, choices):
            continue
        for other in found:
            if other.tag != STRING_PARAMETER or other is not found[0]:
                definitions.remove(other)
        element = found[0] if found and found[0].tag == STRING_PARAMETER else None
        if element is None:
            element = ET.SubElement(definitions, STRING_PARAMETER)
            _set(element, "trim", "false")
        _set(element, "name", parameter.name)
        _set(element, "description", parameter.description)
        _set(element, "defaultValue", parameter.default)


def _stays(parameter: Parameter, choices: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a definition of another type may stand: a `choice` where it offers the value, which nobody trims.

    Source: jenkinsci/jenkins, `ChoiceParameterDefinition.createValue`.
    """
    return parameter.any_type and parameter.default in choices.get(parameter.name, (parameter.default,))


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return found if found is not None else ET.SubElement(parent, tag)


def _typed(parent: ET.Element, tag: str, cls: str) -> ET.Element:
    """The child, emptied first if it is of another class: its contents would mean something else."""
    found = _child(parent, tag)
    if found.get("class") != cls:
        found.clear()
        found.set("class", cls)
    return found


def _only(parent: ET.Element, tag: str) -> ET.Element:
    """The first child of that tag, and no other child."""
    first = _child(parent, tag)
    for other in list(parent):
        if other is not first:
            parent.remove(other)
    return first


def _text(parent: ET.Element, tag: str) -> str:
    return parent.findtext(tag) or ""


def _set(parent: ET.Element, tag: str, value: str) -> None:
    refused = REFUSED.search(value)
    if refused is not None:
        raise ValidationError(f"{tag} has the character U+{ord(refused[0]):04X}, which Jenkins cannot store; remove it")
    element = _child(parent, tag)
    for inner in list(element):
        element.remove(inner)
    element.text = value


def _parse(xml: bytes) -> tuple[ET.Element, str]:
    """The root element and the XML version. A document type is refused: no entity is ever expanded."""
    xml = xml.removeprefix(b"\xef\xbb\xbf")
    if b"<!DOCTYPE" in xml:
        raise ExternalServiceError("jenkins: its XML has a document type, which is not accepted", service="jenkins")
    found = DECLARATION.match(xml)
    version = "1.1" if found is not None and re.search(rb"""version\s*=\s*['"]1\.1['"]""", found[0]) else "1.0"
    try:
        text = DECLARATION.sub(b"", xml).decode("utf-8")
        root = ET.fromstring(CONTROL_REFERENCE.sub(_placeholder, text))
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise ExternalServiceError(f"jenkins: its XML cannot be read: {error}", service="jenkins") from error
    return root, version


def _placeholder(reference: re.Match[str]) -> str:
    code = int(reference[1], 16) if reference[1] else int(reference[2])
    is_control = code < 0x20 and code not in (0, 9, 10, 13)
    return chr(PLACEHOLDERS + code) if is_control else reference[0]


def _reference(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"&#x{code - PLACEHOLDERS:x};" if PLACEHOLDERS <= code < PLACEHOLDERS + 32 else f"&#x{code:x};"


def _write(root: ET.Element, version: str = "1.0") -> bytes:
    body = REFERENCED.sub(_reference, ET.tostring(root, encoding="unicode"))
    return f'<?xml version="{version}" encoding="UTF-8"?>\n{body}\n'.encode()
