"""The bill of materials, the image and the locked packages say the same."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import yaml

from testbed import chart
from testbed.sbom import SBOM, packages, sbom

ROOT = Path(__file__).parents[3]
CONTAINERFILE = (ROOT / "Containerfile").read_text()


def locked(name: str) -> dict[str, str]:
    return {each.name: each.version for each in packages((ROOT / name).read_text())}


def test_the_bill_of_materials_has_every_locked_package_and_who_needs_it() -> None:
    found = json.loads(SBOM.read_text())
    assert {each["name"]: each["version"] for each in found["components"]} == locked("requirements.txt")
    refs = {each["bom-ref"] for each in found["components"]}
    needed = {ref for each in found["dependencies"] for ref in each["dependsOn"]}
    assert needed == refs, "each package is needed by another one, or by the operator"
    ours = next(each for each in found["dependencies"] if each["ref"].startswith("pkg:pypi/freeleaps"))
    assert {"pkg:pypi/kopf", "pkg:pypi/aiohttp"} <= {ref.partition("@")[0] for ref in ours["dependsOn"]}


def test_the_bill_of_materials_is_that_of_now() -> None:
    assert SBOM.read_text() == sbom()


def test_a_requirement_is_read_with_its_marker_and_its_reasons() -> None:
    text = "x-y==1.2 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n    # via\n    #   a\n    #   b (p.toml)\n"
    (found,) = packages(text)
    assert (found.name, found.version, found.marker, found.via) == ("x-y", "1.2", "sys_platform == 'win32'", ["a", "b"])


def test_what_builds_the_image_is_what_builds_the_package_here() -> None:
    ours, theirs = locked("requirements-dev.txt"), locked("requirements-build.txt")
    assert theirs
    assert {name: ours[name] for name in theirs} == theirs


def test_the_image_copies_only_what_the_builder_is_given() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    lines = re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE)
    copied = {name for line in lines for name in line.split()[:-1]}
    assert {name for name in copied if not any(fnmatch(name, pattern) for pattern in kept)} == set()
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_image_runs_as_the_user_of_the_chart_and_is_not_root() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)
    objects = [each for each in yaml.safe_load_all(chart.MANIFESTS.read_text()) if each]
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert tuple(map(int, user)) == (context["runAsUser"], context["runAsGroup"])
    assert int(user[0]) >= 10000
    assert re.search(r"^ARG BASE=\S+:\d+\.\d+\.\d+-\S+$", CONTAINERFILE, re.MULTILINE), "the base has no version"
