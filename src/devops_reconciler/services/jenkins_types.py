"""What Jenkins has, as values: items, credentials, queue items, builds, stages; and how its JSON is read into them.

The readers raise KeyError, TypeError or ValueError for JSON of another shape; the client turns that into an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from ..api.plain_text import one_line

ItemPath = tuple[str, ...]
"""Names from the root: ("shop",) is a folder, ("shop", "web") an item in it, () the root itself."""

FOLDER_CLASS = "com.cloudbees.hudson.plugins.folder.Folder"
PIPELINE_CLASS = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
USERNAME_PASSWORD_CLASS = "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl"


@dataclass(frozen=True)
class Item:
    """A folder or a job. `cls` is the Java class, `url` absolute as Jenkins believes its own address to be."""

    name: str
    cls: str
    description: str
    url: str
    children: tuple[str, ...] = ()
    """Names of what is in a folder, as far as our account may see it."""


@dataclass(frozen=True)
class Credential:
    """What can be read of a credential: never its secret. `username` is "" for kinds that have none."""

    id: str
    cls: str
    description: str
    username: str


@dataclass(frozen=True)
class CredentialEntry:
    """One of the credentials of a store, of whatever kind. Those without an id are numbered by Jenkins."""

    id: str
    description: str


@dataclass(frozen=True)
class UsernamePassword:
    """A credential to write."""

    id: str
    description: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class QueueItem:
    """Something that waits for an executor, or has just left the queue: `executable` is then the build's number.

    Items that left are forgotten 5 minutes later; afterwards only `Build.queue_id` leads back.
    """

    id: int
    why: str | None
    parameters: dict[str, str]
    cancelled: bool
    executable: int | None
    since: datetime


@dataclass(frozen=True)
class Build:
    """A build. `duration` is 0 while it runs; `estimated` is None when Jenkins has nothing to go by.

    `result` is SUCCESS, UNSTABLE, FAILURE, NOT_BUILT, ABORTED or None. A pipeline may set it while it still runs:
    use `finished`.
    """

    number: int
    url: str
    queue_id: int
    parameters: dict[str, str]
    building: bool
    result: str | None
    started_at: datetime
    duration: timedelta
    estimated: timedelta | None

    @property
    def finished(self) -> bool:
        return not self.building and self.result is not None


@dataclass(frozen=True)
class LogChunk:
    """A piece of a build's log, lines ended by LF. `next` is the start of the next piece, `more` false at the end.

    `next` counts raw bytes in Jenkins' file: it has no relation to the length of `text`.
    """

    text: str
    next: int
    more: bool


@dataclass(frozen=True)
class Stage:
    """A stage of a pipeline. `status`: NOT_EXECUTED, ABORTED, SUCCESS, IN_PROGRESS, PAUSED_PENDING_INPUT, FAILED,
    UNSTABLE. `started_at` is None until it starts."""

    name: str
    status: str
    started_at: datetime | None
    duration: timedelta


def text_of(value: Mapping[str, Any], key: str) -> str:
    """A string; null and a missing key are ""."""
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise TypeError(f"{key} is not text")
    return found


def int_of(value: Mapping[str, Any], key: str) -> int:
    found = value[key]
    if not isinstance(found, int) or isinstance(found, bool):
        raise TypeError(f"{key} is not a whole number")
    return found


def mapping_of(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} is not an object")
    return value


def list_of(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A list of objects; null is an empty one."""
    found = value[key]
    if found is None:
        return []
    if not isinstance(found, list):
        raise TypeError(f"{key} is not a list")
    return [mapping_of(each, key) for each in found]


def time_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def parameters_of(value: Mapping[str, Any]) -> dict[str, str]:
    """The parameters among the actions. Other actions, and parameters without a readable value, are passed over."""
    found: dict[str, str] = {}
    for action in value.get("actions") or []:
        for parameter in mapping_of(action or {}, "an action").get("parameters") or []:
            if parameter.get("value") is not None:
                found[str(parameter["name"])] = _as_text(parameter["value"])
    return found


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_item(value: Mapping[str, Any]) -> Item:
    cls = text_of(value, "_class")
    if not cls:
        raise KeyError("_class")
    children = tuple(text_of(each, "name") for each in list_of(value, "jobs")) if "jobs" in value else ()
    return Item(text_of(value, "name"), cls, text_of(value, "description"), text_of(value, "url"), children)


def read_items(value: Mapping[str, Any], parent: ItemPath = ()) -> list[tuple[ItemPath, Item]]:
    """What is in a folder and in the folders there, each with its path."""
    found: list[tuple[ItemPath, Item]] = []
    for each in list_of(value, "jobs"):
        path = (*parent, text_of(each, "name"))
        found.append((path, read_item(each)))
        if "jobs" in each:
            found += read_items(each, path)
    return found


def read_descriptions(value: Mapping[str, Any]) -> dict[str, str]:
    """The descriptions of what is in a folder, by name; "" for none."""
    return {text_of(each, "name"): text_of(each, "description") for each in list_of(value, "jobs")}


def read_credentials(value: Mapping[str, Any]) -> list[CredentialEntry]:
    """What is in a store, by its domains (jenkinsci/credentials-plugin, `CredentialsStoreAction.getDomains`)."""
    domains = mapping_of(value["domains"], "domains").values()
    listed = [each for domain in domains for each in list_of(mapping_of(domain, "a domain"), "credentials")]
    return [CredentialEntry(text_of(each, "id"), text_of(each, "description")) for each in listed]


def read_queue_item(value: Mapping[str, Any]) -> QueueItem:
    executable = value.get("executable")
    number = None if executable is None else int_of(mapping_of(executable, "executable"), "number")
    return QueueItem(
        id=int_of(value, "id"),
        why=text_of(value, "why") or None,
        parameters=parameters_of(value),
        cancelled=value.get("cancelled") is True,
        executable=number,
        since=time_of(int_of(value, "inQueueSince")),
    )


def read_build(value: Mapping[str, Any]) -> Build:
    estimated = value.get("estimatedDuration")
    known = isinstance(estimated, int) and estimated > 0
    building = value["building"]
    if not isinstance(building, bool):
        raise TypeError("building is not true or false")
    return Build(
        number=int_of(value, "number"),
        url=text_of(value, "url"),
        queue_id=int_of(value, "queueId"),
        parameters=parameters_of(value),
        building=building,
        result=text_of(value, "result") or None,
        started_at=time_of(int_of(value, "timestamp")),
        duration=timedelta(milliseconds=int_of(value, "duration")),
        estimated=timedelta(milliseconds=estimated) if known and isinstance(estimated, int) else None,
    )


def executables_of(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The builds that the executors of all nodes work on.

    Passed over is what is none: the `node` block of a pipeline occupies an executor with a placeholder that has number
    and URL of its build, but nothing else of it (jenkinsci/workflow-durable-task-step-plugin, `PlaceholderExecutable`).
    The executors are not read at one moment, so a build might come twice: it is one.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for computer in list_of(value, "computer"):
        for executor in (*list_of(computer, "executors"), *list_of(computer, "oneOffExecutors")):
            executable = executor.get("currentExecutable")
            if isinstance(executable, dict) and "building" in executable:
                found[text_of(executable, "url")] = executable
    return list(found.values())


def read_stage(value: Mapping[str, Any]) -> Stage:
    started = value.get("startTimeMillis")
    return Stage(
        name=one_line(text_of(value, "name")),
        status=text_of(value, "status"),
        started_at=time_of(started) if isinstance(started, int) and started > 0 else None,
        duration=timedelta(milliseconds=int_of(value, "durationMillis")),
    )


def path_of(url: str) -> ItemPath:
    """The item path in an item's URL: what follows the first "/job/", decoded. Host and context path do not count."""
    names = urlsplit(url).path.partition("/job/")[2].rstrip("/").split("/job/")
    return tuple(unquote(name) for name in names if name)
