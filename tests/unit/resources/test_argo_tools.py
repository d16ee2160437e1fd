"""A source kind that changes: Argo CD refuses the blocks of two tools, so one goes where the other comes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devops_reconciler.api.blocks import SourceKind
from devops_reconciler.resources.argo_release import ArgoRelease

from .hand import Hand, changed
from .test_argo import APP, DIGEST, RELEASE, URL, spec


def block(kind: SourceKind, digest: str = DIGEST) -> dict[str, Any]:
    """What a deployment sets for a tool."""
    found = changed(RELEASE, kind=kind, image=f"acme/shop@{digest}")
    assert isinstance(found, ArgoRelease)
    return found.tools_patch({})


KINDS_OF_SOURCE = [(a, b) for a in SourceKind for b in SourceKind if a is not b]


@pytest.mark.parametrize(("before", "after"), KINDS_OF_SOURCE)
async def test_a_release_for_another_tool_takes_what_the_last_one_has_set_along(
    before: SourceKind, after: SourceKind
) -> None:
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(changed(RELEASE, kind=before))
    hand.out.clock.advance(timedelta(minutes=1))
    wanted = changed(RELEASE, kind=after)
    assert (await hand.bring(wanted)).ready
    where = {"repoURL": URL, "path": "deploy", "targetRevision": "abc123"}
    assert spec(hand)["source"] == {**where, **block(after)}
    assert (await hand.see(wanted)).drift == ()
    assert (await hand.see(changed(APP, released=True, pin=wanted))).drift == ()


async def test_what_others_have_set_for_another_tool_stays_and_is_told_of() -> None:
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(RELEASE)
    source = hand.out.argocd.apps["shop"]["spec"]["source"]
    source["kustomize"]["images"].append("sidecar=sidecar:1")
    source["kustomize"]["namePrefix"] = "theirs-"
    hand.out.clock.advance(timedelta(minutes=1))
    outcome = await hand.bring(changed(RELEASE, kind=SourceKind.HELM))
    assert hand.reason(outcome) == "InvalidSpec"
    assert "kustomize,helm" in hand.message(outcome)
    hand.out.clock.advance(timedelta(minutes=1))
    assert (await hand.bring(changed(RELEASE, kind=SourceKind.DIRECTORY))).ready
    assert spec(hand)["source"]["kustomize"] == {"images": ["sidecar=sidecar:1"], "namePrefix": "theirs-"}


@pytest.mark.parametrize("image", ["acme/shop=acme/shop:1.2", "acme/shop:1.2", f"other=acme/shop@{DIGEST}"])
async def test_an_image_that_others_have_set_is_none_of_a_release_without_one(image: str) -> None:
    hand = Hand()
    await hand.bring(APP)
    hand.out.argocd.apps["shop"]["spec"]["source"]["kustomize"] = {"images": [image]}
    assert (await hand.bring(changed(RELEASE, kind=SourceKind.DIRECTORY))).ready
    assert spec(hand)["source"]["kustomize"] == {"images": [image]}


async def test_an_application_with_another_path_gets_the_blocks_for_the_tool_of_its_files_with_it() -> None:
    """Argo CD renders on each patch: the new path cannot be rendered with the old tool, nor the other way round."""
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(changed(RELEASE, target_revision=None))
    pin = changed(RELEASE, kind=SourceKind.HELM, target_revision=None)
    moved = changed(APP, path="chart", pin=pin)
    before = len(hand.out.line.calls)
    assert (await hand.bring(moved)).ready
    assert hand.out.line.calls[before:].count("argocd.patch_application") == 1
    where = {"repoURL": URL, "path": "chart", "targetRevision": APP.target_revision}
    assert spec(hand)["source"] == {**where, **block(SourceKind.HELM)}
    assert (await hand.see(pin)).drift == ()


async def test_an_application_leaves_the_image_of_the_same_tool_to_the_release() -> None:
    hand = Hand()
    await hand.bring(APP)
    await hand.bring(changed(RELEASE, image=f"acme/shop@sha256:{'b' * 64}"))
    assert (await hand.bring(changed(APP, path="other", released=True, pin=RELEASE))).ready
    assert spec(hand)["source"]["kustomize"] == {"images": [f"acme/shop=acme/shop@sha256:{'b' * 64}"]}
