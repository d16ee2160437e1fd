"""How fast the world around the operator is, and how often the operator looks: all times of a stage in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from standins.argocd_controller import Times


@dataclass(frozen=True)
class Pace:
    """Times of the stand-ins, in seconds, and the operator's intervals, as its environment has them."""

    build_seconds: float = 0.6
    quiet_seconds: float = 0.1
    executors: int = 4
    argocd: Times = field(default_factory=Times)
    latency: timedelta = timedelta(0)
    """Of each request to a stand-in."""
    nameserver_lag: float = 0.2
    """Seconds until a nameserver shows what was written."""
    godaddy_per_minute: int = 600
    """Requests to each of GoDaddy's endpoints; the operator is told the same number."""
    intervals: dict[str, str] = field(
        default_factory=lambda: {
            "HEALTHY_STABLE_FOR": "1s",
            "POLL_INTERVAL": "15s",
            "HEARTBEAT_INTERVAL": "2s",
            "RETRY_EXTERNAL_DELAY": "2s",
            "RETRY_UNEXPECTED_DELAY": "2s",
            "TTL_CHECK_INTERVAL": "2s",
            "PROJECT_WAIT_TIMEOUT": "8s",
            "BREAKER_TIMEOUT": "5s",
            "BUILD_POLL_INTERVAL": "1s",
            "SYNC_POLL_INTERVAL": "1s",
            "DNS_POLL_INTERVAL": "1s",
            "LEASE_DURATION": "3s",
            "START_SPREAD": "10s",
        }
    )
    """Shorter than the defaults, so that nobody waits; the defaults are for real services. START_SPREAD is not much
    shorter: late in a test run a handover looks at hundreds of objects, on a machine that has other things to do."""


AT_ONCE = Pace(
    build_seconds=0,
    quiet_seconds=0,
    argocd=Times(pickup=0, sync=0, compare=0, health_lag=0, healthy=0, delete=0, terminate=0),
    nameserver_lag=0,
)
"""Everything answers at once: what is left is the operator's own share."""
