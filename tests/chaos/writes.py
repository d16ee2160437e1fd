"""What the operator asks of the services, in words that are the same in every run: which call, about what, the n-th."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from standins.controls import Call
from testbed.api_proxy import plural_of

from .names import common

READS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_BOOKKEEPING = frozenset({"events", "leases", "clusterkopfpeerings", "kopfpeerings", "selfsubjectaccessreviews"})
"""Writes to the API server that are about the operator itself."""
OWN_GROUP = "/apis/freeleaps.com/"
APPLY = "application/apply-patch+yaml"
ID = re.compile(r"<id>([^<]+)</id>")


@dataclass(frozen=True, order=True)
class Asked:
    """One call of a run. ``about`` tells equal calls about different things apart; ``nth`` counts from 1."""

    service: str
    method: str
    template: str
    about: str
    nth: int = 1

    @property
    def is_write(self) -> bool:
        return self.method not in READS

    def __str__(self) -> str:
        often = f" (no. {self.nth})" if self.nth > 1 else ""
        return f"{self.service} {self.method} {self.about}{often}"


def triggers_a_build(what: Asked | Call) -> bool:
    """The one call that must never have its effect twice."""
    return what.template.endswith("buildWithParameters")


def concerns(call: Call, project: str) -> bool:
    """Whether a call names the project anywhere."""
    return project in call.path or project in call.query or project in call.body


def counts(service: str, call: Call) -> bool:
    """Whether it is a call to the outside, and not one by which the operator keeps its own state."""
    if service != "kubernetes":
        return True
    if plural_of(call.path) in OWN_BOOKKEEPING or "watch=true" in call.query:
        return False
    # Its own objects: made and removed they are things; their status and their metadata are its memory.
    kept = call.path.startswith(OWN_GROUP) and call.method in ("PATCH", "PUT")
    return not kept or call.headers.get("content-type") == APPLY


def asked(service: str, call: Call, project: str) -> Asked:
    """The call without what is new in each run; ``nth`` is left at 1."""
    path = common(f"{call.path}{_what(call)}", project)
    return Asked(service, call.method, common(call.template, project), path)


def _what(call: Call) -> str:
    """What a call to a collection is about: named in its query, or in its body."""
    if call.method in READS:
        return ""
    name = re.search(r"(?:^|&)name=([^&]+)", call.query)
    if name is not None:
        return f"?name={name[1]}"
    if call.body.startswith("<"):
        found = ID.search(call.body)
        return f" {found[1]}" if found else ""
    try:
        return _named(json.loads(call.body))
    except ValueError:
        return ""


def _named(body: Any) -> str:
    if isinstance(body, list):
        return "".join(sorted(_named(each) for each in body))
    if not isinstance(body, dict):
        return ""
    if isinstance(body.get("project"), dict):
        return _named(body["project"])
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        return f" {metadata.get('name', '')}"
    parts = [str(body[key]) for key in ("type", "name", "repo") if key in body]
    return f" {' '.join(parts)}" if parts else ""


def in_order(service: str, calls: Iterable[Call], project: str) -> list[Asked]:
    """The calls about a project with their numbers, in order."""
    seen: Counter[Asked] = Counter()
    found = []
    for call in calls:
        if not concerns(call, project) or not counts(service, call):
            continue
        plain = asked(service, call, project)
        seen[plain] += 1
        found.append(Asked(plain.service, plain.method, plain.template, plain.about, seen[plain]))
    return found


def matcher(what: Asked, project: str) -> Callable[[Call], bool]:
    """Whether a call is this one of this project, whatever its number."""
    plain = Asked(what.service, what.method, what.template, what.about)

    def matches(call: Call) -> bool:
        about_it = call.method == what.method and concerns(call, project) and counts(what.service, call)
        return about_it and asked(what.service, call, project) == plain

    return matches
