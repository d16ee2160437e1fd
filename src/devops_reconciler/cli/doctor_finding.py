"""What `doctor` finds out about one service, and how it is told."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp

from ..api.conditions import Reason
from ..api.errors import CredentialsError, ExternalServiceError, ReconcilerError
from ..api.plain_text import plain
from ..runtime.clock import Clock
from ..services.http import Request, Transport

LIMIT = timedelta(seconds=30)
"""For one service."""
CLOCK_LIMIT = timedelta(seconds=30)
"""Tokens and signatures begin to fail beyond this; the header tells whole seconds only."""


@dataclass
class Finding:
    """One service. Filled as far as the examination gets."""

    service: str
    address: str = ""
    version: str = ""
    identity: str = ""
    """Who the service takes us for."""
    may: list[str] = field(default_factory=list)
    """What was proven."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and no fault."""
    problems: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    """What to do about the problems."""
    clock: timedelta | None = None
    """How far the service's clock is ahead of ours."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def fail(self, problem: str, todo: str) -> None:
        self.problems.append(problem)
        if todo and todo not in self.todo:
            self.todo.append(todo)

    def hide(self, redact: Callable[[str], str]) -> None:
        """Take the secrets out of all that was said: any of it may come from the service."""
        self.address, self.version, self.identity = (
            redact(text) for text in (self.address, self.version, self.identity)
        )
        for said in (self.may, self.notes, self.problems, self.todo):
            said[:] = [redact(text) for text in said]

    def line(self) -> str:
        """One plain line for people."""
        parts = [f"{'ok  ' if self.ok else 'FAIL'} {self.service:<14}", self.address, self.version]
        parts.append(f"as {self.identity}" if self.identity else "")
        parts.append(f"clock {self.clock.total_seconds():+.0f} s" if self.clock is not None else "")
        text = "  ".join(part for part in parts if part)
        for word, said in (("may", self.may), ("note", self.notes), ("problem", self.problems), ("do", self.todo)):
            text += f"; {word}: {', '.join(said)}" if said else ""
        return plain(text)

    def as_json(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "ok": self.ok,
            "address": self.address,
            "version": self.version or None,
            "identity": self.identity or None,
            "may": self.may,
            "notes": self.notes,
            "problems": self.problems,
            "todo": self.todo,
            "clock_difference_seconds": None if self.clock is None else round(self.clock.total_seconds()),
        }


@dataclass(frozen=True)
class Examination:
    """How to look at one service: `look` fills the finding, and raises what stops it."""

    finding: Finding
    look: Callable[[Finding], Awaitable[None]]
    endpoint: str = ""
    """The variables that say where it is."""
    login: str = ""
    """The variables that say who we are."""

    async def run(self, redact: Callable[[str], str]) -> Finding:
        """The finding. Never raises; what it says, whoever said it first, holds no secret."""
        try:
            async with asyncio.timeout(LIMIT.total_seconds()):
                await self.look(self.finding)
        except TimeoutError:
            self.finding.fail(f"not done within {LIMIT.total_seconds():g} s", self._advice_reach())
        except ReconcilerError as error:
            self.finding.fail(error.message, self._advice(error))
        except Exception as error:  # noqa: BLE001 - an unforeseen answer must not take the other findings along
            self.finding.fail(f"{type(error).__name__}: {error}", self._advice_reach())
        self.finding.hide(redact)
        return self.finding

    def _advice(self, error: ReconcilerError) -> str:
        where = f"runbook: {error.reason}"
        if isinstance(error, ExternalServiceError):
            return f"{self._advice_reach()} ({where})"
        if isinstance(error, CredentialsError) and error.reason is Reason.PERMISSION_DENIED:
            return f"give {self.finding.identity or 'this account'} the permission ({where})"
        if isinstance(error, CredentialsError):
            return f"check {self.login} ({where})" if self.login else where
        return f"check {self.endpoint} ({where})" if self.endpoint else where

    def _advice_reach(self) -> str:
        what = f"check {self.endpoint}, and " if self.endpoint else ""
        policy = "network policy (most judge by the port of the pod, not of its Service)"
        return f"{what}the way there: name, port, firewall, {policy}, certificate"


async def note_clock(finding: Finding, transport: Transport, url: str, clock: Clock) -> None:
    """Compare the clock of an HTTP server with ours, by the Date of any answer."""
    sent = clock.now()
    try:
        answer = await transport.send(Request("GET", url, {}, None, timedelta(seconds=5)))
    except (OSError, TimeoutError, aiohttp.ClientError) as error:
        finding.notes.append(f"its clock could not be read ({type(error).__name__})")
        return
    middle = sent + (clock.now() - sent) / 2
    date = answer.headers.get("date", "")
    if not date:
        finding.notes.append("it does not tell its time")
        return
    try:
        theirs = email.utils.parsedate_to_datetime(date) + timedelta(milliseconds=500)
    except ValueError:
        finding.notes.append("it tells its time in a form that is not HTTP's")
        return
    finding.clock = theirs - middle
    if abs(finding.clock) > CLOCK_LIMIT:
        seconds = abs(finding.clock).total_seconds()
        word = "ahead of" if finding.clock > timedelta(0) else "behind"
        finding.fail(f"its clock is {seconds:.0f} s {word} ours", "set both clocks by NTP: tokens will seem expired")
