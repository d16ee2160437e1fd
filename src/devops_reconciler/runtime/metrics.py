"""What the operator counts and times, in one object with a registry of its own: no globals, so tests do not share it.

Labels are bounded: kinds, outcomes, services, operations, reasons. Never an object or a message; a project only in the
figures of `Delivery`, which bounds their number.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

PREFIX = "devops_reconciler"
_encode, CONTENT_TYPE = choose_encoder("application/openmetrics-text; version=1.0.0")
BREAKER_STATES = ("CLOSED", "HALF_OPEN", "OPEN")
"""The value of the metric of a breaker is the index here."""
MOST_PROJECTS = 500
"""How many projects have figures of their own: more of them are counted together, so that labels stay bounded."""

_CALL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PASS_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STEP_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics:
    """All metrics of the operator. Methods where a call site would need two; the rest are `prometheus_client`'s own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._of_reconciles()
        self._of_projects()
        self._of_vendors()
        self._of_messages()
        self._of_the_process()

    def _of_reconciles(self) -> None:
        self.reconciles = self._counter("reconciles", "Passes over a resource.", "kind", "outcome")
        self.reconcile_seconds = self._histogram("reconcile_seconds", "Time of a pass.", _PASS_BUCKETS, "kind")
        self.deployments = self._counter("deployments", "Deployments that ended.", "result")
        self.step_seconds = self._histogram("step_seconds", "Time of a deployment's step.", _STEP_BUCKETS, "step")
        self.queue_age_seconds = self._gauge(
            "queue_age_seconds", "Age of the oldest that waits: of messages, objects to look at, deployments.", "queue"
        )
        self.drift_found = self._counter("drift_found", "External things found changed or gone.", "kind")
        self.drift_repaired = self._counter("drift_repaired", "Of these, set right again.", "kind")
        self.cleanup_results = self._counter(
            "cleanup_results", "External things whose clean-up came to this.", "kind", "result"
        )
        self.things_left = self._counter("things_left", "Things let go by forced deletions.", "service", "kind")
        self.internal_errors = self._counter("internal_errors", "Errors of the operator itself.", "where")

    def _of_projects(self) -> None:
        labels = ("namespace", "project")
        self.project_deployments = self._counter(
            "project_deployments", "Deployments of production that ended.", *labels, "result"
        )
        self.project_lead_seconds = self._summary(
            "project_lead_seconds", "Time from the request of a deployment of production to its success.", *labels
        )
        self.project_restore_seconds = self._summary(
            "project_restore_seconds", "Time from a failed deployment of production to the next good one.", *labels
        )

    def _of_vendors(self) -> None:
        labels = ("service", "operation")
        self.vendor_calls = self._counter("vendor_calls", "Requests to a service, by answer.", *labels, "code")
        self.vendor_seconds = self._histogram("vendor_seconds", "Time of a request.", _CALL_BUCKETS, *labels)
        self.breaker_state = self._gauge("breaker_state", "Breaker: 0 closed, 1 half open, 2 open.", "service")

    def _of_messages(self) -> None:
        self.messages = self._counter("messages", "Messages received.", "type", "outcome")
        self.heartbeats_waiting = self._gauge("heartbeats_waiting", "Heartbeats not confirmed by the broker yet.")
        self.heartbeats_sent = self._counter("heartbeats_sent", "Heartbeats that the broker confirmed.")

    def _of_the_process(self) -> None:
        self.task_restarts = self._counter("task_restarts", "Tasks that died and were started again.", "task")
        self.check_ok = self._gauge("check_ok", "Whether a health check was good when it last ran: 1 or 0.", "check")
        self.expires = self._gauge(
            "expires_timestamp_seconds", "When a certificate or token of a service ends, unix time.", "what", "service"
        )
        self.build = Info(f"{PREFIX}_build", "What runs here.", registry=self.registry)
        self.configuration = Info(f"{PREFIX}_configuration", "The effective configuration.", registry=self.registry)

    def vendor_call(self, service: str, operation: str, code: str, seconds: float) -> None:
        """One finished request; `code` is the status, or the name of the failure."""
        self.vendor_calls.labels(service, operation, code).inc()
        self.vendor_seconds.labels(service, operation).observe(seconds)

    def watch_breaker(self, service: str, state: Callable[[], str]) -> None:
        """From now on `state` is asked at each scrape: that of a service's breaker, one of `BREAKER_STATES`."""
        self.breaker_state.labels(service).set_function(lambda: float(BREAKER_STATES.index(state())))

    def check_done(self, check: str, ok: bool) -> None:
        """The result of a health check."""
        self.check_ok.labels(check).set(int(ok))

    def watch_queue(self, queue: str, oldest: Callable[[], float]) -> None:
        """From now on `oldest` is asked at each scrape: the age in seconds of the oldest in the queue, 0 for none."""
        self.queue_age_seconds.labels(queue).set_function(oldest)

    def exposition(self) -> bytes:
        """Everything in OpenMetrics text form; its content type is `CONTENT_TYPE`."""
        return _encode(self.registry)

    def describe(self) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
        """Name, type, meaning and labels of each metric of ours, for the reference."""
        for metric in vars(self).values():
            if isinstance(metric, Counter | Gauge | Histogram | Info | Summary):
                family = next(iter(metric.describe()))
                suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
                yield family.name + suffix, family.type, family.documentation, tuple(metric._labelnames)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _summary(self, name: str, text: str, *labels: str) -> Summary:
        return Summary(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self.registry)
