"""How the stand-in Docker Hub shows things, and the forms of its errors, which vary as the real ones do."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from .registry_store import INDEXES, Manifest, RepositoryRecord, TagRecord

CLASSES: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    429: web.HTTPTooManyRequests,
}


def refusal(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.HTTPException:
    """An error with a JSON body."""
    return CLASSES[status](text=json.dumps(body), headers=headers, content_type="application/json")


def not_found(namespace: str, repository: str) -> web.HTTPException:
    info = {"namespace": namespace, "repository": repository}
    return refusal(404, {"message": "httperror 404: object not found", "errinfo": info})


def invalid(field: str, text: str) -> web.HTTPException:
    return refusal(400, {"fields": {field: [text]}, "text": f"{field}: {text}"})


def repository_view(record: RepositoryRecord) -> dict[str, Any]:
    created = record.created.isoformat().replace("+00:00", "Z")
    return {
        "user": record.namespace,
        "name": record.name,
        "namespace": record.namespace,
        "repository_type": "image",
        "status": 1,
        "status_description": "active",
        "description": record.description,
        "full_description": record.full_description or None,
        "is_private": record.private,
        "is_automated": False,
        "star_count": 0,
        "pull_count": 0,
        "last_updated": None,
        "date_registered": created,
        "affiliation": "owner",
        "permissions": {"read": True, "write": True, "admin": True},
        "immutable_tags_settings": {"enabled": False, "rules": []},
    }


def tag_view(name: str, record: TagRecord, manifest: Manifest | None, *, as_specified: bool) -> dict[str, Any]:
    """One tag. `as_specified`: `images` an object and `v2` a number, like Docker's specification, unlike its server."""
    pushed = record.pushed.isoformat(timespec="microseconds").replace("+00:00", "Z")
    images = _images(record, manifest, pushed)
    view = {
        "creator": 1,
        "id": abs(hash((name, record.digest))) % 10**9,
        "images": images[0] if as_specified else images,
        "last_updated": pushed,
        "last_updater": 1,
        "last_updater_username": record.pusher,
        "name": name,
        "repository": 1,
        "full_size": len(manifest.body) if manifest else 0,
        "v2": 2 if as_specified else True,
        "tag_status": "active",
        "tag_last_pulled": None,
        "tag_last_pushed": pushed,
        "media_type": manifest.media_type if manifest else None,
        "content_type": "image",
    }
    return view if as_specified else {**view, "digest": record.digest}


def _images(record: TagRecord, manifest: Manifest | None, pushed: str) -> list[dict[str, Any]]:
    if manifest is not None and manifest.media_type in INDEXES:
        entries = [(child["digest"], child.get("platform", {})) for child in manifest.children]
    else:
        entries = [(record.digest, {})]
    return [
        {
            "architecture": platform.get("architecture", "amd64"),
            "features": "",
            "variant": None,
            "digest": digest,
            "os": platform.get("os", "linux"),
            "os_features": "",
            "os_version": None,
            "size": 1,
            "status": "active",
            "last_pulled": None,
            "last_pushed": pushed,
        }
        for digest, platform in entries
    ]
