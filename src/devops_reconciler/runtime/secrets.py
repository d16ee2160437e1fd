"""Secrets that rotate: a value that came from a file is read again when the file changes.

`Settings` is a picture of the start; logins are taken from here, so that a new token works without a restart.
"""

import base64
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from .clock import Clock
from .logs import Redactor, get_logger
from .settings import Settings, is_secret
from .settings_sources import UnreadableFile, read_value, resolve, value_file

LOOK_EVERY = 1.0
"""Seconds between two looks at a file."""
_REMEMBERED = 8
_LEARNED = 512
"""How many secrets of projects are remembered, by last use; a login is two (itself, and as a header has it)."""

_log = get_logger(__name__)
_Signature = tuple[int, int, int] | None


@dataclass
class _File:
    path: Path
    looked_at: float
    signature: _Signature
    value: str | None = None


@dataclass
class Secrets:
    """The current secrets, and the other texts of a login (user names may rotate with them).

    `environ` says which of them come from a file; the files are looked at only when a value is asked for.
    """

    settings: Settings
    environ: Mapping[str, str]
    clock: Clock
    _files: dict[str, _File] = field(default_factory=dict, init=False, repr=False)
    _seen: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False)
    _learned: OrderedDict[str, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _all: frozenset[str] | None = field(default=None, init=False, repr=False)
    """What `values` gave last; None when it has become too little."""
    _own: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    _gathered_at: float = field(default=0.0, init=False, repr=False)
    hide: Redactor = field(init=False, repr=False)
    """Takes all of them out of a text; one for the whole process, since it keeps each in many forms."""
    hide_own: Redactor = field(init=False, repr=False)
    """Takes out the operator's own alone."""

    def __post_init__(self) -> None:
        self.hide, self.hide_own = Redactor(self.values), Redactor(self.own)

    def current(self, name: str) -> str | None:
        """The value of an attribute of `Settings` (`jenkins_token`) as it is now; None where it is not set.

        A file that is gone, empty or unreadable leaves the last value in force, with a warning in the log. Raises
        `AttributeError` for a name that is none.
        """
        found = getattr(self.settings, name)
        text = found.get_secret_value() if isinstance(found, SecretStr) else found
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} is not a text")
        value = self._from_file(name, text)
        if value is not None and is_secret(type(self.settings), name):
            self._remember(name, value)
        return value

    def values(self) -> frozenset[str]:
        """Every secret in clear, rotated ones and those of projects included, for redaction. Never to be printed.

        The same object as before where nothing has changed: it is asked for with each line that is written.
        """
        now = self.clock.monotonic()
        if self._all is None or now - self._gathered_at >= LOOK_EVERY:
            found = self._gather()
            self._all = self._all if found == self._all else found
            self._gathered_at = now
        return self._all

    def own(self) -> frozenset[str]:
        """The operator's own of them: for texts that no project may have a word taken out of."""
        self.values()
        return self._own

    def _gather(self) -> frozenset[str]:
        for name in self.settings.secret_values():
            self.current(name)
        own = [(name, value) for name, values in self._seen.items() for value in values]
        logins = [basic(user, value) for name, value in own if (user := self._user_of(name))]
        found = frozenset([*(value for _, value in own), *logins])
        self._own = self._own if found == self._own else found
        return self._own | self._learned.keys()

    def learn(self, username: str, password: str) -> None:
        """A login of a project, to be hidden wherever it would show."""
        for text in (password, basic(username, password)):
            if text not in self._learned:
                self._all = None
            self._learned[text] = None
            self._learned.move_to_end(text)
        while len(self._learned) > _LEARNED:
            self._learned.popitem(last=False)

    def _user_of(self, name: str) -> str | None:
        """The user name that belongs to a secret of the settings."""
        user = getattr(self.settings, f"{name.rpartition('_')[0]}_username", None)
        return self._from_file(f"{name.rpartition('_')[0]}_username", user) if isinstance(user, str) else None

    def _remember(self, name: str, value: str) -> None:
        seen = self._seen.setdefault(name, [])
        if value not in seen:
            self._all = None
            seen.append(value)
            del seen[:-_REMEMBERED]

    def _from_file(self, name: str, first: str | None) -> str | None:
        path = value_file(self.environ, name.upper())
        if path is None:
            return first
        now = self.clock.monotonic()
        file = self._files.get(name)
        if file is None:
            # The first look reads too: the file may have changed since the settings were loaded.
            file = self._files[name] = _File(path, now - LOOK_EVERY, None, first)
        if now - file.looked_at >= LOOK_EVERY:
            file.looked_at = now
            self._look(name, file)
        return file.value

    def _look(self, name: str, file: _File) -> None:
        signature = _signature(file.path)
        if signature == file.signature:
            return
        file.signature = signature
        if signature is None and not self.environ.get(f"{name.upper()}_FILE"):
            return
        try:
            value = read_value(file.path)
        except UnreadableFile as error:
            _log.warning("The last value stays in force", variable=name.upper(), error=str(error))
            return
        if not value:
            _log.warning("The last value stays in force", variable=name.upper(), error=f"{file.path} is empty")
        elif value != file.value:
            _log.info("A value was read again", variable=name.upper(), path=str(file.path))
            file.value = value
            self._all = None


def secrets_in(environ: Mapping[str, str]) -> frozenset[str]:
    """Every secret that the environment and its files hold now, also as a login's header has it.

    For redaction in commands that need no whole configuration: what is wrong or missing in it is passed over.
    """
    given = resolve(environ, [name.upper() for name in Settings.model_fields]).given
    found = {name: given[name.upper()].text for name in Settings.model_fields if name.upper() in given}
    secrets = {name: text for name, text in found.items() if is_secret(Settings, name)}
    users = {name: found.get(f"{name.rpartition('_')[0]}_username") for name in secrets}
    return frozenset([*secrets.values(), *(basic(user, secrets[name]) for name, user in users.items() if user)])


def basic(username: str, password: str) -> str:
    """A login as the header Authorization: Basic has it."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def _signature(path: Path) -> _Signature:
    """What changes with the content; a Secret's volume swaps a symbolic link, so the inode counts too."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
