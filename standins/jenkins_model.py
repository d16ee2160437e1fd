"""What the Jenkins stand-in holds: folders, jobs, credentials, queue items, builds."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote

Path = tuple[str, ...]

FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
MULTIBRANCH = "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"
PIPELINE = "flow-definition"
CLASSES = {
    FOLDER: FOLDER,
    MULTIBRANCH: MULTIBRANCH,
    PIPELINE: "org.jenkinsci.plugins.workflow.job.WorkflowJob",
    "project": "hudson.model.FreeStyleProject",
}
"""Root element of a config.xml → Java class."""

CREDENTIAL_CLASSES = (
    "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl",
    "org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl",
)
PARAMETERS = "hudson.model.ParametersDefinitionProperty"
STRING_PARAMETER = "hudson.model.StringParameterDefinition"
CHOICE_PARAMETER = "hudson.model.ChoiceParameterDefinition"
NO_CONCURRENCY = "org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty"


def url_path(path: Path) -> str:
    return "".join(f"job/{quote(name, safe='')}/" for name in path)


@dataclass
class StoredCredential:
    config: ET.Element

    @property
    def id(self) -> str:
        return self.config.findtext("id") or ""

    @property
    def username(self) -> str:
        return self.config.findtext("username") or ""

    @property
    def secret(self) -> str:
        return self.config.findtext("password") or self.config.findtext("secret") or ""


@dataclass
class StoredStage:
    name: str
    started_at: datetime
    status: str = "IN_PROGRESS"
    ended_at: datetime | None = None


@dataclass
class StoredBuild:
    """One run. `log` is the raw file, console notes included."""

    path: Path
    number: int
    queue_id: int
    parameters: dict[str, str]
    started_at: datetime
    building: bool = True
    result: str | None = None
    duration: timedelta = timedelta(0)
    estimated: timedelta | None = None
    log: bytearray = field(default_factory=bytearray)
    stages: list[StoredStage] = field(default_factory=list)
    revision: str | None = None
    image: str | None = None
    digest: str | None = None
    stubborn: bool = False
    task: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, line: str) -> None:
        note = b"\x1b[8mha:////4AAAAGUBmpiLAAAA\x1b[0m" if line.startswith("[Pipeline]") else b""
        self.log += note + line.encode() + b"\n"


@dataclass
class StoredQueueItem:
    id: int
    path: Path
    parameters: dict[str, str]
    since: datetime
    due: datetime
    cancelled: bool = False
    left_at: datetime | None = None
    build: int | None = None


@dataclass
class StoredItem:
    """A folder, a multibranch project or a job. `config` is what was sent, parsed."""

    path: Path
    config: ET.Element
    children: dict[str, StoredItem] = field(default_factory=dict)
    credentials: dict[str, StoredCredential] = field(default_factory=dict)
    domains: dict[str, dict[str, StoredCredential]] = field(default_factory=dict)
    """Credentials in domains that somebody has made."""
    builds: dict[int, StoredBuild] = field(default_factory=dict)
    next_number: int = 1

    @property
    def cls(self) -> str:
        return CLASSES[self.config.tag]

    @property
    def is_folder(self) -> bool:
        return self.config.tag in (FOLDER, MULTIBRANCH)

    @property
    def description(self) -> str:
        return self.config.findtext("description") or ""

    @property
    def disabled(self) -> bool:
        return (self.config.findtext("disabled") or "").strip() == "true"

    @property
    def concurrent(self) -> bool:
        return self.config.find(f"properties/{NO_CONCURRENCY}") is None

    @property
    def parameters(self) -> dict[str, str]:
        """Name → default of each parameter definition; of a choice without one, what it offers first."""
        definitions = self.config.findall(f"properties/{PARAMETERS}/parameterDefinitions/*")
        found = {each.findtext("name") or "": each.findtext("defaultValue") or "" for each in definitions}
        return {name: default or self.choices.get(name, [""])[0] for name, default in found.items()}

    @property
    def choices(self) -> dict[str, list[str]]:
        """Name → what it offers, of each parameter definition that is a choice."""
        definitions = self.config.findall(f"properties/{PARAMETERS}/parameterDefinitions/{CHOICE_PARAMETER}")
        offered = {each.findtext("name") or "": each.findall("choices//string") for each in definitions}
        return {name: [choice.text or "" for choice in choices] for name, choices in offered.items() if choices}

    def declare(self, parameters: Mapping[str, str]) -> None:
        """What a Jenkinsfile's `parameters {}` does when it runs: these definitions, and no others."""
        properties = self.config.find("properties")
        if properties is None:
            properties = ET.SubElement(self.config, "properties")
        for old in properties.findall(PARAMETERS):
            properties.remove(old)
        if not parameters:
            return
        definitions = ET.SubElement(ET.SubElement(properties, PARAMETERS), "parameterDefinitions")
        for name, default in parameters.items():
            element = ET.SubElement(definitions, STRING_PARAMETER)
            ET.SubElement(element, "name").text = name
            ET.SubElement(element, "defaultValue").text = default
            ET.SubElement(element, "trim").text = "false"

    def walk(self) -> Iterator[StoredItem]:
        for child in self.children.values():
            yield child
            yield from child.walk()


def new_root() -> StoredItem:
    return StoredItem((), ET.Element(FOLDER))
