"""Where the value of a variable comes from: the environment, a file named there, a directory of files, in this order.

An empty value counts as not set, as most templates write `NAME=""` for "not given". Nothing here knows any variable's
meaning.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SECRETS_DIR = "RECONCILER_SECRETS_DIR"
_MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration. Never holds a secret."""

    variable: str
    wrong: str
    instead: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.wrong}; {self.instead}"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and where: `source` is environment, file or directory, `origin` names the file."""

    text: str
    origin: str
    source: str = "environment"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the sources hold: texts by variable, and what could not be read."""

    given: Mapping[str, Given]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


class UnreadableFile(Exception):
    """A configuration file cannot be used; the text says why."""


def read_value(path: Path) -> str:
    """The text of a value file without line breaks at its end. Raises `UnreadableFile`."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read ({os.strerror(error.errno or 0)})") from error
    if len(content) > _MAX_FILE_BYTES:
        raise UnreadableFile(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UnreadableFile(f"{path} is not UTF-8 text") from None


def value_file(environ: Mapping[str, str], variable: str) -> Path | None:
    """The file that the variable would be read from; it need not exist. None where the environment gives the value."""
    if environ.get(variable):
        return None
    if environ.get(f"{variable}_FILE"):
        return Path(environ[f"{variable}_FILE"])
    directory = environ.get(SECRETS_DIR)
    return Path(directory) / variable if directory and variable != SECRETS_DIR else None


def resolve(environ: Mapping[str, str], variables: Iterable[str]) -> Resolution:
    """The text of each variable from the first source that has it; files that cannot be read are problems."""
    given: dict[str, Given] = {}
    problems = _directory_problems(environ)
    warnings: list[str] = []
    for variable in variables:
        if environ.get(variable):
            given[variable] = Given(environ[variable], "environment")
            if environ.get(f"{variable}_FILE"):
                warnings.append(f"{variable}_FILE is not used, because {variable} is set too")
            continue
        try:
            found = _from_file(environ, variable)
        except UnreadableFile as error:
            problems.append(Problem(variable, str(error), "let it be a readable text file"))
            continue
        if found is not None:
            given[variable] = found
    return Resolution(given, tuple(problems), tuple(warnings))


def _from_file(environ: Mapping[str, str], variable: str) -> Given | None:
    path = value_file(environ, variable)
    named = bool(environ.get(f"{variable}_FILE"))
    if path is None or not (named or os.path.exists(path)):
        return None
    text = read_value(path)
    if named and not text:
        raise UnreadableFile(f"{path} is empty")
    return Given(text, str(path), "file" if named else "directory") if text else None


def _directory_problems(environ: Mapping[str, str]) -> list[Problem]:
    directory = environ.get(SECRETS_DIR)
    if not directory:
        return []
    if not os.path.isdir(directory):
        return [Problem(SECRETS_DIR, f"{directory} is not a directory", "mount it, or unset the variable")]
    if not os.access(directory, os.R_OK | os.X_OK):
        return [Problem(SECRETS_DIR, f"{directory} cannot be read", "let the operator's user read it")]
    return []


def files_of_directory(environ: Mapping[str, str]) -> list[str]:
    """The names of files in the directory of values, but those that Kubernetes puts beside them (`..data`)."""
    directory = environ.get(SECRETS_DIR)
    if not directory or not os.path.isdir(directory):
        return []
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except PermissionError:
        return []  # reported as a problem of the directory


_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$")


def is_service_link(variable: str) -> bool:
    """Whether Kubernetes sets a variable of this name for a Service (`enableServiceLinks`)."""
    return bool(_SERVICE_LINK.search(variable))
