"""The JSON of Jenkins' remote API, and its `tree` expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from .jenkins_model import StoredBuild, StoredCredential, StoredItem, StoredQueueItem, url_path
from .jenkins_queue import Queue

Json = dict[str, Any]
TOKEN = re.compile(r"[^\[\],]+|[\[\],]")
RANGE = re.compile(r"\{(\d*),?(\d*)\}$")


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def span(duration: timedelta) -> int:
    return round(duration / timedelta(milliseconds=1))


def parameters_action(parameters: dict[str, str]) -> list[Json]:
    value = "hudson.model.StringParameterValue"
    return [
        {"_class": "hudson.model.CauseAction", "causes": [{"_class": "hudson.model.Cause$UserIdCause"}]},
        {},
        {
            "_class": "hudson.model.ParametersAction",
            "parameters": [{"_class": value, "name": name, "value": text} for name, text in parameters.items()],
        },
    ]


class Api:
    """Renders what the remote API shows. `root` is the address that Jenkins believes to be its own."""

    def __init__(self, root: str, queue: Queue, now: datetime, lag: timedelta) -> None:
        self._root = root
        self._queue = queue
        self._now = now
        self._lag = lag

    def item_url(self, item: StoredItem) -> str:
        return f"{self._root}/{url_path(item.path)}"

    def item(self, item: StoredItem) -> Json:
        name = item.path[-1] if item.path else ""
        value: Json = {
            "_class": item.cls if item.path else "hudson.model.Hudson",
            "name": name,
            "fullName": "/".join(item.path),
            "displayName": name,
            "description": item.description or None,
            "url": self.item_url(item),
        }
        if item.is_folder:
            value["jobs"] = [self.item(child) for child in item.children.values()]
            return value
        builds = [self.build(build) for build in self.visible(item)]
        value |= {
            "buildable": not item.disabled,
            "builds": builds[:100],
            "lastBuild": builds[0] if builds else None,
            "nextBuildNumber": item.next_number,
            "inQueue": any(each.path == item.path for each in self._queue.waiting()),
            "property": [self._definitions(item)],
        }
        return value

    def _definitions(self, item: StoredItem) -> Json:
        kind = "hudson.model.StringParameterDefinition"
        return {
            "_class": "hudson.model.ParametersDefinitionProperty",
            "parameterDefinitions": [{"_class": kind, "name": name} for name in item.parameters],
        }

    def visible(self, item: StoredItem) -> list[StoredBuild]:
        """Newest first; a build is seen `lag` after its start."""
        builds = [item.builds[number] for number in sorted(item.builds, reverse=True)]
        return [build for build in builds if build.started_at + self._lag <= self._now]

    def build(self, build: StoredBuild) -> Json:
        return {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "actions": parameters_action(build.parameters),
            "number": build.number,
            "id": str(build.number),
            "url": f"{self._root}/{url_path(build.path)}{build.number}/",
            "queueId": build.queue_id,
            "building": build.building,
            "inProgress": build.building,
            "result": build.result,
            "timestamp": millis(build.started_at),
            "duration": 0 if build.building else span(build.duration),
            "estimatedDuration": -1 if build.estimated is None else span(build.estimated),
            "displayName": f"#{build.number}",
            "fullDisplayName": f"{' » '.join(build.path)} #{build.number}",
            "description": None,
            "keepLog": False,
        }

    def queue(self) -> Json:
        seen = [each for each in self._queue.waiting() if each.since + self._lag <= self._now]
        # Newest first, as Queue.getItems().
        return {"_class": "hudson.model.Queue", "items": [self.queue_item(each) for each in reversed(seen)]}

    def queue_item(self, item: StoredQueueItem) -> Json:
        state = self._queue.state(item)
        value: Json = {
            "_class": f"hudson.model.Queue${state}Item",
            "actions": parameters_action(item.parameters),
            "blocked": state == "Blocked",
            "buildable": state == "Buildable",
            "id": item.id,
            "inQueueSince": millis(item.since),
            "params": "".join(f"\n{name}={text}" for name, text in item.parameters.items()),
            "stuck": False,
            "task": {
                "_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob",
                "name": item.path[-1],
                "url": f"{self._root}/{url_path(item.path)}",
            },
            "url": f"queue/item/{item.id}/",
            "why": self._queue.why(item),
        }
        if state == "Waiting":
            value["timestamp"] = millis(item.due)
        elif state == "Left":
            value["cancelled"] = item.cancelled
            value["executable"] = self._executable(item)
        else:
            value["buildableStartMilliseconds"] = millis(item.due)
        if state == "Buildable":
            value["pending"] = False
        return value

    def _executable(self, item: StoredQueueItem) -> Json | None:
        if item.build is None or item.left_at is None or item.left_at + self._lag > self._now:
            return None
        return {
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "number": item.build,
            "url": f"{self._root}/{url_path(item.path)}{item.build}/",
        }

    def nodes(self, *, readable: bool) -> Json:
        """The built-in node, whose one-off executors run the pipelines, and an agent, where their `node` blocks work.

        What the caller may not read shows as an executor without anything (`Executor.getCurrentExecutableForApi`).
        """
        builds = [each for each in self._queue.running if each.started_at + self._lag <= self._now]

        def executors(cls: str, executables: list[Json]) -> list[Json]:
            return [{"_class": cls, "currentExecutable": each if readable else None} for each in executables]

        idle = [{"_class": "hudson.model.Executor", "currentExecutable": None}]
        return {
            "_class": "hudson.model.ComputerSet",
            "busyExecutors": len(builds),
            "computer": [
                {
                    "_class": "hudson.model.Hudson$MasterComputer",
                    "displayName": "Built-In Node",
                    "executors": idle,
                    "oneOffExecutors": executors("hudson.model.OneOffExecutor", [self.build(each) for each in builds]),
                },
                {
                    "_class": "hudson.slaves.SlaveComputer",
                    "displayName": "agent",
                    "executors": executors("hudson.model.Executor", [self._placeholder(each) for each in builds])
                    + idle,
                    "oneOffExecutors": [],
                },
            ],
        }

    def _placeholder(self, build: StoredBuild) -> Json:
        """All that workflow-durable-task-step exports of a `node` block at work."""
        shown = self.build(build)
        names = ("number", "url", "timestamp", "estimatedDuration", "displayName", "fullDisplayName")
        step = "org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution"
        return {"_class": f"{step}$PlaceholderTask$PlaceholderExecutable", **{name: shown[name] for name in names}}

    def stages(self, build: StoredBuild) -> Json:
        stages = [
            {
                "id": str(index + 6),
                "name": stage.name,
                "execNode": "",
                "status": stage.status,
                "startTimeMillis": millis(stage.started_at),
                "durationMillis": span((stage.ended_at or self._now) - stage.started_at),
                "pauseDurationMillis": 0,
            }
            for index, stage in enumerate(build.stages)
        ]
        status = {None: "IN_PROGRESS", "FAILURE": "FAILED"}.get(build.result, build.result)
        return {
            "id": str(build.number),
            "name": f"#{build.number}",
            "status": "IN_PROGRESS" if build.building else status,
            "startTimeMillis": millis(build.started_at),
            "endTimeMillis": millis(build.started_at + build.duration),
            "durationMillis": span(build.duration),
            "queueDurationMillis": 0,
            "pauseDurationMillis": 0,
            "stages": stages,
        }


class ByName(dict[str, Any]):
    """A map of the remote API: what `tree` names is that of each value (jenkinsci/stapler, `Property.writeValue`)."""


def shown_credential(found: StoredCredential) -> Json:
    wrapper = "com.cloudbees.plugins.credentials.CredentialsStoreAction$CredentialsWrapper"
    description = found.config.findtext("description") or ""
    return {"_class": wrapper, "id": found.id, "description": description, "typeName": "Username with password"}


def shown_store(domains: Mapping[str, Mapping[str, StoredCredential]]) -> ByName:
    wrapper = "com.cloudbees.plugins.credentials.CredentialsStoreAction$DomainWrapper"
    return ByName(
        {
            name: {"_class": wrapper, "credentials": [shown_credential(each) for each in found.values()]}
            for name, found in sorted(domains.items())
        }
    )


def shallow(value: Json) -> Json:
    """Without `tree`, what is inside is shown by name, number and URL only (depth 0)."""
    cut = dict(value)
    if "jobs" in cut:
        cut["jobs"] = [{name: each[name] for name in ("_class", "name", "url")} for each in cut["jobs"]]
    if "builds" in cut:
        cut["builds"] = [_line(build) for build in cut["builds"]]
    if cut.get("lastBuild"):
        cut["lastBuild"] = _line(cut["lastBuild"])
    return cut


def _line(build: Json) -> Json:
    return {name: build[name] for name in ("_class", "number", "url")}


def select(value: Any, tree: str) -> Any:
    """`value` with what a `tree` expression names, and `_class` wherever it is. ValueError for a bad expression."""
    tokens = TOKEN.findall(tree)
    wanted, rest = _names(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"unexpected {tokens[rest]!r} in tree")
    return _pick(value, wanted)


Wanted = dict[str, tuple[str, Any]]


def _names(tokens: list[str], at: int) -> tuple[Wanted, int]:
    wanted: Wanted = {}
    while at < len(tokens) and tokens[at] != "]":
        if tokens[at] == ",":
            at += 1
            continue
        name, inner = tokens[at], None
        at += 1
        # A range {m,n} holds a comma, so it arrives in pieces.
        while "{" in name and not name.endswith("}"):
            name += tokens[at]
            at += 1
        if at < len(tokens) and tokens[at] == "[":
            inner, at = _names(tokens, at + 1)
            if at >= len(tokens):
                raise ValueError("a [ is not closed in tree")
            at += 1
        wanted[RANGE.sub("", name)] = (name, inner)
    return wanted, at


def _pick(value: Any, wanted: Wanted | None) -> Any:
    if isinstance(value, list):
        return [_pick(each, wanted) for each in value]
    if isinstance(value, ByName):
        return {name: _pick(each, wanted) for name, each in value.items()}
    if not isinstance(value, dict):
        return value
    picked = {"_class": value["_class"]} if "_class" in value else {}
    if wanted is None:
        return picked
    for name, (written, inner) in wanted.items():
        if name in value:
            found = value[name]
            limits = RANGE.search(written)
            if limits is not None and isinstance(found, list):
                found = found[int(limits[1] or 0) : int(limits[2]) if limits[2] else None]
            picked[name] = _pick(found, inner) if isinstance(found, (dict, list)) else found
    return picked
