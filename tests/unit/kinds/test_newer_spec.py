"""The CRDs of a newer version are there before its operator: fields that we do not know are no concern of ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pydantic
import pytest

from devops_reconciler.api.project import DevOpsProjectSpec
from devops_reconciler.kinds import KINDS
from tests.unit.fakes.kubernetes import merged
from tests.unit.world import TEAM

from .life import Life
from .test_stopping import at_build

NEWER = {"newField": {"of": "tomorrow"}}
PARTS = ("RegistrySettings", "JenkinsSettings", "ArgoSettings", "IngressResource")
BLOCKS: dict[str, dict[str, Any]] = {
    "DevOpsProject": {"jenkins": NEWER, "git": NEWER, "components": {"dns": NEWER}},
    "RegistrySettings": {"git": NEWER},
    "JenkinsSettings": {"git": NEWER, "registry": NEWER},
    "ArgoSettings": {"source": NEWER, "destination": NEWER},
    "IngressResource": {"service": NEWER, "components": {"dns": NEWER}},
    "DeploymentRecord": {"projectRef": NEWER},
}


def ready(**spec: Any) -> Life:
    life = Life()
    life.project(**spec)
    life.set_up()
    return life


def fill_in(life: Life, kind: str, name: str = "shop") -> None:
    """As the API server puts the defaults of a new CRD into what it gives: no generation tells of that."""
    obj = life.out.kubernetes.objects[KINDS[kind].kind.kind, TEAM, name]
    obj["spec"] = merged(obj["spec"], {**NEWER, **BLOCKS[kind]})


async def test_a_deployment_under_way_goes_on_to_its_end() -> None:
    life = ready()
    await at_build(life, "one")
    for kind in ("DevOpsProject", *PARTS):
        fill_in(life, kind)
    fill_in(life, "DeploymentRecord", "one")
    life.out.clock.advance(timedelta(seconds=5))
    await life.turn("one")
    assert (life.reason("one"), life.reason("one", "Stalled")) == (None, None)
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    assert len(life.out.jenkins.triggers) == 1


async def test_a_preview_expires_by_the_project() -> None:
    life = ready(previews={"ttl": "2h"})
    fill_in(life, "DevOpsProject")
    life.record("one", environment="pr-7")
    await life.live("one")
    assert life.reason("one") == "True/Succeeded"
    await life.expire("one")


@pytest.mark.parametrize("kind", ["DevOpsProject", *PARTS])
async def test_what_was_ready_stays_so(kind: str) -> None:
    life = ready()
    fill_in(life, kind)
    writes = list(life.out.kubernetes.writes)
    life.out.clock.advance(timedelta(minutes=5))
    for _ in range(3):
        await life.turn("shop", kind)
    assert (life.reason("shop", "Ready", kind), life.reason("shop", "Stalled", kind)) == ("True/Succeeded", None)
    assert life.out.kubernetes.writes == writes, "nothing has changed for us"


async def test_a_child_keeps_what_a_newer_version_has_written_into_it() -> None:
    life = ready(ingress={"host": "shop.example.com", "tls": {"secretName": "shop"}})
    applied = life.out.kubernetes.applied["IngressResource", TEAM, "shop"]
    newer = {**NEWER, "service": NEWER, "tls": NEWER, "components": {"dns": NEWER}}
    await life.out.kubernetes.apply(
        KINDS["IngressResource"].kind, TEAM, {**applied, "spec": merged(applied["spec"], newer)}, force=True
    )
    life.out.kubernetes.change(
        KINDS["DevOpsProject"].kind, TEAM, "shop", {"spec": {"ingress": {"service": {"port": 8080}, "tls": None}}}
    )
    life.set_up()
    for kind in ("DevOpsProject", "IngressResource", "DevOpsProject"):
        await life.turn("shop", kind)
    spec = life.see("shop", "IngressResource")["spec"]
    assert spec["service"] == {"port": 8080, **NEWER}
    assert (spec["newField"], spec["components"]["dns"]["newField"]) == (NEWER["newField"], NEWER["newField"])
    assert "tls" not in spec, "what we know, and the project gives up, goes with all that is in it"


@pytest.mark.parametrize("field", [NEWER, {"jenkins": NEWER}])
def test_a_spec_that_is_made_in_code_has_no_unknown_fields(field: dict[str, Any]) -> None:
    whole = {"git": {"url": "https://git.example.com/shop.git"}, "ingress": {"host": "shop.example.com"}, **field}
    with pytest.raises(pydantic.ValidationError, match="Extra inputs are not permitted"):
        DevOpsProjectSpec.model_validate(whole)
