"""Routes of the Jenkins stand-in for triggers, the queue and builds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from .jenkins_json import select
from .jenkins_model import MULTIBRANCH, StoredBuild, StoredQueueItem
from .jenkins_pages import Answer, Ask, Route, empty, failure, json_answer, not_found, oops, page, redirect

if TYPE_CHECKING:
    from .jenkins import JenkinsStandin

NOTE = re.compile(rb"\x1b\[8m.*?\x1b\[0m")
NUMBER = r"(\d+)"


class BuildRoutes:
    """What answers for builds and what leads to them."""

    def __init__(self, jenkins: JenkinsStandin) -> None:
        self._jenkins = jenkins

    def table(self) -> list[Route]:
        rows = [
            ("POST", "item", "build", self.trigger),
            ("POST", "job", "buildWithParameters", self.trigger_with_parameters),
            ("GET", "root", "queue/api/json", self.list_queue),
            ("GET", "root", f"queue/item/{NUMBER}/api/json", self.show_queue_item),
            ("POST", "root", "queue/cancelItem", self.cancel),
            ("GET", "root", "computer/api/json", self.list_nodes),
            ("GET", "job", f"{NUMBER}/api/json", self.show),
            ("GET", "job", f"{NUMBER}/logText/progressiveText", self.log),
            ("GET", "job", f"{NUMBER}/consoleText", self.console),
            ("GET", "job", f"{NUMBER}/wfapi/describe", self.stages),
            ("POST", "job", f"{NUMBER}/(stop|term|kill)", self.stop),
        ]
        return [Route(method, where, re.compile(rest), answer) for method, where, rest, answer in rows]

    # Triggers

    async def trigger(self, ask: Ask) -> web.Response:
        """Without parameters. A multibranch project scans instead, and names no queue item."""
        self._jenkins.permit(ask, "hudson.model.Item.Build")
        if ask.item.cls == MULTIBRANCH:
            if ask.item.disabled:
                raise oops("the project is disabled")
            return redirect(f"{self._jenkins.api().item_url(ask.item)}")
        if ask.item.is_folder:
            raise not_found()
        self._check_buildable(ask)
        if ask.item.parameters:
            raise Answer(page(400, "Nothing is submitted"))
        item, _ = self._jenkins.queue.add(ask.item, {}, self._quiet(ask.query("delay")))
        return self._located(item, 201)

    async def trigger_with_parameters(self, ask: Ask) -> web.Response:
        self._jenkins.permit(ask, "hudson.model.Item.Build")
        self._check_buildable(ask)
        defined = ask.item.parameters
        if not defined:
            raise Answer(page(400, f"{'/'.join(ask.item.path)} is not parameterized"))
        given = {name: str(value) for name, value in {**ask.request.query, **(await ask.request.post())}.items()}
        for name, choices in ask.item.choices.items():
            if name in given and given[name] not in choices:
                raise oops(f"java.lang.IllegalArgumentException: Illegal choice for parameter {name}: {given[name]}")
        parameters = {name: given.get(name, default) for name, default in defined.items()}
        if self._jenkins.refuse_scheduling:
            return redirect(".")
        item, created = self._jenkins.queue.add(ask.item, parameters, self._quiet(given.get("delay")))
        return self._located(item, 201 if created else 303)

    @staticmethod
    def _check_buildable(ask: Ask) -> None:
        if ask.item.disabled:
            raise Answer(page(409, f"{'/'.join(ask.item.path)} is not buildable"))

    def _quiet(self, delay: str | None) -> timedelta:
        if delay is None:
            return self._jenkins.quiet_period
        found = re.fullmatch(r"(\d+)(?:sec|secs)?", delay)
        if found is None:
            raise failure("Invalid delay")
        return timedelta(seconds=int(found[1]))

    def _located(self, item: StoredQueueItem, status: int) -> web.Response:
        return redirect(f"{self._jenkins.root_url}/queue/item/{item.id}/", status)

    # The queue

    async def list_queue(self, ask: Ask) -> web.Response:
        return self._selected(ask, self._jenkins.api().queue())

    async def show_queue_item(self, ask: Ask) -> web.Response:
        item = self._jenkins.queue.get(int(ask.found[1]))
        if item is None:
            raise not_found()
        return self._selected(ask, self._jenkins.api().queue_item(item))

    async def cancel(self, ask: Ask) -> web.Response:
        item = self._jenkins.queue.get(int(ask.query("id") or 0))
        if item is None or item.left_at is not None:
            raise not_found()
        if not self._jenkins.permits(ask.caller, "hudson.model.Item.Cancel"):
            raise Answer(empty(422))
        self._jenkins.queue.cancel(item)
        return empty(204)

    # Builds

    async def list_nodes(self, ask: Ask) -> web.Response:
        """For everybody who may see anything; what runs there only for those who may read it."""
        self._jenkins.permit(ask, "hudson.model.Hudson.Read")
        readable = self._jenkins.permits(ask.caller, "hudson.model.Item.Read")
        return self._selected(ask, self._jenkins.api().nodes(readable=readable))

    def _build(self, ask: Ask) -> StoredBuild:
        build = ask.item.builds.get(int(ask.found[1]))
        if build is None or build not in self._jenkins.api().visible(ask.item):
            raise not_found()
        return build

    async def show(self, ask: Ask) -> web.Response:
        return self._selected(ask, self._jenkins.api().build(self._build(ask)))

    async def log(self, ask: Ask) -> web.Response:
        """From raw byte `start`: console notes are left out, line ends become CRLF, so sizes never match the body."""
        build = self._build(ask)
        start = int(ask.query("start") or 0)
        raw = bytes(build.log)
        if start > len(raw):
            start = 0
        body = NOTE.sub(b"", raw[start:]).replace(b"\n", b"\r\n")
        headers = {"X-Text-Size": str(len(raw))}
        if build.building:
            headers["X-More-Data"] = "true"
        return web.Response(body=body, content_type="text/plain", charset="utf-8", headers=headers)

    async def console(self, ask: Ask) -> web.Response:
        """The whole log as plain text."""
        raw = bytes(self._build(ask).log)
        return web.Response(body=NOTE.sub(b"", raw), content_type="text/plain", charset="utf-8")

    async def stages(self, ask: Ask) -> web.Response:
        if not self._jenkins.wfapi:
            raise not_found()
        return json_answer(self._jenkins.api().stages(self._build(ask)))

    async def stop(self, ask: Ask) -> web.Response:
        """302 in any case, also when it has finished."""
        build = self._build(ask)
        self._jenkins.permit(ask, "hudson.model.Item.Cancel")
        self._jenkins.queue.stop(build, forced=ask.found[2] != "stop")
        return redirect(".")

    @staticmethod
    def _selected(ask: Ask, value: dict[str, object]) -> web.Response:
        tree = ask.query("tree")
        try:
            return json_answer(value if tree is None else select(value, tree))
        except ValueError as error:
            raise failure(str(error)) from error
