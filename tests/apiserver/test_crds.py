"""The CRDs in a real API server: what it takes, what it fills in, and with which words it refuses."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from devops_reconciler.api.examples import EXAMPLES
from testbed.kube_api import KubeApiError, Object
from testbed.kubernetes import ControlPlane

PLURALS = {
    "DevOpsProject": "devopsprojects",
    "JenkinsSettings": "jenkinssettings",
    "RegistrySettings": "registrysettings",
    "ArgoSettings": "argosettings",
    "IngressResource": "ingressresources",
    "DeploymentRecord": "deploymentrecords",
}
GIT = {"url": "https://git.example.com/shop.git"}
SMALLEST: dict[str, Any] = {
    "DevOpsProject": {"git": GIT, "ingress": {"host": "shop.example.com"}},
    "JenkinsSettings": {"git": GIT},
    "RegistrySettings": {},
    "ArgoSettings": {"git": GIT},
    "IngressResource": {"host": "shop.example.com"},
    "DeploymentRecord": {"projectRef": {"name": "shop"}},
}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def _path(namespace: str, kind: str, name: str = "") -> str:
    path = f"/apis/freeleaps.com/v1alpha1/namespaces/{namespace}/{PLURALS[kind]}"
    return f"{path}/{name}" if name else path


def _object(kind: str, spec: dict[str, Any] | None = None, name: str = "shop") -> Object:
    made = SMALLEST[kind] if spec is None else spec
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": copy.deepcopy(made),
    }


async def _create(control_plane: ControlPlane, namespace: str, made: Object) -> Object:
    """As kubectl creates: a field that the schema does not have is an error."""
    return await control_plane.api().create(_path(namespace, made["kind"]) + "?fieldValidation=Strict", made)


async def _refusal(control_plane: ControlPlane, namespace: str, made: Object) -> str:
    with pytest.raises(KubeApiError) as refused:
        await _create(control_plane, namespace, made)
    assert refused.value.status in (400, 422)
    return refused.value.message


@pytest.mark.parametrize("kind", PLURALS)
async def test_each_definition_is_established_and_structural(control_plane: ControlPlane, kind: str) -> None:
    definition = await control_plane.get(f"{DEFINITIONS}/{PLURALS[kind]}.freeleaps.com")
    conditions = {each["type"]: each["status"] for each in definition["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("name", ["kopfpeerings", "clusterkopfpeerings"])
async def test_the_peering_of_kopf_is_established(control_plane: ControlPlane, name: str) -> None:
    definition = await control_plane.get(f"{DEFINITIONS}/{name}.kopf.dev")
    assert {"Established": "True"}.items() <= {
        each["type"]: each["status"] for each in definition["status"]["conditions"]
    }.items()


async def test_the_smallest_project_gets_its_defaults(control_plane: ControlPlane, namespace: str) -> None:
    made = await _create(control_plane, namespace, _object("DevOpsProject"))
    assert made["spec"] == {
        "git": {"url": "https://git.example.com/shop.git", "branch": "main"},
        "jenkins": {},
        "registry": {"private": True},
        "argo": {
            "source": {"kind": "Kustomize"},
            "kustomize": {},
            "helm": {"imageParameter": "image.repository", "digestParameter": "image.digest"},
            "autoSync": False,
            "destination": {"server": "https://kubernetes.default.svc"},
        },
        "ingress": {"host": "shop.example.com", "service": {"port": 80}, "ttl": 600, "probe": {"path": "/"}},
        "previews": {"ttl": "24h", "max": 5},
        "historyLimit": 10,
        "suspend": False,
        "mode": "Apply",
        "managementPolicies": ["Observe", "Create", "Update", "Delete"],
        "deletionPolicy": "Delete",
        "adoption": "Never",
        "driftPolicy": "Repair",
        "components": {
            "jenkins": {},
            "registry": {"deletionPolicy": "Orphan"},
            "argo": {},
            "ingress": {},
            "dns": {},
        },
    }
    assert made["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", PLURALS)
async def test_the_smallest_object_of_each_kind_is_taken(
    control_plane: ControlPlane, namespace: str, kind: str
) -> None:
    made = await _create(control_plane, namespace, _object(kind))
    assert made["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", PLURALS)
async def test_the_example_of_the_reference_is_taken(control_plane: ControlPlane, namespace: str, kind: str) -> None:
    name, spec = EXAMPLES[kind]
    made = await _create(control_plane, namespace, _object(kind, spec, name))
    assert made["metadata"]["name"] == name


async def test_the_registry_stays_unless_its_own_policy_says_otherwise(
    control_plane: ControlPlane, namespace: str
) -> None:
    spec = {**SMALLEST["DevOpsProject"], "deletionPolicy": "Delete", "components": {"registry": {"adoption": "Always"}}}
    made = await _create(control_plane, namespace, _object("DevOpsProject", spec))
    assert made["spec"]["components"]["registry"] == {"deletionPolicy": "Orphan", "adoption": "Always"}


async def test_a_probe_can_be_switched_off(control_plane: ControlPlane, namespace: str) -> None:
    spec = {"git": GIT, "ingress": {"host": "shop.example.com", "probe": None}}
    made = await _create(control_plane, namespace, _object("DevOpsProject", spec))
    assert made["spec"]["ingress"]["probe"] is None
    applied = _object("IngressResource", {"host": "shop.example.com", "probe": None})
    applied["metadata"]["namespace"] = namespace
    (made,) = await control_plane.apply([applied])
    assert made["spec"]["probe"] is None


async def test_an_empty_block_is_as_good_as_none(control_plane: ControlPlane, namespace: str) -> None:
    spec = {**SMALLEST["DevOpsProject"], "jenkins": None, "registry": None, "previews": {"max": None}}
    made = await _create(control_plane, namespace, _object("DevOpsProject", spec))
    assert made["spec"]["registry"] == {"private": True}
    assert made["spec"]["previews"] == {"ttl": "24h", "max": 5}


async def test_applying_fewer_management_policies_replaces_the_default(
    control_plane: ControlPlane, namespace: str
) -> None:
    await _create(control_plane, namespace, _object("DevOpsProject"))
    fewer = _object("DevOpsProject", {**SMALLEST["DevOpsProject"], "managementPolicies": ["Observe"]})
    fewer["metadata"]["namespace"] = namespace
    (made,) = await control_plane.apply([fewer])
    assert made["spec"]["managementPolicies"] == ["Observe"]


def _project(**blocks: Any) -> Object:
    return _object("DevOpsProject", {**SMALLEST["DevOpsProject"], **blocks})


def _ingress(**fields: Any) -> Object:
    return _project(ingress={"host": "shop.example.com", **fields})


def _record(**fields: Any) -> Object:
    return _object("DeploymentRecord", {"projectRef": {"name": "shop"}, **fields})


REFUSED: list[tuple[str, Object, str]] = [
    ("no git", _object("DevOpsProject", {"ingress": {"host": "a.example.com"}}), "spec.git: Required value"),
    ("no host", _object("DevOpsProject", {"git": GIT, "ingress": {}}), "spec.ingress.host: Required value"),
    ("no spec", {**_object("DevOpsProject"), "spec": None}, "spec: Required value"),
    ("unknown field", _project(wrong=1), 'unknown field "spec.wrong"'),
    ("unknown inner field", _project(jenkins={"script": "x"}), 'unknown field "spec.jenkins.script"'),
    ("name too long", _object("DevOpsProject", name="a" * 31), "metadata.name: Invalid value: this is the name of"),
    ("name with a dot", _object("DevOpsProject", name="a.b"), "use a DNS label of at most 30 characters"),
    ("name of a child", _object("ArgoSettings", name="a.b"), "use a DNS label of at most 30 characters"),
    ("name of a record", _object("DeploymentRecord", name="a.b"), "use a DNS label of at most 63 characters"),
    ("ssh url", _project(git={"url": "ssh://git.example.com/shop.git"}), "spec.git.url: Invalid value: use an http(s)"),
    ("url with user", _project(git={"url": "https://u:s3cret@git.example.com/a"}), "credentials go into a Secret"),
    ("url with query", _project(git={"url": "https://git.example.com/a?t=s3cret"}), "without user, password, query"),
    (
        "manifests url",
        _project(argo={"source": {"repoURL": "git@x:y"}}),
        "spec.argo.source.repoURL: Invalid value: use",
    ),
    ("branch is an option", _project(git={**GIT, "branch": "--upload-pack=x"}), "use a branch, a tag or a commit"),
    ("script outside", _project(jenkins={"scriptPath": "../x"}), "use a path inside the repository"),
    ("absolute path", _project(argo={"source": {"path": "/etc"}}), "use a path inside the repository"),
    ("folder", _project(jenkins={"folder": "a/b"}), "use a name that Jenkins allows"),
    ("reserved parameter", _project(jenkins={"parameters": {"IMAGE_TAG": "x"}}), "choose another name"),
    ("reserved parameter in small", _project(jenkins={"parameters": {"image_tag": "x"}}), "choose another name"),
    ("parameter of the linker", _project(jenkins={"parameters": {"LD_PRELOAD": "x"}}), "which programs and libraries"),
    ("parameter of git", _project(jenkins={"parameters": {"Git_Ssh_Command": "x"}}), "of the git of Jenkins"),
    ("parameter of Jenkins", _project(jenkins={"parameters": {"BUILD_URL": "x"}}), "are set by Jenkins"),
    ("parameter name", _project(jenkins={"parameters": {"a-b": "x"}}), "use a parameter name of letters"),
    (
        "too many parameters",
        _project(jenkins={"parameters": {f"P{number}": "x" for number in range(51)}}),
        "must have at most 50 items",
    ),
    ("repository name", _project(registry={"repository": "Shop"}), "use a Docker Hub repository name"),
    ("registry namespace", _project(registry={"namespace": "a/b"}), "use a Docker Hub namespace"),
    ("secret name", _project(registry={"pullSecretRef": {"name": "A"}}), "use the name of a Kubernetes object"),
    (
        "source kind",
        _project(argo={"source": {"kind": "Jsonnet"}}),
        'supported values: "Kustomize", "Helm", "Directory"',
    ),
    ("destination", _project(argo={"destination": {"namespace": "a.b"}}), "use the name of a namespace"),
    ("cluster", _project(argo={"destination": {"server": "in-cluster"}}), "use the http(s) URL of a cluster"),
    ("host in capitals", _ingress(host="Shop.example.com"), "use a host name in lower case"),
    ("host with a scheme", _ingress(host="https://shop.example.com"), "without scheme, port or path"),
    ("host outside the zone", _ingress(zone="example.org"), "end it with the zone, or leave zone out"),
    ("host only looks inside", _ingress(host="badexample.com", zone="example.com"), "end it with the zone"),
    ("child outside the zone", _object("IngressResource", {"host": "a.b.c", "zone": "d.c"}), "end it with the zone"),
    ("target", _ingress(target="http://1.2.3.4"), "use an IPv4 or IPv6 address or a host name"),
    ("record ttl", _ingress(ttl=60), "spec.ingress.ttl in body should be greater than or equal to 600"),
    ("port", _ingress(service={"port": 70000}), "should be less than or equal to 65535"),
    ("probe path", _ingress(probe={"path": "healthz"}), "begin it with /"),
    ("tls without secret", _ingress(tls={}), "spec.ingress.tls.secretName: Required value"),
    ("ttl of nothing", _project(previews={"ttl": "0s"}), "use a length of time above zero"),
    *((f"ttl of {ttl}", _project(previews={"ttl": ttl}), "at most 3650d") for ttl in ("9999d", "99999h", "3650d1s")),
    ("ttl in words", _project(previews={"ttl": "soon"}), "like 90s, 15m, 24h, 7d"),
    ("preview host", _project(previews={"host": "preview.example.com"}), "use a host name with {name} once"),
    ("mode", _project(mode="DryRun"), 'supported values: "Apply", "Plan"'),
    ("policy", _project(managementPolicies=["Destroy"]), 'supported values: "Observe", "Create", "Update", "Delete"'),
    ("component", _project(components={"mail": {}}), 'unknown field "spec.components.mail"'),
    ("component policy", _project(components={"dns": {"adoption": "Yes"}}), 'supported values: "Never", "IfUnowned"'),
    ("history", _project(historyLimit=0), "should be greater than or equal to 1"),
    ("no project", _object("DeploymentRecord", {}), "spec.projectRef: Required value"),
    ("environment", _record(environment="PR_7"), "use a DNS label of at most 30 characters"),
    ("environment too long", _record(environment="a" * 31), "may not be more than 30"),
    ("ttl on production", _record(ttl="1h"), "leave ttl and expiresAt out, or name another environment"),
    ("expiry of production", _record(environment="production", expiresAt="2030-01-01T00:00:00Z"), "leave ttl and"),
    ("expiry no time", _record(environment="pr-7", expiresAt="tomorrow"), "date-time"),
    ("revision and rollback", _record(revision="main", rollbackTo="lastHealthy"), "exclude each other"),
    ("revision", _record(revision="main branch"), "use a branch, a tag or a commit"),
    ("concurrency", _record(concurrencyPolicy="Race"), 'supported values: "Queue", "Replace", "Forbid"'),
]


@pytest.mark.parametrize(("made", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_a_bad_spec_is_refused_with_what_to_do(
    control_plane: ControlPlane, namespace: str, made: Object, says: str
) -> None:
    message = await _refusal(control_plane, namespace, made)
    assert says in message
    assert "s3cret" not in message


async def test_the_lengths_of_time_that_are_taken(control_plane: ControlPlane, namespace: str) -> None:
    for number, ttl in enumerate([90, "90", "90s", "15m", "24h", "7d", "1h30m", "3650d", "3649d23h59m60s"]):
        spec = {"projectRef": {"name": "shop"}, "environment": "pr-7", "ttl": ttl}
        made = await _create(control_plane, namespace, _object("DeploymentRecord", spec, f"shop-{number}"))
        assert made["spec"]["ttl"] == ttl


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("projectRef", {"name": "other"}),
        ("environment", "pr-8"),
        ("revision", "other"),
        ("revision", None),
        ("rollbackTo", "lastHealthy"),
    ],
)
async def test_what_a_record_deploys_cannot_be_changed(
    control_plane: ControlPlane, namespace: str, field: str, value: Any
) -> None:
    await _create(control_plane, namespace, _record(environment="pr-7", revision="main"))
    with pytest.raises(KubeApiError) as refused:
        await control_plane.api().patch(_path(namespace, "DeploymentRecord", "shop"), {"spec": {field: value}})
    assert refused.value.status == 422
    assert f"{field} cannot be changed: a record is one deployment, create another one instead" in refused.value.message


async def test_how_long_a_record_lives_and_whether_it_goes_on_can_be_changed(
    control_plane: ControlPlane, namespace: str
) -> None:
    await _create(control_plane, namespace, _record(environment="pr-7", revision="main", ttl="1h"))
    change = {"ttl": "2h", "expiresAt": "2030-01-01T00:00:00Z", "cancel": True, "concurrencyPolicy": "Replace"}
    made = await control_plane.api().patch(_path(namespace, "DeploymentRecord", "shop"), {"spec": change})
    assert change.items() <= made["spec"].items()
    assert made["metadata"]["generation"] == 2


async def test_status_is_a_subresource_that_keeps_what_the_engine_writes(
    control_plane: ControlPlane, namespace: str
) -> None:
    made = await _create(control_plane, namespace, _object("DevOpsProject"))
    path = _path(namespace, "DevOpsProject", "shop")
    applied = [{"key": "folder", "value": {"name": "shop", "deep": [1, {"x": "y"}]}, "intent": None}]
    status = {"applied": applied, "observedGeneration": 1}
    ignored = await control_plane.api().request("PUT", path, {**made, "status": status})
    assert ignored["status"] == {"observedGeneration": -1}
    saved = await control_plane.api().request("PUT", f"{path}/status", {**ignored, "status": status})
    assert saved["status"] == status
    assert saved["metadata"]["generation"] == 1


async def test_one_condition_of_a_type(control_plane: ControlPlane, namespace: str) -> None:
    await _create(control_plane, namespace, _object("DevOpsProject"))
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Succeeded",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    path = _path(namespace, "DevOpsProject", "shop") + "/status"
    with pytest.raises(KubeApiError, match="Duplicate value"):
        await control_plane.api().patch(path, {"status": {"conditions": [ready, ready]}})


async def _kubectl(control_plane: ControlPlane, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(control_plane.programs / "kubectl"),
        *arguments,
        env={"KUBECONFIG": str(control_plane.kubeconfig()), "HOME": str(control_plane.kubeconfig().parent)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_kubectl_explain_reads_well(control_plane: ControlPlane) -> None:
    text = " ".join((await _kubectl(control_plane, "explain", "dop.spec.ingress")).split())
    assert "host <string> -required- Host name of production, like shop.example.com." in text
    assert "TTL of the DNS record in seconds; GoDaddy accepts none below 600." in text
    whole = await _kubectl(control_plane, "explain", "deploymentrecords", "--recursive")
    assert "<no description>" not in whole


@pytest.mark.parametrize(
    ("kind", "short", "columns"),
    [
        ("DevOpsProject", "dop", ["READY", "REASON", "URL", "AGE"]),
        ("JenkinsSettings", "jks", ["READY", "REASON", "URL", "AGE"]),
        ("RegistrySettings", "regs", ["READY", "REASON", "IMAGE", "AGE"]),
        ("ArgoSettings", "args", ["READY", "REASON", "URL", "AGE"]),
        ("IngressResource", "ingr", ["READY", "REASON", "URL", "AGE"]),
        (
            "DeploymentRecord",
            "dr",
            ["PROJECT", "ENVIRONMENT", "READY", "REASON", "STEP", "URL", "EXPIRES", "AGE"],
        ),
    ],
)
async def test_kubectl_get_has_short_names_and_columns(
    control_plane: ControlPlane, namespace: str, kind: str, short: str, columns: list[str]
) -> None:
    await _create(control_plane, namespace, _object(kind))
    header, row = (await _kubectl(control_plane, "get", short, f"--namespace={namespace}")).splitlines()
    assert header.split() == ["NAME", *columns]
    assert row.startswith("shop ")


async def test_kubectl_gets_all_by_the_category(control_plane: ControlPlane, namespace: str) -> None:
    for kind in PLURALS:
        await _create(control_plane, namespace, _object(kind))
    names = (await _kubectl(control_plane, "get", "freeleaps", f"--namespace={namespace}", "-o", "name")).split()
    assert sorted(names) == sorted(f"{kind.lower()}.freeleaps.com/shop" for kind in PLURALS)
