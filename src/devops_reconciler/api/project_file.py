"""What `.freeleaps.yaml` says: the file at the root of a repository in which a team keeps what a spec may leave out."""

from __future__ import annotations

from typing import TypeVar

import pydantic

from .errors import ValidationError
from .jenkins_settings import ProjectFileArgo, ProjectFileJenkins
from .plain_yaml import PlainYamlError, load_plain

FILE = ".freeleaps.yaml"
ROOT = "."
"""The folder of the manifests where nobody names one."""
PROBLEMS_TOLD = 10


class _Folder(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="ignore")

    argo: ProjectFileArgo = ProjectFileArgo()


class ProjectFile(_Folder):
    """All of it that is known; what is not known may be there."""

    jenkins: ProjectFileJenkins = ProjectFileJenkins()


_Content = TypeVar("_Content", bound=_Folder)


def parse_project_file(body: bytes, where: str) -> ProjectFile:
    """The file's content; raises ValidationError that names the line or the field."""
    return _parsed(ProjectFile, body, where)


def manifests_folder(body: bytes | None, where: str) -> str:
    """The folder of the manifests by the file, or by there being none.

    Raises ValidationError as `parse_project_file` does, but for nothing that the file says of the build.
    """
    named = None if body is None else _parsed(_Folder, body, where).argo.path
    return named or ROOT


def _parsed(content: type[_Content], body: bytes, where: str) -> _Content:
    try:
        value = load_plain(body)
    except PlainYamlError as error:
        raise ValidationError(f"{where}: {error}") from error
    try:
        return content.model_validate(value or {})
    except pydantic.ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        more = f"; and {len(found) - PROBLEMS_TOLD} more" if len(found) > PROBLEMS_TOLD else ""
        raise ValidationError(f"{where}: {'; '.join(found[:PROBLEMS_TOLD])}{more}") from error
