"""What the status of a kind promises is written some time: what nothing writes would only be waited for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from devops_reconciler.api.definitions import DEFINITIONS
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT, Object
from tests.unit.world import TEAM

from .life import Life

SET_UP = ("DevOpsProject", "RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
REQUEST = {"freeleaps.com/requestedAt": "2026-01-01T00:00:00Z"}
NEVER = {("DeploymentRecord", "plan"): "it is in the part that all kinds share; a record has no mode"}
"""Fields that nothing writes, and why they are there."""


class Noted(Life):
    """A life that notes which fields of a status were ever there, by kind."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.fields: defaultdict[str, set[str]] = defaultdict(set)

    def check(self, name: str, kind: str) -> None:
        super().check(name, kind)
        self._note(kind, self.status(name, kind))

    def _saved(self, obj: Object, changed: Mapping[str, Any]) -> None:
        super()._saved(obj, changed)
        self._note(obj["kind"], changed)

    def _note(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.fields[kind] |= {name for name, value in fields.items() if value not in (None, [], {})}

    async def look(self) -> None:
        """Passes over the project and its children until each has seen what was changed."""
        for kind in SET_UP * 2:
            await self.turn("shop", kind)


async def whole_life() -> Noted:
    """Production, held back at first; a preview to its end; a look on request; a record that is cancelled while Jenkins
    is away; a plan."""
    life = Noted()
    life.project(suspend=True)
    life.record("one")
    for _ in range(2):
        await life.turn("one")
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"suspend": False}})
    life.set_up()
    await life.live("one")
    life.record("two", environment="pr-7", ttl="48h")
    await life.live("two")
    for kind, name in ((DEVOPS_PROJECT, "shop"), (DEPLOYMENT_RECORD, "two")):
        life.out.kubernetes.change(kind, TEAM, name, {"metadata": {"annotations": REQUEST}})
    await life.look()
    await life.expire("two")
    life.out.jenkins.build_time = timedelta(minutes=5)
    life.record("three", environment="pr-8")
    for _ in range(4):
        verdict = await life.turn("three")
        life.out.clock.advance(verdict.after or timedelta(seconds=1))
    life.out.line.fail("jenkins.*", ExternalServiceError("jenkins: 503", service="jenkins"), times=1_000)
    await life.turn("three")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "three", {"spec": {"cancel": True}})
    await life.live("three")
    for things in (life.out.hub.held, life.out.argocd.apps, life.out.godaddy.zones["example.com"]):
        things.clear()
    life.out.kubernetes.change(DEVOPS_PROJECT, TEAM, "shop", {"spec": {"mode": "Plan"}})
    await life.look()
    return life


async def test_each_field_of_a_status_is_written() -> None:
    life = await whole_life()
    promised = {(d.kind, f.alias or name) for d in DEFINITIONS for name, f in d.status.model_fields.items()}
    written = {(kind, name) for kind, names in life.fields.items() for name in names}
    assert promised - written == set(NEVER)
    assert written <= promised


async def test_the_page_of_a_repository_is_told_where_it_is_docker_hubs() -> None:
    for endpoint, url in (
        ("https://hub.docker.com", "https://hub.docker.com/r/acme/shop"),
        ("http://127.0.0.1:5001", None),
    ):
        life = Life(dockerhub_endpoint=endpoint)
        life.project()
        life.set_up()
        assert life.status("shop", "RegistrySettings").get("url") == url
