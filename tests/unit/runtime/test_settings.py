"""The configuration as a whole: types, defaults, and one report of everything that is wrong."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

import devops_reconciler
from devops_reconciler.runtime.settings import (
    ConfigurationError,
    ConfigurationValidator,
    RabbitmqVariables,
    Settings,
    load,
    load_group,
)

REQUIRED = {
    "RABBITMQ_HOST": "rabbitmq",
    "RABBITMQ_PORT": "5672",
    "JENKINS_ENDPOINT": "https://jenkins.example.com/",
    "ARGOCD_ENDPOINT": "http://127.0.0.1:8081/argo/",
    "DEFAULT_GIT_USERNAME": "git",
}


def problems(**environ: str) -> dict[str, str]:
    validator = ConfigurationValidator(REQUIRED | environ)
    assert validator.validate() == [str(problem) for problem in validator.problems]
    assert (validator.settings is None) <= bool(validator.problems)
    return {problem.variable: problem.wrong for problem in validator.problems}


def warnings(**environ: str) -> str:
    return "\n".join(ConfigurationValidator(REQUIRED | {"ARGOCD_TOKEN": "t0ken"} | environ).warnings)


def test_the_five_required_are_enough() -> None:
    settings = load(REQUIRED)
    assert settings.jenkins_endpoint == "https://jenkins.example.com"
    assert settings.argocd_endpoint == "http://127.0.0.1:8081/argo"
    assert settings.rabbitmq_port == 5672
    assert settings.reconciler_namespaces == ("freeleaps-devops-system",)
    assert settings.healthy_stable_for == timedelta(seconds=15)


@pytest.mark.parametrize("variable", sorted(REQUIRED))
def test_each_required_one_is_missed(variable: str) -> None:
    environ = {name: value for name, value in REQUIRED.items() if name != variable}
    with pytest.raises(ConfigurationError, match=f"(?m)^  {variable}: is required and not set"):
        load(environ)
    with pytest.raises(ConfigurationError, match=f"(?m)^  {variable}: is required and not set"):
        load(environ | {variable: ""})


def test_ten_wrong_variables_are_ten_problems_in_one_report() -> None:
    wrong = {
        "RABBITMQ_PORT": "70000",
        "RECONCILER_HTTP_PORT": "http",
        "JENKINS_ENDPOINT": "jenkins.example.com",
        "DNS_RESOLVERS": "198.51.100.1:99999",
        "RECONCILER_LOG_FORMAT": "xml",
        "BUILD_TIMEOUT": "one hour",
        "RABBITMQ_TLS": "maybe",
        "GIT_ALLOWED_HOSTS": "ftp://git.example.com",
        "DNS_ALLOWED_ZONES": "team a=example.com",
        "BREAKER_FAILURE_THRESHOLD": "0",
    }
    with pytest.raises(ConfigurationError) as caught:
        load(REQUIRED | wrong)
    assert {problem.variable for problem in caught.value.problems} == set(wrong)
    assert len(caught.value.problems) == len(wrong)
    report = str(caught.value)
    assert report.startswith("The configuration has 10 problems:")
    for problem in caught.value.problems:
        assert problem.wrong
        assert f"for example {problem.variable}=" in problem.instead


def test_combinations_are_reported_together_with_wrong_values() -> None:
    found = problems(RABBITMQ_PORT="x", JENKINS_TOKEN="t0ken", DNS_TXT_PREFIX="a-", DNS_TXT_SUFFIX="-a")
    assert set(found) == {"RABBITMQ_PORT", "JENKINS_USERNAME", "DNS_TXT_SUFFIX"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ARGOCD_USERNAME", "ARGOCD_PASSWORD"),
        ("REGISTRY_PUSH_USERNAME", "REGISTRY_PUSH_TOKEN"),
        ("GODADDY_API_KEY", "GODADDY_API_SECRET"),
    ],
)
def test_half_a_login_is_a_problem(first: str, second: str) -> None:
    assert problems(**{first: "abcd"}) == {second: f"is not set, but {first} is"}
    assert problems(**{second: "abcd"}) == {first: f"is not set, but {second} is"}
    assert problems(**{first: "abcd", second: "abcd"}) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", timedelta(seconds=90)),
        ("0.5", timedelta(milliseconds=500)),
        ("250ms", timedelta(milliseconds=250)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert load(REQUIRED | {"SYNC_TIMEOUT": text}).sync_timeout == expected


@pytest.mark.parametrize("text", ["0", "-5", "5 minutes", "m", "1h-30m", "٣s", "9" * 40, "400d", "nan", "1e3"])
def test_no_durations(text: str) -> None:
    assert set(problems(SYNC_TIMEOUT=text)) == {"SYNC_TIMEOUT"}


def test_a_stable_time_of_zero_is_allowed() -> None:
    assert load(REQUIRED | {"HEALTHY_STABLE_FOR": "0"}).healthy_stable_for == timedelta(0)


@pytest.mark.parametrize(
    "url",
    [
        "jenkins",
        "ftp://x",
        "http://",
        "https://h:0",
        "https://h:70000",
        "https://h?a=b",
        "https://h#f",
        "http://a b",
        "http://[::",
    ],
)
def test_no_urls(url: str) -> None:
    assert set(problems(JENKINS_ENDPOINT=url)) == {"JENKINS_ENDPOINT"}


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    environ = {
        "JENKINS_ENDPOINT": "https://admin:hunter22@jenkins",
        "DNS_RESOLVERS": "u:hunter22@ns",
        "GIT_ALLOWED_HOSTS": "u:hunter22@git",
        "RABBITMQ_HOST": "u:hunter22@rabbit",
    }
    validator = ConfigurationValidator(REQUIRED | environ)
    assert {problem.variable for problem in validator.problems} == set(environ)
    assert "hunter22" not in "\n".join(validator.validate())


def test_a_service_link_is_explained() -> None:
    assert "enableServiceLinks" in problems(RABBITMQ_PORT="tcp://10.0.0.7:5672")["RABBITMQ_PORT"]


def test_lists_are_tuples_of_texts() -> None:
    settings = load(
        REQUIRED | {"RECONCILER_NAMESPACES": "a, b,a", "DNS_RESOLVERS": "127.0.0.1:5353,ns1.example.com,[::1]:53"}
    )
    assert settings.reconciler_namespaces == ("a", "b")
    assert settings.operator_namespace == "a"
    assert settings.dns_resolvers == ("127.0.0.1:5353", "ns1.example.com:53", "[::1]:53")


def test_a_computed_default_adds_no_problem_of_its_own() -> None:
    assert set(problems(RECONCILER_NAMESPACES="Not_One")) == {"RECONCILER_NAMESPACES"}


def test_registry_defaults() -> None:
    settings = load(REQUIRED | {"DOCKERHUB_NAMESPACE": "acme"})
    assert settings.allowed_registry_namespaces.allows("any", "acme")
    assert not settings.allowed_registry_namespaces.allows("any", "other")


def test_unknown_variables_are_warned_about_with_the_nearest_name() -> None:
    found = warnings(JENKINS_TOKN="x", CLEANUP_TIMOUT="5", ARGOCD_TOKEN_FIEL="/x", HOME="/root", BUILD_NUMBER="7")
    assert "JENKINS_TOKN is not a variable of the operator; did you mean JENKINS_TOKEN?" in found
    assert "CLEANUP_TIMOUT is not a variable of the operator; did you mean CLEANUP_TIMEOUT?" in found
    assert "did you mean ARGOCD_TOKEN_FILE?" in found
    assert "HOME" not in found
    assert "BUILD_NUMBER" not in found


def test_service_links_and_opentelemetry_are_not_warned_about() -> None:
    assert (
        warnings(JENKINS_SERVICE_HOST="10.0.0.1", JENKINS_PORT_8080_TCP_ADDR="10.0.0.1", OTEL_TRACES_SAMPLER="x") == ""
    )


def test_a_file_of_the_directory_that_nobody_reads_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "JENKINS_TOKN").write_text("x")
    (tmp_path / "DNS_TXT_PREFIX").write_text("x-")
    found = warnings(RECONCILER_SECRETS_DIR=str(tmp_path))
    assert "the file JENKINS_TOKN in RECONCILER_SECRETS_DIR" in found
    assert "did you mean JENKINS_TOKEN?" in found
    assert "..data" not in found
    assert "file DNS_TXT_PREFIX" not in found


def test_traces_are_off_without_an_endpoint_and_where_they_are_switched_off() -> None:
    general = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    whole = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/otlp"}
    assert load(REQUIRED).traces_url is None
    assert load(REQUIRED | general).traces_url == "http://collector:4318/v1/traces"
    assert load(REQUIRED | general | whole).traces_url == "https://collector/otlp"
    assert load(REQUIRED | general | {"OTEL_SDK_DISABLED": "true"}).traces_url is None
    assert load(REQUIRED | general | {"OTEL_TRACES_EXPORTER": "none"}).traces_url is None


def test_traces_by_grpc_are_refused_and_its_port_is_doubted() -> None:
    found = ConfigurationValidator(REQUIRED | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).validate()
    assert [text.partition(":")[0] for text in found] == ["OTEL_EXPORTER_OTLP_PROTOCOL"]
    assert "OTLP over gRPC" in warnings(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4317")
    assert warnings(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318") == ""


def test_every_variable_is_read_somewhere() -> None:
    """A setting that nobody reads is a promise that nobody keeps."""
    sources = (Path(devops_reconciler.__file__).parent).rglob("*.py")
    text = "\n".join(path.read_text() for path in sources if not path.name.startswith("settings"))
    groups = ("default_git", "jenkins_git", "dockerhub", "registry_push")
    read = {
        name
        for name in Settings.model_fields
        if re.search(rf"\.{name}\b|\"{name}\"", text)
        or any(name in (f"{group}_username", f"{group}_token") and f'"{group}"' in text for group in groups)
    }
    unread = {name for name in Settings.model_fields if name not in read}
    read_by_other_settings = {
        "otel_exporter_otlp_endpoint",
        "otel_exporter_otlp_traces_endpoint",
        "otel_exporter_otlp_protocol",
        "otel_traces_exporter",
        "otel_sdk_disabled",
        "reconciler_secrets_dir",
    }
    assert unread == read_by_other_settings


def test_doubts_about_tls_and_logins() -> None:
    assert "Argo CD is called without login" in "\n".join(ConfigurationValidator(REQUIRED).warnings)
    assert "ARGOCD_INSECURE has no effect" in warnings(ARGOCD_INSECURE="true")
    assert "RABBITMQ_TLS is on" in warnings(RABBITMQ_TLS="true")
    assert "RABBITMQ_TLS is off" in warnings(RABBITMQ_PORT="5671")
    assert "no DNS record can be made" in warnings(GODADDY_API_KEY="abcd", GODADDY_API_SECRET="abcd")


@pytest.mark.parametrize("allowed", ["", "shop,shop-*", "ci=ci,ci-*", "ci=ci;*"])
def test_a_doubt_about_teams_whose_destinations_are_not_told_apart(allowed: str) -> None:
    environ = {"RECONCILER_NAMESPACES": "ci, qa"} | ({"ALLOWED_DESTINATIONS": allowed} if allowed else {})
    said = warnings(**environ)
    assert ("for ci and qa:" if "ci=" not in allowed else "for qa:") in said
    assert "set ALLOWED_DESTINATIONS=ci=PATTERNS;qa=PATTERNS" in said


@pytest.mark.parametrize("environ", [{}, {"RECONCILER_NAMESPACES": "ci"}, {"RECONCILER_NAMESPACES": "ci,ci"}])
def test_no_doubt_about_the_destinations_of_a_single_team(environ: dict[str, str]) -> None:
    assert "ALLOWED_DESTINATIONS" not in warnings(**environ)


def test_no_doubt_where_each_team_has_destinations_of_its_own() -> None:
    assert not warnings(RECONCILER_NAMESPACES="ci,qa", ALLOWED_DESTINATIONS="ci=ci,ci-*; qa=qa-*")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "all_proxy"])
def test_a_proxy_that_is_not_used_is_told_of_without_its_password(variable: str) -> None:
    said = warnings(**{variable: "http://me:hunter22@proxy.example.com:3128"})
    assert said == f"{variable} is ignored: requests and git go to their services directly"


@pytest.mark.parametrize("environ", [{"HTTPS_PROXY": ""}, {"NO_PROXY": "localhost"}])
def test_no_proxy_is_no_doubt(environ: dict[str, str]) -> None:
    assert not warnings(**environ)


def test_settings_are_frozen_and_hide_their_secrets() -> None:
    settings = load(REQUIRED | {"ARGOCD_TOKEN": "hunter22"})
    assert settings.argocd_token == SecretStr("hunter22")
    assert settings.secret_values()["argocd_token"] == "hunter22"
    assert "hunter22" not in repr(settings) + settings.model_dump_json()
    with pytest.raises(ValidationError):
        settings.rabbitmq_port = 1  # type: ignore[misc]


def test_the_fingerprint_follows_the_values_but_not_the_secrets() -> None:
    fingerprint = load(REQUIRED | {"ARGOCD_TOKEN": "aaaa"}).fingerprint()
    assert load(REQUIRED | {"ARGOCD_TOKEN": "bbbb"}).fingerprint() == fingerprint
    assert load(REQUIRED | {"ARGOCD_TOKEN": "aaaa", "POLL_INTERVAL": "301"}).fingerprint() != fingerprint
    assert load(REQUIRED | {"ARGOCD_TOKEN": "aaaa", "POLL_INTERVAL": "5m"}).fingerprint() == fingerprint


def test_a_group_needs_only_its_own_variables() -> None:
    rabbitmq = load_group(RabbitmqVariables, {"RABBITMQ_HOST": "h", "RABBITMQ_PORT": "5672", "JENKINS_ENDPOINT": "no"})
    assert rabbitmq.rabbitmq_host == "h"
    with pytest.raises(ConfigurationError, match="RABBITMQ_HOST"):
        load_group(RabbitmqVariables, {})


def test_settings_from_keywords_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLL_INTERVAL", "1")
    settings = Settings(
        rabbitmq_host="h",
        rabbitmq_port=5672,
        jenkins_endpoint="http://j",
        argocd_endpoint="http://a",
        default_git_username="g",
    )
    assert settings.poll_interval == timedelta(seconds=300)


@pytest.mark.parametrize(("text", "fits"), [("1", True), ("65535", True), ("0", False), ("65536", False)])
def test_no_more_may_be_taken_ahead_than_amqp_has_a_number_for(text: str, fits: bool) -> None:
    assert ("RABBITMQ_PREFETCH" not in problems(RABBITMQ_PREFETCH=text)) is fits
