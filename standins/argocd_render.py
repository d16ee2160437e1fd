"""From the files of a source to manifests: as much of Kustomize, Helm and plain YAML as a sample project uses."""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from .argocd_git import SourceError

Json = dict[str, Any]
Files = Mapping[str, bytes]
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
EXPRESSION = re.compile(r"\{\{-?\s*\.([A-Za-z0-9_.]+)\s*(\|\s*quote\s*)?-?\}\}")


def render(files: Files, source: Json, name: str) -> list[Json]:
    """The manifests of an application's source. SourceError says why there are none."""
    path = posixpath.normpath(str(source.get("path") or "."))
    if path != "." and not any(file.startswith(path + "/") for file in files):
        raise SourceError(f"{source.get('path')}: app path does not exist")
    kind = source_type(files, source)
    if kind == "Kustomize":
        manifests = kustomize(files, path, [str(item) for item in (source.get("kustomize") or {}).get("images") or []])
    elif kind == "Helm":
        manifests = helm(files, path, source.get("helm") or {}, name)
    else:
        recurse = bool((source.get("directory") or {}).get("recurse"))
        manifests = [each for file in _yaml_files(files, path, recurse) for each in load(files, file)]
    if not manifests:
        raise SourceError(f"{source.get('path') or '.'}: no manifests found")
    return manifests


def source_type(files: Files, source: Json) -> str:
    """Kustomize, Helm or Directory: what the source says, else what the folder holds."""
    explicit = explicit_types(source)
    if explicit:
        return explicit[0]
    path = posixpath.normpath(str(source.get("path") or "."))
    if any(posixpath.normpath(f"{path}/{name}") in files for name in KUSTOMIZATIONS):
        return "Kustomize"
    return "Helm" if posixpath.normpath(f"{path}/Chart.yaml") in files else "Directory"


def explicit_types(source: Json) -> list[str]:
    """The tools that the source has a block for. SourceError where there are several."""
    blocks = (("kustomize", "Kustomize"), ("helm", "Helm"), ("directory", "Directory"), ("plugin", "Plugin"))
    found = [kind for field, kind in blocks if source.get(field)]
    if len(found) > 1:
        raise SourceError(f"multiple application sources defined: {','.join(found)}")
    return found


def load(files: Files, file: str) -> list[Json]:
    """The objects of one YAML file."""
    return parse(files[file].decode("utf-8", errors="replace"), file)


def parse(text: str, file: str) -> list[Json]:
    try:
        documents = [each for each in _documents(text) if each is not None]
    except yaml.YAMLError as error:
        raise SourceError(f"Failed to unmarshal {file!r}: {' '.join(str(error).split())}") from error
    for each in documents:
        if not isinstance(each, dict) or "kind" not in each or not isinstance(each.get("metadata"), dict):
            raise SourceError(f"Failed to unmarshal {file!r}: Object 'Kind' is missing")
    return documents


def _documents(text: str | bytes) -> list[Any]:
    """Those of a stream, to be changed at will."""
    return copy.deepcopy(list(_parsed(text)))


@lru_cache(maxsize=256)
def _parsed(text: str | bytes) -> tuple[Any, ...]:
    """Many applications have one source: parsing it for each was most of what a comparison costs."""
    return tuple(yaml.safe_load_all(text))


def kustomize(files: Files, path: str, overrides: list[str]) -> list[Json]:
    """`kustomize build`: resources (files and folders), namespace, and images; the overrides win by name."""
    manifests = _kustomize_folder(files, path)
    images = [_image_override(text) for text in overrides]
    for manifest in manifests:
        _set_images(manifest, {image["name"]: image for image in images})
    return manifests


def _kustomize_folder(files: Files, path: str) -> list[Json]:
    file = next(
        (name for name in (posixpath.normpath(f"{path}/{each}") for each in KUSTOMIZATIONS) if name in files), ""
    )
    if not file:
        raise SourceError(f"unable to find one of {', '.join(KUSTOMIZATIONS)} in directory '{path}'")
    try:
        settings, *more = _documents(files[file]) or [None]
    except yaml.YAMLError as error:
        raise SourceError(f"invalid Kustomization: {' '.join(str(error).split())}") from error
    if more:
        raise SourceError("invalid Kustomization: expected a single document in the stream")
    if not isinstance(settings, dict) or not settings.get("resources"):
        raise SourceError("kustomization.yaml is empty")
    manifests: list[Json] = []
    for entry in settings["resources"]:
        target = posixpath.normpath(f"{path}/{entry}")
        if target in files:
            manifests += load(files, target)
        elif any(each.startswith(target + "/") for each in files):
            manifests += _kustomize_folder(files, target)
        else:
            raise SourceError(f"accumulating resources: accumulation err='{target}: no such file or directory'")
    images = {str(image.get("name")): image for image in settings.get("images") or []}
    for manifest in manifests:
        _set_images(manifest, images)
        if settings.get("namespace"):
            manifest["metadata"]["namespace"] = settings["namespace"]
    return manifests


def _image_override(text: str) -> Json:
    """`name=repository@digest`, `name=repository:tag`, `repository@digest` or `repository:tag`."""
    name, equals, image = text.partition("=")
    repository, tag, digest = split_image(image if equals else name)
    found = {"name": name if equals else repository, "newName": repository}
    return found | ({"digest": digest} if digest else {}) | ({"newTag": tag} if tag and not digest else {})


def split_image(image: str) -> tuple[str, str, str]:
    """Repository, tag and digest; a colon before the last slash is a port."""
    rest, _, digest = image.partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag, digest


def _set_images(manifest: Json, images: Mapping[str, Json]) -> None:
    for container in containers(manifest):
        repository, tag, digest = split_image(str(container.get("image", "")))
        image = images.get(repository)
        if image is None:
            continue
        repository = image.get("newName") or repository
        if image.get("digest"):
            container["image"] = f"{repository}@{image['digest']}"
        elif image.get("newTag"):
            container["image"] = f"{repository}:{image['newTag']}"
        else:
            container["image"] = repository + (f"@{digest}" if digest else f":{tag}" if tag else "")


def containers(manifest: Json) -> Iterator[Json]:
    """The containers of a workload: of a pod, a pod template, or a job template."""
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        return
    if manifest.get("kind") == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    pod = spec if manifest.get("kind") == "Pod" else (spec.get("template") or {}).get("spec") or {}
    yield from pod.get("initContainers") or []
    yield from pod.get("containers") or []


def helm(files: Files, path: str, settings: Json, name: str) -> list[Json]:
    """`helm template` for charts that only insert values: `{{ .Values.a.b }}`, `{{ .Release.Name }}`, `| quote`."""
    chart_file = posixpath.normpath(f"{path}/Chart.yaml")
    if chart_file not in files:
        raise SourceError(f"Chart.yaml file is missing in {path}")
    values_file = posixpath.normpath(f"{path}/values.yaml")
    values = copy.deepcopy(yaml.safe_load(files.get(values_file, b"{}")) or {})
    for parameter in settings.get("parameters") or []:
        _set_value(values, str(parameter.get("name", "")), parameter.get("value", ""))
    chart = yaml.safe_load(files[chart_file]) or {}
    release = {"Name": settings.get("releaseName") or name}
    scope = {"Values": values, "Release": release, "Chart": {"Name": chart.get("name")}}
    folder = posixpath.normpath(f"{path}/templates")
    manifests: list[Json] = []
    for file in _yaml_files(files, folder, recurse=True):
        manifests += parse(_insert(files[file].decode(), scope, file), file)
    return manifests


def _set_value(values: Json, dotted: str, value: object) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def _insert(text: str, scope: Json, file: str) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = scope
        for word in match.group(1).split("."):
            found = found.get(word) if isinstance(found, dict) else None
        if found is None:
            raise SourceError(f"template: {file}: nil pointer evaluating .{match.group(1)}")
        return f'"{found}"' if match.group(2) else str(found)

    done = EXPRESSION.sub(value, text)
    if "{{" in done:
        raise SourceError(f"template: {file}: this chart needs more of Helm than is there")
    return done


def _yaml_files(files: Files, path: str, recurse: bool) -> list[str]:
    prefix = "" if path == "." else path + "/"
    found = [name for name in files if name.startswith(prefix) and name.endswith((".yaml", ".yml", ".json"))]
    return sorted(name for name in found if recurse or "/" not in name[len(prefix) :])
