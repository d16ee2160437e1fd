"""The quickstart alone leads from `helm install` to a deployed project, and away again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from devops_reconciler.api.definitions import GROUP
from testbed.outside import Outside
from testbed.reader_shell import blocks, page
from testbed.stage_operator import Operator

from .newcomer import ARGOCD_SETTINGS, NAMESPACE, PAGE, BareStage, Newcomer

DEADLINE = timedelta(minutes=2)


async def prepare(stage: BareStage) -> None:
    """What is there before: Argo CD's settings, and a repository as the page wants it, with a branch to try."""
    await stage.control_plane.apply(ARGOCD_SETTINGS)
    await stage.sample("shop")


async def fill_repository(stage: BareStage, newcomer: Newcomer) -> None:
    sample = await stage.sample("shop")
    (jenkinsfile,) = blocks(page(PAGE), "groovy")
    project_file = next(block for block in blocks(page(PAGE), "yaml") if block.startswith("argo:"))
    manifests = {name: text for name, text in newcomer.files().items() if name.startswith("manifests/")}
    old = {f"deploy/{name}.yaml": None for name in ("deployment", "service", "kustomization")}
    await sample.commit(
        "As the quickstart says", {**old, **manifests, "Jenkinsfile": jenkinsfile, ".freeleaps.yaml": project_file}
    )
    await sample.commit("Try a basket", {"greeting.txt": "With a basket.\n"}, branch="feature/basket")


async def test_the_quickstart_alone_leads_to_a_deployed_project(tmp_path: Path) -> None:
    async with BareStage() as stage:
        await prepare(stage)
        newcomer = Newcomer(stage, tmp_path)
        await fill_repository(stage, newcomer)
        outside = Outside(stage.godaddy.resolvers, stage.ingress.port)
        said: dict[str, str] = {}
        for block in blocks(page(PAGE), "sh", ""):
            if block.startswith("kubectl delete dop"):
                await check_deployed(stage, outside)
            said[block] = await asyncio.to_thread(newcomer.types, block)
            if "helm install" in block:
                operator = Operator(await newcomer.pod(), stage.folder / "operator.log")
                stage.operators.append(operator)
                await operator.start()
                await operator.wait_ready()

        assert 'deployment "devops-reconciler" successfully rolled out' in "".join(said.values())
        assert {line.split()[0] for line in findings(said)} == {"ok"}
        left = {(thing.service, thing.kind) for thing in await stage.inventory("shop")}
        assert left == {("dockerhub", "repository"), ("dockerhub", "tag"), ("kubernetes", "namespace")}


def findings(said: dict[str, str]) -> list[str]:
    """The lines of the doctor, one a service."""
    (text,) = (text for block, text in said.items() if " doctor" in block)
    _, _, text = text.partition("successfully rolled out")
    return [line for line in text.splitlines()[1:] if line and not line.startswith(" ")]


async def check_deployed(stage: BareStage, outside: Outside) -> None:
    """Production answers with what was built, and so does the preview, each by its name."""
    path = f"/apis/{GROUP}/v1alpha1/namespaces/{NAMESPACE}/deploymentrecords"
    records = (await stage.control_plane.get(path))["items"]
    assert len(records) == 2
    for record in records:
        ended = await stage.kube.wait_condition(
            "deploymentrecords", NAMESPACE, record["metadata"]["name"], "Finished", deadline=DEADLINE
        )
        seen = await outside.visit(ended["status"]["url"].removeprefix("http://").strip("/"))
        assert (seen.status, seen.digest) == (200, ended["status"]["image"].partition("@")[2])
