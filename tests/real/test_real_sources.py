"""What the real Argo CD makes of each kind of source, and of an image that is not used or does not come up."""

from __future__ import annotations

import pytest

from testbed.sample import SERVICE

from .real_play import WAITING, RealPlay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]
CHART = "name: shop\nversion: 1.0.0\napiVersion: v2\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  selector:
    matchLabels:
      app: {selected}
  template:
    metadata:
      labels:
        app: {name}
      annotations: {annotations}
    spec:
      containers:
        - name: shop
          image: {image}
"""


def deployment(name: str, image: str, annotations: str = "{}", selected: str = "") -> str:
    return DEPLOYMENT.format(name=name, image=image, annotations=annotations, selected=selected or name)


@pytest.mark.representative
async def test_kustomize_runs_the_built_image_by_its_digest(play: RealPlay) -> None:
    await play.set_up()

    record = await play.succeeds(await play.send("deploy"))

    image = record["status"]["image"]
    assert image == f"{play.stage.registry_host}/acme/{play.project}@{play.builds[0].digest}"
    assert await play.images() == [image]
    assert image in (await play.application())["status"]["summary"]["images"]
    visit = await play.visit()
    assert (visit.status, visit.image) == (200, image)


async def test_helm_takes_the_image_from_its_values(play: RealPlay) -> None:
    image = "{{ .Values.image.repository }}@{{ .Values.image.digest }}"
    chart: dict[str, str | None] = {
        "chart/Chart.yaml": CHART,
        "chart/values.yaml": "image:\n  repository: none\n  digest: none\n",
        "chart/templates/deployment.yaml": deployment(play.project, f'"{image}"'),
        "chart/templates/service.yaml": SERVICE.format(name=play.project),
    }
    await (await play.sample()).commit("Make a chart", chart)
    await play.set_up(argo={"source": {"kind": "Helm", "path": "chart"}})

    record = await play.succeeds(await play.send("deploy"))

    assert await play.images() == [record["status"]["image"]]
    assert (await play.visit()).image == record["status"]["image"]


async def test_of_a_directory_the_manifests_decide(play: RealPlay) -> None:
    plain: dict[str, str | None] = {
        "plain/deployment.yaml": deployment(play.project, "acme/fixed:1"),
        "plain/service.yaml": SERVICE.format(name=play.project),
    }
    await (await play.sample()).commit("Write manifests", plain)
    await play.set_up(argo={"source": {"kind": "Directory", "path": "plain"}})

    await play.succeeds(await play.send("deploy"))

    assert await play.images() == ["acme/fixed:1"]


async def test_an_override_that_matches_no_image_is_found_out(play: RealPlay) -> None:
    await play.set_up(argo={"kustomize": {"imageName": "acme/something-else"}})

    said = await play.fails(await play.send("deploy"), "ImageNotUsed")

    assert f"acme/{play.project}" in said
    assert "argo.kustomize.imageName" in said


async def test_a_pod_that_never_runs_is_named_with_its_reason(play: RealPlay) -> None:
    await play.set_up()
    broken = deployment(play.project, f"acme/{play.project}", f'{{{WAITING}: "ImagePullBackOff"}}')
    await (await play.sample()).commit("Break the image", {"deploy/deployment.yaml": broken})

    said = await play.fails(await play.send("deploy"), "HealthTimeout")

    assert f"Pod {play.project}/{play.project}-" in said
    assert "ImagePullBackOff" in said


@pytest.mark.representative
async def test_what_the_api_server_refuses_is_told_in_its_words(play: RealPlay) -> None:
    await play.set_up()
    refused = deployment(play.project, f"acme/{play.project}", selected="another")
    await (await play.sample()).commit("Select something else", {"deploy/deployment.yaml": refused})

    said = await play.fails(await play.send("deploy"), "SyncFailed")

    assert "`selector` does not match template `labels`" in said
