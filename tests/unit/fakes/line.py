"""The line to every service in memory: what was asked, and what goes wrong on the way."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Service")


class Crash(BaseException):
    """The operator dies here: nothing in memory survives, everything outside stays as it is."""


@dataclass
class Fault:
    """`times` calls whose name matches `operation`, after `skip` good ones, end with `error`."""

    operation: str
    error: BaseException
    times: int = 1
    after_effect: bool = False
    """The reply is lost, not the request."""
    skip: int = 0


class Line:
    """All calls in order, each as `service.method`; `writes` are those that may change something."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: list[Fault] = []
        self.before: Callable[[str], None] | None = None
        """Called before each call: what somebody else does in between."""
        self.wire: Callable[[str], Awaitable[object]] | None = None
        """Awaited for each call: how it goes out, where that is looked at."""

    def fail(
        self, operation: str, error: BaseException, *, times: int = 1, after_effect: bool = False, skip: int = 0
    ) -> None:
        self.faults.append(Fault(operation, error, times, after_effect, skip))

    def count(self, operation: str) -> int:
        return sum(1 for name in self.calls if fnmatchcase(name, operation))

    def since(self, mark: int) -> list[str]:
        """The calls after the first `mark` ones."""
        return self.calls[mark:]

    def begin(self, name: str) -> Fault | None:
        """Note the call; raise here what comes before the effect, return what comes after it."""
        self.calls.append(name)
        if self.before is not None:
            self.before(name)
        for fault in self.faults:
            if fault.times > 0 and fnmatchcase(name, fault.operation):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.after_effect:
                    return fault
                raise fault.error
        return None


class Service:
    """A service in memory."""

    name: str

    def __init__(self, line: Line) -> None:
        self.line = line


def call(method: Callable[Concatenate[S, P], Awaitable[R]]) -> Callable[Concatenate[S, P], Awaitable[R]]:
    """A method that goes over the line."""

    @functools.wraps(method)
    async def over_the_line(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        name = f"{self.name}.{method.__name__}{_about(args)}"
        if self.line.wire is not None:
            await self.line.wire(name)
        fault = self.line.begin(name)
        result = await method(self, *args, **kwargs)
        if fault is not None:
            raise fault.error
        return result

    return over_the_line


def _about(args: tuple[Any, ...]) -> str:
    """For Kubernetes, the kind belongs to the name of the call."""
    kind = getattr(args[0], "kind", None) if args else None
    return f" {kind}" if isinstance(kind, str) else ""
