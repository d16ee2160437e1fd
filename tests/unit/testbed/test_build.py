"""What is built, where it is kept, and when it is built anew."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from testbed.build import BUNDLES, BuildError, Bundle, cache_folder, find_go, parse_version

KUBE = BUNDLES["kube"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go1.26.8", (1, 26, 8)), ("1.26", (1, 26)), ("go1.27rc1\n", (1, 27)), ("go1.26.8 X:none", (1, 26, 8))],
)
def test_versions(text: str, expected: tuple[int, ...]) -> None:
    assert parse_version(text) == expected


def test_what_is_no_version_is_an_error() -> None:
    with pytest.raises(BuildError, match="not a Go version"):
        parse_version("devel")


def test_the_cache_is_in_the_users_cache_folder() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/somewhere"}) == Path("/somewhere/freeleaps-devops-reconciler")
    assert cache_folder({}) == Path.home() / ".cache" / "freeleaps-devops-reconciler"


def test_another_version_is_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "kube"
    shutil.copytree(KUBE.folder, folder)
    copy = dataclasses.replace(KUBE, folder=folder)
    assert copy.digest == KUBE.digest
    (folder / "go.sum").write_text((folder / "go.sum").read_text() + "\n")
    assert copy.digest != KUBE.digest
    assert dataclasses.replace(KUBE, programs={"etcd": "go.etcd.io/etcd/server/v3"}).digest != KUBE.digest


@pytest.mark.parametrize("bundle", BUNDLES.values(), ids=BUNDLES)
def test_go_mod_has_every_program_as_a_tool_and_asks_for_go(bundle: Bundle) -> None:
    lines = (bundle.folder / "go.mod").read_text().splitlines()
    others = [package for package in bundle.programs.values() if package != "."]
    assert all(f"\t{package}" in lines or f"tool {package}" in lines for package in others)
    assert bundle.needed_go >= (1, 26)


def test_what_is_named_apart_is_built_apart() -> None:
    assert BUNDLES["scheduler"].folder == KUBE.folder
    assert BUNDLES["scheduler"].digest != KUBE.digest


@pytest.mark.parametrize(
    ("bundle", "variable", "module"),
    [("kube", "gitVersion", "k8s.io/kubernetes"), ("kwok", "consts.Version", "sigs.k8s.io/kwok")],
)
def test_the_version_that_is_stamped_is_the_version_that_is_built(bundle: str, variable: str, module: str) -> None:
    stamped = next(value for name, value in BUNDLES[bundle].variables.items() if name.endswith(variable))
    assert f"{module} {stamped} " in (BUNDLES[bundle].folder / "go.mod").read_text()


def test_a_go_that_is_too_old_is_named_with_what_to_do() -> None:
    with pytest.raises(BuildError, match=r"Go 999.0 or newer is needed; found: (.|\n)*make setup"):
        find_go((999, 0))


def test_another_source_of_our_own_is_another_folder(tmp_path: Path) -> None:
    peer = BUNDLES["peer"]
    folder = tmp_path / "peer"
    shutil.copytree(peer.folder, folder)
    copy = dataclasses.replace(peer, folder=folder)
    assert copy.digest == peer.digest
    (folder / "main.go").write_text((folder / "main.go").read_text() + "\n")
    assert copy.digest != peer.digest
