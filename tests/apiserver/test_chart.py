"""The Helm chart: what it renders, what it refuses, and that a real API server takes it, keeps it and lets it go."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from devops_reconciler.runtime.settings import ConfigurationValidator
from testbed import build, chart
from testbed.kube_api import Object
from testbed.kubernetes import ControlPlane
from testbed.promtool import ADVICE, find
from testbed.waiting import eventually
from tests.unit.deploy.queries import endpoint

CONFIG = {
    "RABBITMQ_HOST": "rabbitmq.messaging.svc",
    "RABBITMQ_PORT": 5671,
    "RABBITMQ_TLS": True,
    "JENKINS_ENDPOINT": "http://jenkins.ci.svc:8080",
    "ARGOCD_ENDPOINT": "https://argocd-server.argocd.svc",
}
SECRETS = {
    "DEFAULT_GIT_USERNAME": "git-user",
    "DEFAULT_GIT_TOKEN": "git-token",
    "JENKINS_USERNAME": "jenkins-user",
    "JENKINS_TOKEN": "jenkins-token",
    "ARGOCD_TOKEN": "argocd-token",
    "RABBITMQ_USERNAME": "amqp-user",
    "RABBITMQ_PASSWORD": "555555555555",
}
VALUES: dict[str, Any] = {"config": CONFIG, "secrets": SECRETS}
MINUTES = timedelta(minutes=2)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PROMETHEUS_OPERATOR = Path(__file__).parents[1] / "data" / "prometheus-operator"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


def written(folder: Path, values: Mapping[str, Any]) -> str:
    """The values as a file for helm; its path."""
    path = folder / f"values-{secrets.token_hex(3)}.yaml"
    path.write_text(yaml.safe_dump(dict(values)))
    return str(path)


def rendered(folder: Path, **values: Any) -> list[Object]:
    """The objects of the chart with these values."""
    text = chart.template(["--values", written(folder, VALUES | values)])
    return [each for each in yaml.safe_load_all(text) if each]


def one(objects: list[Object], kind: str) -> Object:
    """The one object of this kind."""
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


def container(objects: list[Object]) -> Object:
    found: Object = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(objects: list[Object]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(objects)["env"]}


# What it renders


def test_the_plain_manifests_are_what_the_chart_renders() -> None:
    assert chart.MANIFESTS.read_text() == chart.manifests()


def test_values_become_a_configuration_that_the_operator_takes(tmp_path: Path) -> None:
    config = CONFIG | {"BUILD_TIMEOUT": "2h", "RECONCILER_DEBUG": True, "EXPIRY_RATE": 1000000}
    config |= {"ALLOWED_DESTINATIONS": "ci=ci,ci-*;qa=qa,qa-*"}
    objects = rendered(tmp_path, config=config, watchNamespaces=["ci", "qa"])
    (tmp_path / "secrets").mkdir()
    for name, value in one(objects, "Secret")["stringData"].items():
        (tmp_path / "secrets" / name).write_text(value)

    validator = ConfigurationValidator(environment(objects) | {"RECONCILER_SECRETS_DIR": str(tmp_path / "secrets")})

    assert (validator.validate(), validator.warnings) == ([], [])
    given = {name: each.text for name, each in validator.given.items()}
    assert (given["RABBITMQ_PORT"], given["EXPIRY_RATE"]) == ("5671", "1000000")
    assert (given["RECONCILER_NAMESPACES"], given["OPERATOR_NAMESPACE"]) == ("ci,qa", chart.NAMESPACE)
    assert given["RABBITMQ_PASSWORD"] == SECRETS["RABBITMQ_PASSWORD"]


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("20s", 40), ("2m", 135), (90, 105), ("1m30.5s", 106), ("1500ms", 40), ("1h", 3615), ("0.5h", 1815), ("soon", 40)],
)
def test_the_pod_is_killed_after_the_time_that_work_in_flight_has(
    tmp_path: Path, timeout: str | int, seconds: int
) -> None:
    objects = rendered(tmp_path, config=CONFIG | {"RECONCILER_SHUTDOWN_TIMEOUT": timeout})
    assert one(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds


def test_no_secret_is_in_the_deployment(tmp_path: Path) -> None:
    deployment = one(rendered(tmp_path, existingSecrets=["vault"]), "Deployment")
    assert not [value for value in SECRETS.values() if value in json.dumps(deployment)]
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    assert [each["secret"]["name"] for each in volumes["secrets"]["projected"]["sources"]] == [chart.RELEASE, "vault"]


def test_each_watched_namespace_has_a_role_and_nothing_else_is_cluster_wide(tmp_path: Path) -> None:
    objects = rendered(tmp_path, watchNamespaces=["ci", "qa"])
    roles = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in objects if each["kind"] == "Role"}
    assert roles == {("ci", chart.RELEASE), ("qa", chart.RELEASE), (chart.NAMESPACE, f"{chart.RELEASE}-lease")}
    groups = {group for rule in one(objects, "ClusterRole")["rules"] for group in rule["apiGroups"]}
    assert groups == {"", "networking.k8s.io"}


def test_listed_destinations_confine_all_rights_but_reading_namespaces(tmp_path: Path) -> None:
    objects = rendered(tmp_path, destinations={"namespaces": ["shop"], "copySecrets": False})
    assert one(objects, "ClusterRole")["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["shop", "kube-system"], "verbs": ["get"]}
    ]
    (role,) = (each for each in objects if each["kind"] == "Role" and each["metadata"]["namespace"] == "shop")
    assert [rule["resources"] for rule in role["rules"]] == [["ingresses"]]


def test_the_network_policy_opens_the_ports_of_the_configuration(tmp_path: Path) -> None:
    config = CONFIG | {
        "DNS_RESOLVERS": "198.51.100.1:5300",
        "GIT_ALLOWED_HOSTS": "git.example.com, http://git.test:3000, git.example.org:8443",
        "REGISTRY_ENDPOINT": "http://registry.ci.svc:5000",
        "INGRESS_HTTP_PORT": 8000,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://otel.ci.svc:4318/v1/traces",
    }
    rabbit = {"ipBlock": {"cidr": "192.0.2.7/32"}}
    policy = one(rendered(tmp_path, config=config, networkPolicy={"to": {"rabbitmq": [rabbit]}}), "NetworkPolicy")

    dns, to_rabbitmq, others = policy["spec"]["egress"]
    assert {(each["port"], each["protocol"]) for each in dns["ports"]} == {
        (port, protocol) for port in (53, 5353, 5300) for protocol in ("UDP", "TCP")
    }
    assert (to_rabbitmq["to"], [each["port"] for each in to_rabbitmq["ports"]]) == ([rabbit], [5671])
    assert {each["port"] for each in others["ports"]} == {443, 6443, 8080, 5000, 3000, 8443, 8000, 4318}
    blocks = [each["ipBlock"]["except"] for each in others["to"] if "ipBlock" in each]
    assert ["169.254.0.0/16"] in blocks


def open_ports(folder: Path, **policy: Any) -> list[list[int]]:
    """The ports that each rule of the network policy lets out to, with Argo CD behind a Service."""
    config = CONFIG | {"JENKINS_ENDPOINT": "https://jenkins.example.com"}
    found = one(rendered(folder, config=config, networkPolicy=policy), "NetworkPolicy")
    return [sorted({each["port"] for each in rule["ports"]}) for rule in found["spec"]["egress"]]


def test_the_network_policy_opens_the_ports_of_pods_behind_services(tmp_path: Path) -> None:
    dns = [53, 5353]
    assert open_ports(tmp_path) == [dns, [80, 443, 5671, 6443, 8080]]
    assert open_ports(tmp_path, extraPorts=[]) == [dns, [80, 443, 5671, 6443]]

    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "services"}}}
    narrow = {name: [peer] for name in ("argocd", "kubernetes", "rabbitmq")}
    argocd, kubernetes, rabbitmq, others = open_ports(tmp_path, to=narrow, extraPorts=[443, 8080, 8443])[1:]
    assert (argocd, kubernetes, rabbitmq) == ([443, 8080, 8443], [443, 6443], [5671])
    assert others == [80, 443, 8080, 8443]


def test_rules_for_prometheus_come_with_the_chart_or_are_refused(tmp_path: Path) -> None:
    values = VALUES | {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
    copied = tmp_path / "chart"
    shutil.copytree(chart.CHART, copied)
    shutil.rmtree(copied / "files" / "alerts", ignore_errors=True)
    arguments = ["--values", written(tmp_path, values)]
    refused = helm("template", "x", str(copied), *arguments, folder=tmp_path)
    assert (refused.returncode, "this chart has no alert rules" in refused.stderr) == (1, True)

    rule = {"alert": "Broken", "expr": "up == 0", "annotations": {"summary": "{{ $labels.instance }} is down"}}
    (copied / "files" / "alerts").mkdir()
    (copied / "files" / "alerts" / "a.yaml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": [rule]}]}))
    shown = helm("template", "x", str(copied), *arguments, folder=tmp_path)
    objects = [each for each in yaml.safe_load_all(shown.stdout) if each]
    assert one(objects, "PrometheusRule")["spec"]["groups"] == [{"name": "a", "rules": [rule]}]
    assert one(objects, "ServiceMonitor")["spec"]["endpoints"][0]["path"] == "/metrics"


def test_the_monitor_is_rendered_as_the_tests_of_the_alerts_read_it(tmp_path: Path) -> None:
    metrics = {"serviceMonitor": {"enabled": True, "interval": "30s"}}
    assert one(rendered(tmp_path, metrics=metrics), "ServiceMonitor")["spec"]["endpoints"] == [endpoint()]


def test_the_rules_of_the_chart_lead_to_the_runbook_and_promtool_takes_them(tmp_path: Path) -> None:
    where = "https://docs.example.com/runbook.html"
    rendered_rule = one(
        rendered(tmp_path, metrics={"prometheusRule": {"enabled": True, "runbookUrl": where}}), "PrometheusRule"
    )
    rules = [rule for group in rendered_rule["spec"]["groups"] for rule in group["rules"]]
    assert {rule["annotations"]["runbook_url"] for rule in rules} == {
        f"{where}#{rule['alert'].lower()}" for rule in rules
    }
    promtool = find()
    if promtool is None:
        pytest.skip(ADVICE)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rendered_rule["spec"]))
    done = subprocess.run(
        [str(promtool), "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, f"SUCCESS: {len(rules)} rules found" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("monitored", [True, False])
def test_a_release_that_is_scraped_by_its_own_monitor_is_missed_by_its_own_namespace(
    monitored: bool, tmp_path: Path
) -> None:
    metrics = {"prometheusRule": {"enabled": True}, "serviceMonitor": {"enabled": monitored}}
    (group,) = one(rendered(tmp_path, metrics=metrics), "PrometheusRule")["spec"]["groups"]
    (query,) = [rule["expr"] for rule in group["rules"] if rule["alert"] == "ReconcilerOperatorAbsent"]
    own = f'{{namespace="{chart.NAMESPACE}"}}' if monitored else ""
    assert query == f"absent(devops_reconciler_build_info{own})"


def test_helm_finds_nothing_to_object_to(tmp_path: Path) -> None:
    monitored = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    values = written(tmp_path, VALUES | {"metrics": monitored})
    done = helm("lint", "--strict", str(chart.CHART), "--values", values, folder=tmp_path)
    assert (done.returncode, "1 chart(s) linted, 0 chart(s) failed" in done.stdout) == (0, True), done.stdout


def test_what_keeps_a_cluster_well_is_in_it(tmp_path: Path) -> None:
    objects = rendered(tmp_path)
    deployment, budget = one(objects, "Deployment")["spec"], one(objects, "PodDisruptionBudget")["spec"]
    assert deployment["replicas"] == 2
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert budget["selector"] == deployment["selector"]
    probes = {
        name: container(objects)[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    security = container(objects)["securityContext"]
    assert (security["readOnlyRootFilesystem"], security["capabilities"]) == (True, {"drop": ["ALL"]})
    assert container(objects)["resources"].keys() == {"requests", "limits"}
    definitions = [each for each in objects if each["kind"] == "CustomResourceDefinition"]
    assert len(definitions) == 8
    assert {each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in definitions} == {"keep"}


# What it refuses


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"config": {"RABBITMQ_HOST": "r", "RABBITMQ_PORT": 1, "ARGOCD_ENDPOINT": "https://a"}}, "JENKINS_ENDPOINT"),
        ({"config": CONFIG | {"JENKINS_TOKEN": "t"}}, "additional properties 'JENKINS_TOKEN' not allowed"),
        ({"config": CONFIG | {"BUILD_TIMEOUTS": "1h"}}, "additional properties 'BUILD_TIMEOUTS' not allowed"),
        ({"config": CONFIG | {"RABBITMQ_PORT": 70000}}, "/config/RABBITMQ_PORT"),
        ({"config": CONFIG | {"JENKINS_ENDPOINT": "jenkins"}}, "/config/JENKINS_ENDPOINT"),
        ({"config": CONFIG | {"RECONCILER_NAMESPACES": "ci"}}, "'RECONCILER_NAMESPACES' not allowed"),
        ({"secrets": {"JENKINS_TOKENS": "t"}}, "additional properties 'JENKINS_TOKENS' not allowed"),
        ({"replicas": 3}, "additional properties 'replicas' not allowed"),
        ({"replicaCount": -1}, "/replicaCount"),
        ({"watchNamespaces": ["Not_One"]}, "/watchNamespaces/0"),
        ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
        ({"networkPolicy": {"to": {"rabbit": []}}}, "'rabbit' not allowed"),
        ({"networkPolicy": {"extraPorts": ["http"]}}, "/networkPolicy/extraPorts/0"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value)[-45:],
)
def test_values_that_cannot_be_meant_are_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(tmp_path, **values)
    assert said in refused.value.stderr


# In the cluster


def helm(*arguments: str, folder: Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Helm with a home of its own; its outcome, whatever it is."""
    command = [str(build.ensure("helm") / "helm"), *arguments]
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig or "/dev/null")}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"watchNamespaces": ["WATCHED"], "destinations": {"namespaces": ["WATCHED"]}, "existingSecrets": ["vault"]},
        {"secrets": {}, "replicaCount": 1, "config": CONFIG | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}},
    ],
    ids=["as it comes", "confined", "without secrets"],
)
def test_the_api_server_takes_all_of_it_without_a_warning(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, values: dict[str, Any]
) -> None:
    asyncio.run(control_plane.api().patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": RESTRICTED}}))
    values = json.loads(json.dumps(values).replace("WATCHED", namespace))
    text = yaml.safe_dump_all(rendered(tmp_path, **values)).replace(chart.NAMESPACE, namespace)
    done = tried(control_plane, tmp_path, text)
    assert (done.returncode, done.stderr) == (0, "")
    assert "deployment.apps/devops-reconciler serverside-applied (server dry run)" in done.stdout


def tried(control_plane: ControlPlane, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What the API server says to these manifests: unknown and repeated fields are errors, as warnings are."""
    command = [control_plane.programs / "kubectl", "apply", "--dry-run=server", "--validate=strict", "--filename=-"]
    return subprocess.run(
        [*command, "--server-side", "--force-conflicts", "--warnings-as-errors"],
        input=text,
        capture_output=True,
        text=True,
        env={"KUBECONFIG": str(control_plane.kubeconfig()), "HOME": str(folder)},
        check=False,
    )


@pytest.fixture
def prometheus_operator(control_plane: ControlPlane) -> Iterator[None]:
    """The API server knows the two kinds of the Prometheus operator that the chart has objects of."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(PROMETHEUS_OPERATOR.glob("*.yaml"))]
    asyncio.run(control_plane.apply(definitions))
    yield
    for each in definitions:
        asyncio.run(control_plane.api().delete(f"{DEFINITIONS}/{each['metadata']['name']}"))


@pytest.mark.usefixtures("prometheus_operator")
def test_the_prometheus_operators_own_schemas_take_what_is_for_it(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    monitored = {
        "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    }
    objects = [
        each for each in rendered(tmp_path, metrics=monitored) if each["apiVersion"] == "monitoring.coreos.com/v1"
    ]
    assert sorted(each["kind"] for each in objects) == ["PrometheusRule", "ServiceMonitor"]
    text = yaml.safe_dump_all(objects).replace(chart.NAMESPACE, namespace)
    done = tried(control_plane, tmp_path, text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("serverside-applied (server dry run)") == 2

    for right, wrong in (("interval: 15s", "interval: often"), ("port:", "prot:"), ("alert:", "alarm:")):
        assert right in text
        assert tried(control_plane, tmp_path, text.replace(right, wrong)).returncode != 0, wrong


async def test_a_release_comes_up_restricted_is_upgraded_and_leaves_the_crds_and_their_objects(tmp_path: Path) -> None:
    async with ControlPlane() as control_plane:
        space = {"name": chart.NAMESPACE, "labels": RESTRICTED}
        await control_plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": space}])
        release = Release(control_plane, tmp_path)

        await release.run("install", chart.CHART, VALUES)
        await release.pods(2)
        made = {"apiVersion": "freeleaps.com/v1alpha1", "kind": "DevOpsProject", "metadata": {"name": "shop"}}
        spec = {"git": {"url": "https://git.example.com/shop.git"}, "ingress": {"host": "shop.example.com"}}
        await control_plane.apply([made | {"spec": spec}])

        await release.run("upgrade", changed(tmp_path), VALUES | {"replicaCount": 3})
        await release.pods(3)
        definition = await control_plane.get(f"{DEFINITIONS}/devopsprojects.freeleaps.com")
        assert definition["spec"]["names"]["shortNames"] == ["dop", "changed"]

        await release.run("uninstall")
        assert await release.names("/apis/apps/v1/namespaces/{}/deployments") == []
        mine = await release.names("/apis/rbac.authorization.k8s.io/v1/clusterroles")
        assert not [name for name in mine if chart.RELEASE in name]
        kept = await control_plane.get("/apis/freeleaps.com/v1alpha1/namespaces/default/devopsprojects/shop")
        assert kept["spec"]["git"]["url"] == spec["git"]["url"]

        await release.run("install", chart.CHART, VALUES)
        await release.pods(2)


def changed(folder: Path) -> Path:
    """A later version of the chart, whose CRD of a project is another."""
    copied = folder / "later"
    shutil.copytree(chart.CHART, copied)
    crds = copied / "files" / "crds.yaml"
    text = crds.read_text()
    assert "    - dop\n" in text
    crds.write_text(text.replace("    - dop\n", "    - dop\n    - changed\n"))
    return copied


class Release:
    """One release in the namespace of the chart."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        self._control_plane = control_plane
        self._folder = folder

    async def run(self, verb: str, source: Path | None = None, values: Mapping[str, Any] | None = None) -> None:
        """A command of helm, which must neither fail nor warn."""
        arguments = [verb, chart.RELEASE, *([str(source)] if source else []), "--namespace", chart.NAMESPACE]
        arguments += ["--values", written(self._folder, values)] if values else []
        kubeconfig = self._control_plane.kubeconfig()
        done = await asyncio.to_thread(helm, *arguments, folder=self._folder, kubeconfig=kubeconfig)
        assert done.returncode == 0, done.stderr
        assert "violate" not in done.stderr
        assert "arning" not in done.stderr

    async def names(self, path: str) -> list[str]:
        items = (await self._control_plane.get(path.format(chart.NAMESPACE)))["items"]
        return sorted(each["metadata"]["name"] for each in items)

    async def pods(self, number: int) -> None:
        """Until so many pods were admitted: the namespace takes restricted ones only."""

        async def admitted() -> bool:
            return len(await self.names("/api/v1/namespaces/{}/pods")) >= number

        await eventually(admitted, f"{number} pods are admitted", MINUTES)
