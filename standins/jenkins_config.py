"""config.xml as Jenkins takes it and gives it back: never what was sent."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET

from .jenkins_model import CLASSES, CREDENTIAL_CLASSES, FOLDER, PIPELINE

DECLARATION = re.compile(r"^<\?xml\s[^>]*\?>")
PLUGINS = {
    FOLDER: "cloudbees-folder@6.1012.v79a_86a_1ea_c1f",
    PIPELINE: "workflow-job@1505.vea_4b_20a_4a_495",
    "definition": "workflow-cps@4106.v7a_8a_8176d450",
    "scm": "git@5.7.0",
}
DEFAULTS = {
    FOLDER: ("actions", "properties", "folderViews", "healthMetrics", "icon"),
    PIPELINE: ("actions", "properties", "triggers"),
    "scm": ("submoduleCfg", "extensions"),
}
BAD_CHARACTERS = "?*/\\%!@#$^&|<>[]:;"


class Unreadable(Exception):
    """What Jenkins reports as an IOException: status 500."""


def parse(text: str, known: tuple[str, ...]) -> ET.Element:
    """An XML document whose root is one of the known classes. A byte order mark is no XML to Jenkins."""
    if text.startswith("\ufeff"):
        raise Unreadable("org.xml.sax.SAXParseException: Content is not allowed in prolog.")
    try:
        root = ET.fromstring(DECLARATION.sub("", text, count=1))
    except ET.ParseError as error:
        raise Unreadable(f"Failed to parse the request: {error}") from error
    if root.tag not in known:
        raise Unreadable(f"com.thoughtworks.xstream.mapper.CannotResolveClassException: {root.tag}")
    return root


def parse_item(text: str) -> ET.Element:
    return parse(text, tuple(CLASSES))


def parse_credential(text: str) -> ET.Element:
    return parse(text, CREDENTIAL_CLASSES)


def render_item(config: ET.Element, *, redacted: bool) -> bytes:
    """With plugin versions, defaults, another quoting, XML 1.1; an empty description becomes an empty element."""
    root = copy.deepcopy(config)
    for element in root.iter():
        if element.tag in PLUGINS:
            element.set("plugin", PLUGINS[element.tag])
        for name in DEFAULTS.get(element.tag, ()):
            if element.find(name) is None:
                ET.SubElement(element, name)
        if redacted and element.text and element.text.startswith("{AQAA"):
            element.text = ""
            ET.SubElement(element, "secret-redacted")
    if root.tag == PIPELINE and root.find("disabled") is None:
        ET.SubElement(root, "disabled").text = "false"
    if root.tag == PIPELINE and root.find("keepDependencies") is None:
        ET.SubElement(root, "keepDependencies").text = "false"
    return _text(root)


def render_credential(config: ET.Element) -> bytes:
    """The secret is never given back."""
    root = copy.deepcopy(config)
    root.set("plugin", "credentials@1415.v831096eb_5534")
    for name in ("password", "secret"):
        element = root.find(name)
        if element is not None:
            element.text = None
            ET.SubElement(element, "secret-redacted")
    if root.find("usernameSecret") is None:
        ET.SubElement(root, "usernameSecret").text = "false"
    return _text(root)


def _text(root: ET.Element) -> bytes:
    """As XStream prints: indented, carriage returns as references."""
    ET.indent(root, space="  ")
    body = ET.tostring(root, encoding="unicode").replace("\r", "&#xd;")
    return f"<?xml version='1.1' encoding='UTF-8'?>\n{body}".encode()


def bad_name(name: str) -> str | None:
    """Why Jenkins refuses a name, or None."""
    if name in (".", ".."):
        return f"“{name}” is not an allowed name"
    if name.endswith("."):
        return "A name cannot end with ‘.’"
    for character in name:
        if ord(character) < 0x20:
            return "No control characters are allowed"
        if character in BAD_CHARACTERS:
            return f"‘{character}’ is an unsafe character"
    return None
