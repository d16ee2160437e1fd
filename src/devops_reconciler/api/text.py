"""The forms of text that the API accepts: each has a pattern, a longest length, and a sentence for people.

Patterns are written in the common part of Python's, Go's (API server) and Rust's regular expressions, and always match
the whole text. They hold no single quote, so that they can stand in a raw CEL string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

RULE_OF_PARENT = "x-rule-of-parent"
"""Key of a rule that the object around the text has to carry: errors about an object do not quote its content."""
SUBJECT = "$subject"
"""Stands for the text in a rule of the parent."""


@dataclass(frozen=True, slots=True)
class Text:
    """Annotation of a `str`: what it must look like, checked here and, from the same definition, by the API server."""

    pattern: str
    max_length: int
    says: str
    """What is expected, as a sentence that tells the user what to write."""
    forbids: str | None = None
    """A pattern that must not be found anywhere in the text."""
    quoted: bool = True
    """False where a wrong value may hold a password: then no error quotes it, the API server's included."""

    def check(self, value: str) -> str:
        """Return `value`, or raise `ValueError`; the error never quotes the value, which could hold a secret."""
        if len(value) > self.max_length:
            raise ValueError(f"is {len(value)} characters long, at most {self.max_length} are allowed")
        if re.fullmatch(self.pattern, value) is None or (self.forbids and re.search(self.forbids, value)):
            raise ValueError(self.says)
        return value

    def matches(self, subject: str = "self") -> str:
        """The same check as a CEL expression."""
        rule = f"{subject}.matches(r'{self.pattern}')"
        return rule if self.forbids is None else f"{rule} && !{subject}.matches(r'{self.forbids}')"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core) | {"maxLength": self.max_length}
        if not self.quoted:
            return schema | {RULE_OF_PARENT: {"rule": self.matches(SUBJECT), "message": self.says}}
        rules = [{"rule": self.matches(), "message": self.says}]
        return schema | {"pattern": self.pattern, "x-kubernetes-validations": rules}


LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_HOST_CHARS = rf"({LABEL}\.)*[a-z]([-a-z0-9]*[a-z0-9])?"
_IPV4 = r"((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV6 = r"[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}"
_URL_HOST = r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])"
_REF_FORBIDDEN = r"\x00-\x20\x7f~^:?*\[\\"
_JENKINS_FORBIDDEN = r"?*/\\%!@#$^&|<>\[\]:;\x00-\x1f\x7f"

SHORT_NAME = Text(
    rf"^{LABEL}$",
    30,
    "use a DNS label of at most 30 characters: lower-case letters, digits and -, no - at either end",
)
OBJECT_NAME = Text(
    rf"^{LABEL}(\.{LABEL})*$", 253, "use the name of a Kubernetes object: lower-case letters, digits, - and ."
)
NAMESPACE_NAME = Text(
    rf"^{LABEL}$", 63, "use the name of a namespace: at most 63 lower-case letters, digits and -, no - at either end"
)
SERVICE_NAME = Text(
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 63, "use the name of a Service: at most 63 lower-case letters, digits and -"
)
GIT_URL = Text(
    rf"^https?://{_URL_HOST}(:[0-9]{{1,5}})?/[^\s?#\\@]+$",
    1024,
    "use an http(s) URL like https://git.example.com/shop.git, without user, password, query or fragment; "
    "credentials go into a Secret that credentialsRef names",
    forbids=r"/\.\.?(/|$)",
    quoted=False,
)
SERVER_URL = Text(
    rf"^https?://{_URL_HOST}(:[0-9]{{1,5}})?(/[^\s?#\\@]*)?$",
    1024,
    "use the http(s) URL of a cluster's API server as Argo CD knows it, like https://kubernetes.default.svc",
    quoted=False,
)
REVISION = Text(
    rf"^[^-./{_REF_FORBIDDEN}]([^{_REF_FORBIDDEN}]*[^./{_REF_FORBIDDEN}])?$",
    250,
    "use a branch, a tag or a commit, as Git allows them: no spaces, no .., not beginning with - or /",
    forbids=r"\.\.|@\{|//|/\.",
)
RECORD_OR_LAST_HEALTHY = Text(
    rf"^(lastHealthy|{LABEL}(\.{LABEL})*)$", 253, "use the name of a DeploymentRecord, or lastHealthy"
)
PATH = Text(
    r"^[^/\x00-\x1f\x7f\\][^\x00-\x1f\x7f\\]*$",
    1024,
    "use a path inside the repository, like deploy/production: no leading /, no .., no backslash",
    forbids=r"(^|/)\.\.(/|$)",
)
URL_PATH = Text(r"^/[^\s#\\]*$", 1024, "use the path of a URL, like / or /healthz?full=1: begin it with /")
ITEM_NAME = Text(
    rf"^[^-.\s{_JENKINS_FORBIDDEN}]([^{_JENKINS_FORBIDDEN}]*[^.\s{_JENKINS_FORBIDDEN}])?$",
    200,
    "use a name that Jenkins allows for a folder: none of ?*/\\%!@#$^&|<>[]:; and no space or dot at either end",
)
HUB_NAMESPACE = Text(
    r"^[a-z0-9]+([._-][a-z0-9]+)*$",
    255,
    "use a Docker Hub namespace: lower-case letters and digits, single . _ - between",
)
HUB_REPOSITORY = Text(
    r"^[a-z0-9]+([._-][a-z0-9]+)+$|^[a-z0-9]{2,}$",
    255,
    "use a Docker Hub repository name: 2 to 255 lower-case letters and digits, with single . _ - between them",
)
IMAGE_NAME = Text(
    r"^[A-Za-z0-9][-A-Za-z0-9._/:]*$",
    512,
    "use the image name that the manifests use, like acme/shop, without tag or digest",
)
PARAMETER_NAME = Text(r"^[A-Za-z_][A-Za-z0-9_]*$", 128, "use a parameter name of letters, digits and _")
HOST = Text(
    rf"^(\*\.)?{_HOST_CHARS}$",
    253,
    "use a host name in lower case, like shop.example.com or *.example.com, without scheme, port or path",
    forbids=r"[^.]{64}",
)
ZONE = Text(
    rf"^({LABEL}\.)+[a-z]([-a-z0-9]*[a-z0-9])?$",
    253,
    "use the name of a DNS zone in lower case, like example.com",
    forbids=r"[^.]{64}",
)
TARGET = Text(
    rf"^({_IPV4}|{_IPV6}|{_HOST_CHARS})$",
    253,
    "use an IPv4 or IPv6 address or a host name that the record shall point to, in lower case",
    forbids=r"[^.:]{64}",
)
HOST_TEMPLATE = Text(
    rf"^(\*\.)?({LABEL}\.)*[-a-z0-9]*\{{name\}}[-a-z0-9]*\.({LABEL}\.)*[a-z]([-a-z0-9]*[a-z0-9])?$",
    253,
    "use a host name with {name} once in one label, like {name}.preview.example.com; "
    "{name} becomes <project>-<environment>",
)

ShortName = Annotated[str, SHORT_NAME]
ObjectName = Annotated[str, OBJECT_NAME]
NamespaceName = Annotated[str, NAMESPACE_NAME]
ServiceName = Annotated[str, SERVICE_NAME]
GitUrl = Annotated[str, GIT_URL]
ServerUrl = Annotated[str, SERVER_URL]
Revision = Annotated[str, REVISION]
RecordOrLastHealthy = Annotated[str, RECORD_OR_LAST_HEALTHY]
RepositoryPath = Annotated[str, PATH]
UrlPath = Annotated[str, URL_PATH]
ItemName = Annotated[str, ITEM_NAME]
HubNamespace = Annotated[str, HUB_NAMESPACE]
HubRepository = Annotated[str, HUB_REPOSITORY]
ImageName = Annotated[str, IMAGE_NAME]
Host = Annotated[str, HOST]
Zone = Annotated[str, ZONE]
Target = Annotated[str, TARGET]
HostTemplate = Annotated[str, HOST_TEMPLATE]
