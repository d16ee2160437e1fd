"""Routes of the Jenkins stand-in for folders, jobs and credentials."""

from __future__ import annotations

import json
import re
import uuid
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from aiohttp import web

from .jenkins_config import (
    Unreadable,
    bad_name,
    parse_credential,
    parse_item,
    render_credential,
    render_item,
)
from .jenkins_json import select, shallow, shown_credential, shown_store
from .jenkins_model import CLASSES, FOLDER, StoredCredential, StoredItem, url_path
from .jenkins_pages import Answer, Ask, Route, empty, failure, json_answer, not_found, oops, page, redirect

if TYPE_CHECKING:
    from .jenkins import JenkinsStandin

XML_TYPES = ("application/xml", "text/xml")
STORE = r"credentials/store/(folder|system)/domain/_"


class ItemRoutes:
    """What answers for items and their credentials."""

    def __init__(self, jenkins: JenkinsStandin) -> None:
        self._jenkins = jenkins

    def table(self) -> list[Route]:
        rows = [
            ("GET", "root", "api/json", self.show),
            ("GET", "root", "view/all/itemCategories", self.categories),
            ("GET", "item", "api/json", self.show),
            ("GET", "item", "", self.html),
            ("DELETE", "item", "", self.delete),
            ("POST", "item", "doDelete", self.do_delete),
            ("GET", "item", r"config\.xml", self.read),
            ("POST", "item", r"config\.xml", self.write),
            ("POST", "item", "(disable|enable)", self.switch),
            ("POST", "folder", "createItem", self.create),
            ("GET", "folder", r"credentials/store/(folder|system)/api/json", self.show_store),
            ("POST", "folder", f"{STORE}/createCredentials", self.create_credential),
            ("GET", "folder", STORE + r"/credential/([^/]+)/config\.xml", self.read_credential),
            ("POST", "folder", STORE + r"/credential/([^/]+)/config\.xml", self.write_credential),
            ("DELETE", "folder", STORE + r"/credential/([^/]+)/config\.xml", self.delete_credential),
            ("GET", "folder", STORE + r"/credential/([^/]+)/api/json", self.show_credential),
        ]
        return [Route(method, where, re.compile(rest), answer) for method, where, rest, answer in rows]

    # Items

    async def show(self, ask: Ask) -> web.Response:
        value = self._jenkins.api().item(ask.item)
        tree = ask.query("tree")
        try:
            return json_answer(shallow(value) if tree is None else select(value, tree))
        except ValueError as error:
            raise failure(str(error)) from error

    async def html(self, ask: Ask) -> web.Response:
        return page(200, "/".join(ask.item.path))

    async def categories(self, ask: Ask) -> web.Response:
        """What the page "New Item" offers (`View.doItemCategories`)."""
        self._jenkins.permit(ask, "hudson.model.Item.Create")
        items = [{"class": name, "displayName": name.rpartition(".")[2], "order": 1} for name in CLASSES.values()]
        return json_answer({"categories": [{"id": "standalone-projects", "items": items, "minToShow": 1, "order": 1}]})

    async def create(self, ask: Ask) -> web.Response:
        """The checks in Jenkins' order: content type, name, characters, existence; then the body."""
        self._jenkins.permit(ask, "hudson.model.Item.Create")
        request, name = ask.request, ask.query("name")
        if "Content-Type" not in request.headers:
            raise Answer(page(400, "No Content-Type header set"))
        if not name:
            raise failure("Query parameter 'name' is required")
        refused = bad_name(name)
        if refused is not None:
            raise failure(refused)
        if name in ask.item.children:
            raise failure(f"A job already exists with the name ‘{name}’")
        if request.content_type not in XML_TYPES:
            return await self._create_by_mode(ask, name)
        ask.item.children[name] = StoredItem((*ask.item.path, name), self._parse_item(await self._raw(request)))
        return empty()

    async def _create_by_mode(self, ask: Ask, name: str) -> web.Response:
        mode = ask.query("mode") or str((await ask.request.post()).get("mode", ""))
        tags = {cls: tag for tag, cls in CLASSES.items()}
        if mode not in tags:
            raise failure("No mode given")
        ask.item.children[name] = StoredItem((*ask.item.path, name), ET.Element(tags[mode]))
        return redirect(f"{self._jenkins.root_url}/{url_path((*ask.item.path, name))}configure")

    async def read(self, ask: Ask) -> web.Response:
        self._jenkins.permit(ask, "hudson.model.Item.ExtendedRead")
        redacted = not self._jenkins.permits(ask.caller, "hudson.model.Item.Configure")
        return web.Response(body=render_item(ask.item.config, redacted=redacted), content_type="application/xml")

    async def write(self, ask: Ask) -> web.Response:
        """The body is read as text in the request's charset, which for a servlet is Latin-1 unless said."""
        self._jenkins.permit(ask, "hudson.model.Item.Configure")
        body = await ask.request.read()
        config = self._parse_item(body.decode(ask.request.charset or "iso-8859-1"))
        if config.tag != ask.item.config.tag:
            raise oops(f"Expecting {ask.item.cls} but got {CLASSES[config.tag]} instead")
        ask.item.config = config
        return empty()

    async def switch(self, ask: Ask) -> web.Response:
        self._jenkins.permit(ask, "hudson.model.Item.Configure")
        element = ask.item.config.find("disabled")
        if element is None:
            element = ET.SubElement(ask.item.config, "disabled")
        element.text = "true" if ask.found[1] == "disable" else "false"
        return redirect(".")

    async def delete(self, ask: Ask) -> web.Response:
        self._delete(ask)
        return empty(204)

    async def do_delete(self, ask: Ask) -> web.Response:
        self._delete(ask)
        return redirect(f"{self._jenkins.root_url}/{url_path(ask.item.path[:-1])}")

    def _delete(self, ask: Ask) -> None:
        self._jenkins.permit(ask, "hudson.model.Item.Delete")
        for each in (ask.item, *ask.item.walk()):
            self._jenkins.queue.forget(each)
        parent = self._jenkins.find(ask.item.path[:-1])
        if parent is not None:
            parent.children.pop(ask.item.path[-1], None)

    @staticmethod
    async def _raw(request: web.Request) -> str:
        """createItem hands the bytes to the XML parser, for which UTF-8 is the default."""
        try:
            return (await request.read()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise oops(f"Invalid byte in UTF-8 sequence: {error}") from error

    @staticmethod
    def _parse_item(text: str) -> ET.Element:
        try:
            config = parse_item(text)
        except Unreadable as error:
            raise oops(str(error)) from error
        for element in config.iter():
            if element.tag in ("password", "secretToken", "authToken") and element.text:
                element.text = "{AQAAABAAAAAQ" + uuid.uuid5(uuid.NAMESPACE_OID, element.text).hex + "}"
        return config

    # Credentials

    def _store(self, ask: Ask) -> dict[str, StoredCredential]:
        if ask.found[1] != ("folder" if ask.item.path else "system") or ask.item.cls != FOLDER:
            raise not_found()
        return ask.item.credentials

    def _credential(self, ask: Ask) -> StoredCredential:
        found = self._store(ask).get(ask.found[2])
        if found is None:
            raise not_found()
        return found

    async def show_store(self, ask: Ask) -> web.Response:
        domains = {"_": self._store(ask), **ask.item.domains}
        value = {"_class": "com.cloudbees.plugins.credentials.CredentialsStoreAction", "domains": shown_store(domains)}
        return json_answer(select(value, ask.query("tree") or "domains"))

    async def create_credential(self, ask: Ask) -> web.Response:
        store = self._store(ask)
        self._jenkins.permit(ask, "com.cloudbees.plugins.credentials.CredentialsProvider.Create")
        if ask.request.content_type not in XML_TYPES:
            return await self._create_by_form(ask, store)
        config = await self._parse_credential(ask)
        id = config.findtext("id") or str(uuid.uuid4())
        if id in store:
            raise Answer(empty(409))
        store[id] = StoredCredential(config)
        return empty()

    @staticmethod
    async def _create_by_form(ask: Ask, store: dict[str, StoredCredential]) -> web.Response:
        """The form's answer has status 200 whatever happened; only `notificationType` tells."""
        fields = json.loads(str((await ask.request.post()).get("json", "{}"))).get("credentials", {})
        id = str(fields.get("id", ""))
        if not id or id in store:
            return json_answer({"message": "Credentials not added", "notificationType": "ERROR"})
        config = ET.Element(str(fields.get("$class", "")))
        for name in ("scope", "id", "description", "username", "password"):
            ET.SubElement(config, name).text = str(fields.get(name, ""))
        store[id] = StoredCredential(config)
        return json_answer({"message": "Credentials created", "notificationType": "SUCCESS"})

    async def read_credential(self, ask: Ask) -> web.Response:
        return web.Response(body=render_credential(self._credential(ask).config), content_type="application/xml")

    async def show_credential(self, ask: Ask) -> web.Response:
        return json_answer(shown_credential(self._credential(ask)))

    async def write_credential(self, ask: Ask) -> web.Response:
        self._jenkins.permit(ask, "com.cloudbees.plugins.credentials.CredentialsProvider.Update")
        old = self._credential(ask)
        config = await self._parse_credential(ask)
        for name in ("password", "secret"):
            element, known = config.find(name), old.config.find(name)
            if element is not None and element.find("secret-redacted") is not None and known is not None:
                element.clear()
                element.text = known.text
        old.config = config
        return empty()

    async def delete_credential(self, ask: Ask) -> web.Response:
        self._jenkins.permit(ask, "com.cloudbees.plugins.credentials.CredentialsProvider.Delete")
        self._credential(ask)
        del ask.item.credentials[ask.found[2]]
        return empty()

    async def _parse_credential(self, ask: Ask) -> ET.Element:
        try:
            return parse_credential(await self._raw(ask.request))
        except Unreadable as error:
            raise oops(str(error)) from error
