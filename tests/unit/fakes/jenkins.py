"""A Jenkins in memory: items with real config.xml, credentials, a queue and builds that take their time."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from devops_reconciler.api.errors import ConflictError, ExternalServiceError
from devops_reconciler.runtime.clock import Clock
from devops_reconciler.services.jenkins_types import (
    FOLDER_CLASS,
    PIPELINE_CLASS,
    Build,
    Credential,
    CredentialEntry,
    Item,
    ItemPath,
    LogChunk,
    QueueItem,
    Stage,
    UsernamePassword,
)
from devops_reconciler.services.jenkins_xml import read_description, read_pipeline
from devops_reconciler.services.rounds import FRESH

from .line import Line, Service, call

URL = "https://jenkins.test"


@dataclass
class _Queued:
    item: QueueItem
    path: ItemPath


class FakeJenkins(Service):
    """Builds leave the queue after `queue_time` and end after `build_time` with `result`."""

    name = "jenkins"

    def __init__(self, line: Line, clock: Clock) -> None:
        super().__init__(line)
        self.configs: dict[ItemPath, bytes] = {}
        self.folders: dict[ItemPath, str] = {}
        self.stored: dict[tuple[ItemPath, str], UsernamePassword] = {}
        self.queue: list[_Queued] = []
        self.history: dict[ItemPath, list[Build]] = {}
        self.triggers: list[dict[str, str]] = []
        self.stopped: list[int] = []
        self.cancelled: list[int] = []
        self.result = "SUCCESS"
        self.log_text = "cloning\ntesting\n\npushing failed: no space\n"
        self.shown_stages: list[Stage] = []
        self.estimated: timedelta | None = None
        self.queue_time = timedelta(0)
        self.build_time = timedelta(0)
        self.pushes: Callable[[Mapping[str, str]], None] = lambda parameters: None
        """What a successful build does with its parameters."""
        self._clock = clock
        self._ids = itertools.count(1)

    # Set-up and the passing of time

    def add_build(
        self,
        path: ItemPath,
        number: int,
        parameters: Mapping[str, str],
        result: str | None = None,
        *,
        queue_id: int | None = None,
    ) -> None:
        """A build that is there, running without a result."""
        build = Build(
            number=number,
            url=f"{URL}/{'/'.join(path)}/{number}/",
            queue_id=next(self._ids) if queue_id is None else queue_id,
            parameters=dict(parameters),
            building=result is None,
            result=result,
            started_at=self._clock.now(),
            duration=timedelta(0),
            estimated=self.estimated,
        )
        self.history.setdefault(path, []).insert(0, build)

    def _defined(self, path: ItemPath) -> set[str]:
        job = read_pipeline(self.configs[path])
        return {*(each.name for each in job.parameters), *job.typed}

    def running(self) -> list[Build]:
        self._tick()
        return [build for builds in self.history.values() for build in builds if build.building]

    def _tick(self) -> None:
        now = self._clock.now()
        for queued in [q for q in self.queue if now - q.item.since >= self.queue_time]:
            self.queue.remove(queued)
            number = max((b.number for b in self.history.get(queued.path, [])), default=0) + 1
            # What the job does not define when a build starts is hidden for good.
            kept = {name: value for name, value in queued.item.parameters.items() if name in self._defined(queued.path)}
            self.add_build(queued.path, number, kept, queue_id=queued.item.id)
        for path, builds in self.history.items():
            self.history[path] = [self._aged(build, now) for build in builds]

    def _aged(self, build: Build, now: datetime) -> Build:
        if not build.building or now - build.started_at < self.build_time:
            return build
        if self.result == "SUCCESS":
            self.pushes(build.parameters)
        return replace(build, building=False, result=self.result)

    # The API

    @call
    async def item(self, path: ItemPath) -> Item | None:
        if path in self.folders:
            children = tuple(each[-1] for each in {*self.folders, *self.configs} if each[:-1] == path)
            return Item(path[-1], FOLDER_CLASS, self.folders[path], f"{URL}/job/{path[-1]}/", children)
        if path in self.configs:
            return Item(path[-1], PIPELINE_CLASS, read_description(self.configs[path]), f"{URL}/job/{path[-1]}/")
        return None

    @call
    async def items(self) -> list[tuple[ItemPath, Item]]:
        found = []
        for path in {**self.folders, **self.configs}:
            cls = FOLDER_CLASS if path in self.folders else PIPELINE_CLASS
            description = self.folders.get(path) or read_description(self.configs[path])
            found.append((path, Item(path[-1], cls, description, f"{URL}/job/{path[-1]}/")))
        return found

    @call
    async def descriptions(self, folder: ItemPath) -> dict[str, str]:
        if folder not in self.folders:
            raise ExternalServiceError(f"no folder {folder}", service="jenkins", maybe_applied=False)
        inside = {path[-1]: read_description(xml) for path, xml in self.configs.items() if path[:-1] == folder}
        return inside | {path[-1]: said for path, said in self.folders.items() if path[:-1] == folder}

    @call
    async def config(self, path: ItemPath) -> bytes | None:
        return self.configs.get(path)

    @call
    async def create_item(self, parent: ItemPath, name: str, xml: bytes) -> None:
        path = (*parent, name)
        if parent and parent not in self.folders:
            raise ExternalServiceError(f"no folder {parent}", service="jenkins", maybe_applied=False)
        if path in self.configs or path in self.folders:
            raise ConflictError(f"a job already exists with the name {name}", status=400)
        self.configs[path] = xml
        if b"Folder" in xml:
            self.folders[path] = read_description(xml)

    @call
    async def update_config(self, path: ItemPath, xml: bytes) -> None:
        self.configs[path] = xml
        if path in self.folders:
            self.folders[path] = read_description(xml)

    @call
    async def delete_item(self, path: ItemPath) -> None:
        for known in [p for p in (*self.configs, *self.folders) if p[: len(path)] == path]:
            self.configs.pop(known, None)
            self.folders.pop(known, None)
        for job in [job for job in self.history if job[: len(path)] == path]:
            del self.history[job]  # builds go with their job, also those that run
        self.queue = [queued for queued in self.queue if queued.path[: len(path)] != path]
        self.stored = {key: value for key, value in self.stored.items() if key[0][: len(path)] != path}

    @call
    async def credential(self, folder: ItemPath, id: str) -> Credential | None:
        found = self.stored.get((folder, id))
        return Credential(id, "UsernamePassword", found.description, found.username) if found else None

    @call
    async def credentials(self, folder: ItemPath) -> list[CredentialEntry]:
        return [CredentialEntry(id, each.description) for (path, id), each in self.stored.items() if path == folder]

    @call
    async def create_credential(self, folder: ItemPath, value: UsernamePassword) -> None:
        if (folder, value.id) in self.stored:
            raise ConflictError(f"credential {value.id} is there", status=409)
        self.stored[folder, value.id] = value

    @call
    async def update_credential(self, folder: ItemPath, value: UsernamePassword) -> None:
        self.stored[folder, value.id] = value

    @call
    async def delete_credential(self, folder: ItemPath, id: str) -> None:
        self.stored.pop((folder, id), None)

    @call
    async def trigger(self, path: ItemPath, parameters: Mapping[str, str]) -> int | None:
        for name, choices in _choices(self.configs[path]).items():
            if choices and parameters.get(name, choices[0]) not in choices:
                raise ExternalServiceError("jenkins: trigger build: 500", service="jenkins", status=500)
        defined = self._defined(path)
        kept = {name: value for name, value in parameters.items() if name in defined}
        self.triggers.append(kept)
        item = QueueItem(next(self._ids), "Waiting for next available executor", kept, False, None, self._clock.now())
        self.queue.append(_Queued(item, path))
        return item.id

    @call
    async def queued(self, path: ItemPath, max_age: timedelta = FRESH) -> list[QueueItem]:
        self._tick()
        return [queued.item for queued in self.queue if queued.path == path]

    @call
    async def cancel_queued(self, id: int) -> None:
        self.cancelled.append(id)
        self.queue = [queued for queued in self.queue if queued.item.id != id]

    @call
    async def executing(self, path: ItemPath, max_age: timedelta = FRESH) -> list[Build]:
        self._tick()
        return [build for build in self.history.get(path, []) if build.building]

    @call
    async def builds(self, path: ItemPath) -> list[Build]:
        self._tick()
        return list(self.history.get(path, []))

    @call
    async def log(self, path: ItemPath, number: int, start: int) -> LogChunk:
        return LogChunk(self.log_text[start:], len(self.log_text), False)

    @call
    async def log_tail(self, path: ItemPath, number: int, count: int) -> list[str]:
        return [line for line in self.log_text.splitlines() if line.strip()][-count:]

    @call
    async def stages(self, path: ItemPath, number: int) -> list[Stage] | None:
        return list(self.shown_stages)

    @call
    async def stop_build(self, path: ItemPath, number: int) -> None:
        self.stopped.append(number)
        self.history[path] = [
            replace(b, building=False, result="ABORTED") if b.number == number and b.building else b
            for b in self.history[path]
        ]


def _choices(config: bytes) -> dict[str, list[str]]:
    """What the parameters of that type offer, by name."""
    found = ET.fromstring(config).iter("hudson.model.ChoiceParameterDefinition")
    return {each.findtext("name") or "": [choice.text or "" for choice in each.iter("string")] for each in found}
