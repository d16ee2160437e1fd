"""The variables of the operator itself: type, default, and what the reference says about each.

A field is named like its environment variable, in lower case. A default of None means: not set, and the `Doc` says
what that means.
"""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from .settings_types import (
    Count,
    Doc,
    Duration,
    DurationOrZero,
    FilePath,
    Flag,
    Host,
    ListenPort,
    LogFormat,
    Namespace,
    Namespaces,
    Port,
    Prefetch,
    Secret,
    Text,
    TraceExporter,
    TraceProtocol,
    Url,
)


class VariableGroup(BaseModel):
    """Base of the groups: immutable, no unknown names, and no input in pydantic's own errors (it may be secret)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _first_namespace(values: dict[str, Any]) -> str:
    return str(values["reconciler_namespaces"][0])


def _fifth_of_lease(values: dict[str, Any]) -> timedelta:
    duration: timedelta = values["lease_duration"]
    return duration / 5


class OperatorVariables(VariableGroup):
    """The operator"""

    reconciler_debug: Annotated[Flag, Doc("Logs at DEBUG level and makes Kopf verbose.", "true")] = False
    reconciler_namespaces: Annotated[
        Namespaces,
        Doc("Namespaces whose resources the operator watches; messages without one go to the first.", "ci,qa"),
    ] = ("freeleaps-devops-system",)
    reconciler_peering_name: Annotated[
        Text, Doc("Name of the Kopf peering that replicas find each other by.", "blue")
    ] = "freeleaps-devops-reconciler"
    operator_namespace: Annotated[
        Namespace,
        Doc("Namespace the operator runs in; never a destination.", "platform", "the first of `RECONCILER_NAMESPACES`"),
    ] = Field(default_factory=_first_namespace)
    reconciler_cluster_id: Annotated[
        Text | None,
        Doc("Identity of this cluster in every mark.", "prod-eu-1", "the UID of the namespace `kube-system`"),
    ] = None
    kubeconfig: Annotated[
        Text | None,
        Doc("Files that say how to reach the cluster.", "/etc/kube/config", "the pod's service account"),
    ] = None
    reconciler_http_host: Annotated[Host, Doc("Address that health and metrics listen on.", "127.0.0.1")] = "0.0.0.0"
    reconciler_http_port: Annotated[ListenPort, Doc("Port that health and metrics listen on.", "9090")] = 8080
    reconciler_log_format: Annotated[LogFormat, Doc("Form of the log lines on stderr.", "console")] = "json"
    reconciler_audit_file: Annotated[
        FilePath | None,
        Doc("File that each external change is appended to.", "/var/log/audit.jsonl", "changes go to the log only"),
    ] = None
    reconciler_secrets_dir: Annotated[
        FilePath | None,
        Doc("Directory of files named like variables, such as a mounted Secret.", "/etc/reconciler", "no directory"),
    ] = None
    reconciler_shutdown_timeout: Annotated[
        Duration,
        Doc(
            "How long work in flight may take to end after SIGTERM. The chart has the pod killed 15 seconds later, or "
            "more; elsewhere set `terminationGracePeriodSeconds` so.",
            "20s",
        ),
    ] = timedelta(seconds=25)
    lease_duration: Annotated[
        Duration,
        Doc("How long a replica that falls silent keeps the Lease; after it another replica takes over.", "30s"),
    ] = timedelta(seconds=15)
    lease_renew_interval: Annotated[
        Duration,
        Doc("How often the Lease is renewed and looked at.", "2s", "a fifth of `LEASE_DURATION`"),
    ] = Field(default_factory=_fifth_of_lease)
    start_spread: Annotated[
        DurationOrZero,
        Doc("Time over which the first look at objects without work is spread; work in flight comes first.", "30s"),
    ] = timedelta(seconds=60)
    max_concurrent_reconciles: Annotated[Count, Doc("Resources that are worked on at the same time.", "32")] = 16
    kubernetes_connections: Annotated[
        Count,
        Doc(
            "Connections to the Kubernetes API for requests. A few keep its server busy; more make it slower for all. "
            "Raise it where the way to it is long.",
            "12",
        ),
    ] = 4
    request_timeout: Annotated[Duration, Doc("How long one request to a service may take.", "30s")] = timedelta(
        seconds=10
    )

    @field_validator("lease_renew_interval")
    @classmethod
    def _renewed_in_time(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        duration = info.data.get("lease_duration")
        if duration is not None and value > duration / 3:
            raise ValueError("must be at most a third of LEASE_DURATION, so that one lost renewal costs nothing")
        return value


class RabbitmqVariables(VariableGroup):
    """RabbitMQ"""

    rabbitmq_host: Annotated[Host, Doc("Host of RabbitMQ.", "rabbitmq.messaging.svc")]
    rabbitmq_port: Annotated[Port, Doc("AMQP port of RabbitMQ.", "5672")]
    rabbitmq_username: Annotated[Text, Doc("User at RabbitMQ.", "reconciler")] = "guest"
    rabbitmq_password: Annotated[Secret, Doc("Password of that user.", "s3cret", "RabbitMQ's own")] = SecretStr("guest")
    rabbitmq_vhost: Annotated[Text, Doc("Virtual host.", "devops")] = "/"
    rabbitmq_tls: Annotated[Flag, Doc("Connects with TLS, checking the certificate.", "true")] = False
    rabbitmq_exchange: Annotated[Text, Doc("Topic exchange that triggers arrive at.", "ci")] = "devops"
    rabbitmq_queue: Annotated[
        Text, Doc("Queue the operator reads; refused messages go to `<queue>.dead`.", "ci.reconciler")
    ] = "devops.reconciler"
    rabbitmq_heartbeat_exchange: Annotated[
        Text, Doc("Topic exchange that progress is published to.", "ci.heartbeat")
    ] = "devops.heartbeat"
    rabbitmq_prefetch: Annotated[Prefetch, Doc("Messages taken from the queue ahead of acknowledgement.", "50")] = 20
    heartbeat_interval: Annotated[Duration, Doc("How often a running deployment repeats its last heartbeat.", "5s")] = (
        timedelta(seconds=10)
    )
    canary_interval: Annotated[
        Duration, Doc("How often a canary message proves that messages are still taken.", "1m")
    ] = timedelta(seconds=30)


class TimingVariables(VariableGroup):
    """Times and limits"""

    breaker_failure_threshold: Annotated[Count, Doc("Failures in a row that open a service's breaker.", "3")] = 5
    breaker_timeout: Annotated[Duration, Doc("How long an open breaker waits before one probe.", "30s")] = timedelta(
        seconds=60
    )
    retry_external_delay: Annotated[
        Duration, Doc("Wait after a failure of a service, unless it names its own.", "1m")
    ] = timedelta(seconds=30)
    retry_unexpected_delay: Annotated[Duration, Doc("Wait after an error of the operator itself.", "2m")] = timedelta(
        seconds=60
    )
    poll_interval: Annotated[
        Duration, Doc("How often external things are compared with the spec, and `.freeleaps.yaml` is read.", "10m")
    ] = timedelta(seconds=300)
    healthy_stable_for: Annotated[
        DurationOrZero, Doc("How long an application must stay healthy before it counts as deployed.", "30s")
    ] = timedelta(seconds=15)
    reachable_timeout: Annotated[Duration, Doc("How long an address may take until it answers.", "10m")] = timedelta(
        minutes=5
    )
    cleanup_timeout: Annotated[Duration, Doc("How long one clean-up may take.", "10m")] = timedelta(seconds=300)
    ttl_check_interval: Annotated[Duration, Doc("How often previews are looked through for expiry.", "1m")] = timedelta(
        seconds=30
    )
    expiry_rate: Annotated[
        Count, Doc("Previews that may begin to expire per minute, so that a burst spares the services.", "20")
    ] = 60
    project_wait_timeout: Annotated[
        Duration,
        Doc("How long a trigger waits for a project that is not there or ready yet, or is being deleted.", "15m"),
    ] = timedelta(minutes=10)
    trigger_max_age: Annotated[
        Duration,
        Doc(
            "How old a trigger may be that deploys, rolls back or sets up; an older one that was not carried out is a "
            "dead letter. Its age counts from its `timestamp`, or from its last `dead-letters replay`.",
            "30d",
        ),
    ] = timedelta(days=7)


class TracingVariables(VariableGroup):
    """Traces (the standard OpenTelemetry variables; off without an endpoint)"""

    otel_exporter_otlp_endpoint: Annotated[
        Url | None,
        Doc("Where traces go by OTLP over HTTP; `/v1/traces` is added.", "http://otel-collector:4318", "no traces"),
    ] = None
    otel_exporter_otlp_traces_endpoint: Annotated[
        Url | None,
        Doc(
            "The same as a whole URL, to which nothing is added.",
            "https://traces.example.com/otlp/v1/traces",
            "`OTEL_EXPORTER_OTLP_ENDPOINT` and `/v1/traces`",
        ),
    ] = None
    otel_exporter_otlp_protocol: Annotated[
        TraceProtocol | None,
        Doc("The form of OTLP; there is only this one, and no gRPC.", "http/protobuf", "http/protobuf"),
    ] = None
    otel_exporter_otlp_headers: Annotated[
        Secret | None, Doc("Headers sent along, such as a login.", "authorization=Bearer …", "no headers")
    ] = None
    otel_traces_exporter: Annotated[TraceExporter, Doc("`none` switches traces off.", "none")] = "otlp"
    otel_service_name: Annotated[Text, Doc("Name of the service in traces.", "reconciler-eu")] = "devops-reconciler"
    otel_sdk_disabled: Annotated[Flag, Doc("Switches traces off.", "true")] = False

    @property
    def traces_url(self) -> str | None:
        """The URL that traces are posted to; None where they are off."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return None
        if self.otel_exporter_otlp_traces_endpoint is not None:
            return self.otel_exporter_otlp_traces_endpoint
        general = self.otel_exporter_otlp_endpoint
        return None if general is None else f"{general}/v1/traces"
