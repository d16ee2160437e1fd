"""The six kinds as the cluster knows them: names, columns, and rules about their metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .argo_settings import ArgoSettingsSpec, ArgoSettingsStatus
from .deployment_record import DeploymentRecordSpec, DeploymentRecordStatus
from .ingress_resource import IngressResourceSpec, IngressResourceStatus
from .jenkins_settings import JenkinsSettingsSpec, JenkinsSettingsStatus
from .model import Model, Rule
from .project import DevOpsProjectSpec, DevOpsProjectStatus
from .registry_settings import RegistrySettingsSpec, RegistrySettingsStatus
from .status import ResourceStatus
from .text import NAMESPACE_NAME, SHORT_NAME

GROUP = "freeleaps.com"
VERSION = "v1alpha1"
CATEGORY = "freeleaps"
FINALIZER = "freeleaps.com/finalizer"
"""Holds an object until nothing of it is left outside. On what the operator makes from the start, else put on by it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; with `wide`, only of `kubectl get -o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind."""

    kind: str
    plural: str
    short: str
    summary: str
    spec: type[Model]
    status: type[ResourceStatus]
    columns: Sequence[Column]
    name_rule: Rule


PROJECT_NAME = Rule(
    f"self.metadata.name.size() <= {SHORT_NAME.max_length} && {SHORT_NAME.matches('self.metadata.name')}",
    f"this is the name of a project: {SHORT_NAME.says}",
    ".metadata.name",
)
RECORD_NAME = Rule(
    f"self.metadata.name.size() <= {NAMESPACE_NAME.max_length} && {NAMESPACE_NAME.matches('self.metadata.name')}",
    "this is a word of the heartbeats' routing key: use a DNS label of at most 63 characters: lower-case letters, "
    "digits and -, no - at either end",
    ".metadata.name",
)

_READY = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
_REASON = Column("Reason", '.status.conditions[?(@.type=="Ready")].reason')
_MESSAGE = Column("Message", '.status.conditions[?(@.type=="Ready")].message', wide=True)
_URL = Column("URL", ".status.url")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")

DEFINITIONS = (
    Definition(
        "DevOpsProject",
        "devopsprojects",
        "dop",
        "A Git repository that becomes a running, reachable application: built by Jenkins, stored at Docker Hub, "
        "rolled out by Argo CD, reached through an Ingress and a DNS record.",
        DevOpsProjectSpec,
        DevOpsProjectStatus,
        (_READY, _REASON, _URL, Column("Suspended", ".spec.suspend", "boolean", wide=True), _MESSAGE, _AGE),
        PROJECT_NAME,
    ),
    Definition(
        "JenkinsSettings",
        "jenkinssettings",
        "jks",
        "Folder, credentials and job of a project in Jenkins, and the poll of .freeleaps.yaml in Git.",
        JenkinsSettingsSpec,
        JenkinsSettingsStatus,
        (_READY, _REASON, _URL, _MESSAGE, _AGE),
        PROJECT_NAME,
    ),
    Definition(
        "RegistrySettings",
        "registrysettings",
        "regs",
        "The Docker Hub repository of a project.",
        RegistrySettingsSpec,
        RegistrySettingsStatus,
        (_READY, _REASON, Column("Image", ".status.image"), _MESSAGE, _AGE),
        PROJECT_NAME,
    ),
    Definition(
        "ArgoSettings",
        "argosettings",
        "args",
        "Repository, project and main application of a project in Argo CD.",
        ArgoSettingsSpec,
        ArgoSettingsStatus,
        (_READY, _REASON, _URL, _MESSAGE, _AGE),
        PROJECT_NAME,
    ),
    Definition(
        "IngressResource",
        "ingressresources",
        "ingr",
        "The Ingress of a project and its DNS record.",
        IngressResourceSpec,
        IngressResourceStatus,
        (_READY, _REASON, _URL, Column("Target", ".status.target", wide=True), _MESSAGE, _AGE),
        PROJECT_NAME,
    ),
    Definition(
        "DeploymentRecord",
        "deploymentrecords",
        "dr",
        "One deployment of a project into one environment, from the commit to the address that answers.",
        DeploymentRecordSpec,
        DeploymentRecordStatus,
        (
            Column("Project", ".spec.projectRef.name"),
            Column("Environment", ".spec.environment"),
            _READY,
            _REASON,
            Column("Step", ".status.step"),
            _URL,
            Column("Expires", ".status.expiresAt"),
            Column("Image", ".status.image", wide=True),
            _MESSAGE,
            _AGE,
        ),
        RECORD_NAME,
    ),
)
