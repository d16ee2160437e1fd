"""When a service's certificate ends shows with each answer over TLS."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from devops_reconciler.host.certificates import KEPT, Certificates
from devops_reconciler.host.world import Clients, Replica
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.secrets import Secrets
from devops_reconciler.runtime.settings import Settings
from devops_reconciler.services.http import AiohttpTransport, Request
from testbed.certificates import ServingFiles, write_serving_files


@pytest.fixture
def files(tmp_path: Path) -> ServingFiles:
    return write_serving_files(tmp_path, ["localhost"], ["127.0.0.1"])


@pytest.fixture
async def url(files: ServingFiles) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="x" * 100_000)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=files.context()).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def get(url: str) -> Request:
    return Request("GET", f"{url}/", {}, None, timedelta(seconds=10))


async def test_an_answer_over_tls_tells_when_the_certificate_ends(url: str, files: ServingFiles) -> None:
    seen: list[tuple[str, float]] = []
    trusted = ssl.create_default_context(cafile=str(files.authority))
    transport = AiohttpTransport(tls=trusted, on_certificate=lambda origin, ends: seen.append((origin, ends)))
    await transport.send(get(url))
    await transport.close()
    assert seen == [(url, files.ends)]


def settings(**more: str) -> Settings:
    values = {"rabbitmq_host": "mq", "rabbitmq_port": 5672, "default_git_username": "git"}
    endpoints = {"jenkins_endpoint": "https://jenkins", "argocd_endpoint": "https://argo:8443/base"}
    return Settings.model_validate({**values, **endpoints, **more})


def clients(**more: str) -> tuple[Clients, Metrics]:
    metrics, clock = Metrics(), FakeClock()
    found = settings(**more)
    return Clients(found, Secrets(found, {}, clock), clock, metrics, Replica()), metrics


def shown(metrics: Metrics, what: str, service: str = "argocd") -> float | None:
    labels = {"what": what, "service": service}
    return metrics.registry.get_sample_value("devops_reconciler_expires_timestamp_seconds", labels)


def test_the_certificate_is_shown_for_the_service_whose_endpoint_it_is_until_it_is_not_seen_any_more() -> None:
    metrics, clock = Metrics(), FakeClock()
    certificates = Certificates(settings(), clock, metrics)
    certificates.note("https://argo:8443", 1_900_000_000)
    certificates.note("https://elsewhere", 5)
    clock.advance(KEPT / 2)
    certificates.note("https://argo:8443", 1_900_000_001)
    clock.advance(KEPT / 2)
    assert shown(metrics, "certificate") == 1_900_000_001
    clock.advance(KEPT / 2)
    assert shown(metrics, "certificate") == math.inf, "it may have been renewed since"


@pytest.mark.parametrize(
    ("token", "ends"),
    [
        ("e30.eyJleHAiOjE5MDAwMDAwMDB9.x", 1_900_000_000.0),
        ("e30.eyJpYXQiOjF9.x", float("inf")),
        ("opaque", float("inf")),
    ],
)
def test_the_end_of_argocds_token_is_shown(token: str, ends: float) -> None:
    made, metrics = clients(argocd_token=token)
    made.argocd()
    assert shown(metrics, "token") == ends


def test_git_trusts_whom_all_trust_and_shows_when_certificates_end(
    files: ServingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    made, metrics = clients()
    assert made.git()._ca_file == files.authority
    assert shown(metrics, "certificate", "git") == float("inf")
