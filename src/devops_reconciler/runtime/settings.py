"""The configuration of the operator: typed, checked as a whole, immutable. The only reader of the environment.

`load` is the way in. It reports every problem at once, before anything starts.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from .settings_checks import combination_problems, doubts, ignored_proxies, unknown_files, unknown_variables
from .settings_lists import AllowList, GitHost
from .settings_services import (
    AddressVariables,
    ArgocdVariables,
    DnsVariables,
    GitVariables,
    JenkinsVariables,
    RegistryVariables,
)
from .settings_sources import Given, Problem, files_of_directory, resolve
from .settings_types import Doc, Unit, display, find_metadata
from .settings_variables import (
    OperatorVariables,
    RabbitmqVariables,
    TimingVariables,
    TracingVariables,
    VariableGroup,
)

__all__ = [
    "GROUPS",
    "AllowList",
    "ConfigurationError",
    "ConfigurationValidator",
    "GitHost",
    "Problem",
    "RabbitmqVariables",
    "Settings",
    "load",
]

GROUPS: tuple[type[VariableGroup], ...] = (
    OperatorVariables,
    RabbitmqVariables,
    JenkinsVariables,
    ArgocdVariables,
    RegistryVariables,
    DnsVariables,
    GitVariables,
    AddressVariables,
    TimingVariables,
    TracingVariables,
)
"""The groups in the order of the reference."""


class Settings(
    OperatorVariables,
    RabbitmqVariables,
    JenkinsVariables,
    ArgocdVariables,
    RegistryVariables,
    DnsVariables,
    GitVariables,
    AddressVariables,
    TimingVariables,
    TracingVariables,
):
    """The effective configuration: one attribute per variable, named like it in lower case.

    Durations are `timedelta`, secrets `SecretStr`, URLs have no slash at the end. Made from keyword arguments in
    tests, from the environment by `load`.
    """

    def fingerprint(self) -> str:
        """Twelve hex digits that are equal exactly where the effective configuration is, secrets left out.

        It goes to the log and to a metric, so that replicas with different configurations show.
        """
        values = {name: display(getattr(self, name)) for name in sorted(type(self).model_fields)}
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]

    def secret_values(self) -> dict[str, str]:
        """The secrets in clear, by attribute, for the logins and for redaction. Never to be printed."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}


G = TypeVar("G", bound=VariableGroup)


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` has all that is wrong, one entry each; `str` is the report."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__("\n".join([f"The configuration has {count}:", *(f"  {problem}" for problem in problems)]))


class ConfigurationValidator:
    """Checks a configuration as a whole: every file, every value, and how they go together.

    `kind` narrows it to one group of variables, for commands that need no more (such as `RabbitmqVariables`).
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, kind: type[VariableGroup] = Settings) -> None:
        self._environ = environ
        self._kind = kind
        self._sources = resolve(environ, [name.upper() for name in kind.model_fields])
        self.problems: list[Problem] = list(self._sources.problems)
        self.settings: VariableGroup | None = None
        self._check()

    @property
    def given(self) -> Mapping[str, Given]:
        """What is set, by variable: the text and where it was written."""
        return self._sources.given

    @property
    def warnings(self) -> list[str]:
        """What works, but is probably not meant: unknown names near to ours, values that have no effect."""
        known = [name.upper() for name in Settings.model_fields]
        return [
            *self._sources.warnings,
            *unknown_variables(self._environ, known),
            *ignored_proxies(self._environ),
            *unknown_files(files_of_directory(self._environ), known),
            *doubts(self.given),
        ]

    def validate(self) -> list[str]:
        """Every problem as one sentence for people, in the order of the reference; empty when all is well."""
        return [str(problem) for problem in self.problems]

    def _check(self) -> None:
        unreadable = {problem.variable for problem in self.problems}
        try:
            self.settings = self._kind.model_validate(self._texts())
        except ValidationError as error:
            self.problems.extend(self._value_problems(error, unreadable))
        self.problems.extend(combination_problems(self.given, unreadable))
        order = [name.upper() for group in GROUPS for name in group.model_fields]
        self.problems.sort(key=lambda problem: order.index(problem.variable))

    def _texts(self) -> dict[str, str]:
        return {
            variable.lower(): given.text if self._is_secret(variable) else given.text.strip()
            for variable, given in self.given.items()
        }

    def _is_secret(self, variable: str) -> bool:
        return is_secret(self._kind, variable.lower())

    def _value_problems(self, error: ValidationError, unreadable: set[str]) -> list[Problem]:
        wrong: dict[str, list[str]] = {}
        for entry in error.errors(include_url=False, include_context=False, include_input=False):
            name = str(entry["loc"][0])
            # A computed default is not called when what it is computed from is wrong: that one is reported.
            if entry["type"] != "default_factory_not_called" and name.upper() not in unreadable:
                text = "is required and not set" if entry["type"] == "missing" else entry["msg"]
                wrong.setdefault(name, []).append(text.removeprefix("Value error, "))
        return [self._problem(name, texts) for name, texts in wrong.items()]

    def _problem(self, name: str, wrong: list[str]) -> Problem:
        variable = name.upper()
        doc, unit = documentation(self._kind, name)
        given = self.given.get(variable)
        place = f" (in {given.origin})" if given and given.origin != "environment" else ""
        return Problem(variable, ", ".join(wrong) + place, f"expected: {unit}, for example {variable}={doc.example}")


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """The effective configuration. Raises `ConfigurationError` with all that is wrong."""
    return load_group(Settings, environ)


def load_group(kind: type[G], environ: Mapping[str, str] = os.environ) -> G:
    """One group of variables, for a command that needs no more. Raises `ConfigurationError`."""
    validator = ConfigurationValidator(environ, kind)
    if validator.problems or not isinstance(validator.settings, kind):
        raise ConfigurationError(validator.problems)
    return validator.settings


def documentation(kind: type[VariableGroup], name: str) -> tuple[Doc, str]:
    """What the reference says about an attribute, and its unit."""
    field: Any = kind.model_fields[name]
    doc = next(entry for entry in field.metadata if isinstance(entry, Doc))
    units = [entry.text for entry in field.metadata if isinstance(entry, Unit)]
    found = find_metadata(field.annotation, Unit)
    return doc, units[0] if units else found.text if found else "text"


def is_secret(kind: type[VariableGroup], name: str) -> bool:
    """Whether the attribute's value must never be shown."""
    return "SecretStr" in str(kind.model_fields[name].annotation)
