"""What GoDaddy refuses, in its own words: error bodies, the schema of a record, what excludes what."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from .godaddy_zone import Body

TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "SOA", "SRV", "TXT")
"""CAA is not among them: it can be made in the web pages, and is then refused in every body."""
TTL_MINIMUM = 600
TTL_MAXIMUM = 604800
DEFAULT_TTL = 3600
NAME = re.compile(
    r"@|\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
HOST = re.compile(r"@|[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
SCHEMA = "Request body doesn't fulfill schema, see details in `fields`"


def refusal(status: int, code: str, message: str, **more: Any) -> web.Response:
    """An error as GoDaddy words it."""
    return web.json_response({"code": code, "message": message, **more}, status=status)


def invalid(fields: Sequence[dict[str, str]]) -> web.Response:
    """422 INVALID_BODY."""
    return refusal(422, "INVALID_BODY", SCHEMA, fields=list(fields))


def unknown_domain() -> web.Response:
    return refusal(404, "UNKNOWN_DOMAIN", "The given domain is not registered, or does not have a zone file")


def schema_errors(records: object, required: Sequence[str]) -> list[dict[str, str]]:
    """What is wrong with the body of a write. `required` are the fields that are not in the path."""
    if not isinstance(records, list):
        return [{"path": "records", "code": "UNEXPECTED_TYPE", "message": "is not a array"}]
    found: list[dict[str, str]] = []
    for index, record in enumerate(records):
        path = f"records[{index}]"
        if not isinstance(record, dict):
            found.append({"path": path, "code": "UNEXPECTED_TYPE", "message": "is not a object"})
        else:
            found += [{**each, "path": f"{path}.{each['path']}"} for each in _record_errors(record, required)]
    return found


def _record_errors(record: Body, required: Sequence[str]) -> list[dict[str, str]]:
    found = []
    for field in required:
        if field not in record:
            found.append({"path": field, "code": "MISSING_VALUE", "message": "is required"})
        elif not isinstance(record[field], str):
            found.append({"path": field, "code": "UNEXPECTED_TYPE", "message": "is not a string"})
    if found:
        return found
    if "type" in required and record["type"] not in TYPES:
        found.append({"path": "type", "code": "INVALID_VALUE_ENUM", "message": f"not one of {', '.join(TYPES)}"})
    if "name" in required and not NAME.fullmatch(record["name"]):
        found.append({"path": "name", "code": "MISMATCH_FORMAT", "message": "does not conform to the 'domain' format"})
    found += _ttl_errors(record.get("ttl", DEFAULT_TTL))
    return found


def _ttl_errors(ttl: object) -> list[dict[str, str]]:
    if not isinstance(ttl, int) or isinstance(ttl, bool):
        return [{"path": "ttl", "code": "UNEXPECTED_TYPE", "message": "is not a integer"}]
    if ttl < TTL_MINIMUM:
        text = f"must have a minimum value of {TTL_MINIMUM}"
        return [{"path": "ttl", "code": "UNKNOWN_RESTRICTION", "message": text}]
    if ttl > TTL_MAXIMUM:
        text = f"must have a maximum value of {TTL_MAXIMUM}"
        return [{"path": "ttl", "code": "UNKNOWN_RESTRICTION", "message": text}]
    return []


def data_errors(records: Sequence[Body]) -> list[dict[str, str]]:
    """Data that does not fit its type."""
    found = []
    for index, record in enumerate(records):
        if not _fits(record["type"], record["data"]):
            text = f"does not conform to the format of {record['type']} data"
            found.append({"path": f"records[{index}].data", "code": "MISMATCH_FORMAT", "message": text})
    return found


def _fits(kind: str, data: str) -> bool:
    if kind in ("A", "AAAA"):
        try:
            return ipaddress.ip_address(data).version == (4 if kind == "A" else 6)
        except ValueError:
            return False
    if kind in ("CNAME", "NS", "MX", "SRV"):
        return HOST.fullmatch(data) is not None
    return bool(data)


def excluded(records: Sequence[Body]) -> bool:
    """Whether two records are equal, or a CNAME is not alone at its name: DUPLICATE_RECORD."""
    keys = Counter(
        (each["type"], each["name"].lower(), each["data"], each.get("priority"), each.get("port")) for each in records
    )
    if any(count > 1 for count in keys.values()):
        return True
    at_name = Counter(each["name"].lower() for each in records)
    return any(each["type"] == "CNAME" and at_name[each["name"].lower()] > 1 for each in records)
