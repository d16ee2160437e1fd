"""When the certificates of the services end that are called by HTTP, as they were last seen."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import partial

from yarl import URL

from ..runtime.clock import Clock
from ..runtime.metrics import Metrics
from ..runtime.settings import Settings

KEPT = timedelta(days=1)
"""An end is forgotten after this: who does not act calls nobody, and would tell of an old certificate for months."""


class Certificates:
    """Shows them as metrics; each answer of a service tells of its own."""

    def __init__(self, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._endpoints = {
            "jenkins": settings.jenkins_endpoint,
            "argocd": settings.argocd_endpoint,
            "dockerhub": settings.dockerhub_endpoint,
            "registry": settings.registry_endpoint,
            "godaddy": settings.godaddy_endpoint,
        }
        self._seen: dict[str, tuple[float, float]] = {}
        """By service: when its certificate ends (unix time), and when that was seen (monotonic)."""

    def note(self, origin: str, ends: float) -> None:
        """The server of this origin has shown a certificate that ends then (unix time)."""
        for service, endpoint in self._endpoints.items():
            if str(URL(endpoint).origin()) == origin:
                if service not in self._seen:
                    gauge = self._metrics.expires.labels("certificate", service)
                    gauge.set_function(partial(self._end_of, service))
                self._seen[service] = ends, self._clock.monotonic()

    def _end_of(self, service: str) -> float:
        ends, seen = self._seen[service]
        return ends if self._clock.monotonic() - seen < KEPT.total_seconds() else math.inf
