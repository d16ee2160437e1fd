"""What the Git client assumes of servers behind TLS: whom git trusts, and when a server's certificate ends."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git import Git
from devops_reconciler.services.git_certificates import INTERVAL, KEPT
from testbed.certificates import ServingFiles, write_serving_files
from testbed.git_server import GitServer, Repository

from .git_target import client, fill, hash_of, server, shop

__all__ = ["client", "server", "shop"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingFiles:
    """A server's certificate, whose authority this process trusts as the image of the operator would."""
    files = write_serving_files(tmp_path, ["localhost"], ["127.0.0.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    return files


@pytest.fixture
async def safe(files: ServingFiles) -> AsyncIterator[Repository]:
    """A repository behind TLS."""
    async with GitServer(tls=files.context()) as server:
        repository = await server.create("shop")
        await fill(repository)
        yield repository


def client_of(url: str, clock: FakeClock, authority: Path | None) -> Git:
    return Git([GitHost.parse(url.removesuffix("/shop.git"))], clock, ca_file=authority)


async def test_a_server_tells_when_its_certificate_ends(safe: Repository, files: ServingFiles) -> None:
    git = client_of(safe.url, FakeClock(), files.authority)
    assert git.certificates.earliest() == math.inf
    assert await git.resolve(safe.url, "main") == await hash_of(safe, "main")
    assert git.certificates.earliest() == files.ends


async def test_a_server_is_looked_at_again_after_an_hour_and_forgotten_after_a_day(
    safe: Repository, files: ServingFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    git = client_of(safe.url, clock, files.authority)
    await git.probe(safe.url)
    # From now on no look succeeds: its authority is another one, whom git is not told of.
    others = tmp_path / "others"
    others.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(write_serving_files(others, ["localhost"], ["127.0.0.1"]).authority))
    clock.advance(INTERVAL - timedelta(seconds=1))
    await git.probe(safe.url)
    assert git.certificates.earliest() == files.ends
    clock.advance(KEPT - INTERVAL)
    await git.probe(safe.url)
    assert git.certificates.earliest() == files.ends
    clock.advance(timedelta(seconds=1))
    assert git.certificates.earliest() == math.inf
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    await git.probe(safe.url)
    assert git.certificates.earliest() == math.inf, "a look an hour"
    clock.advance(INTERVAL)
    await git.probe(safe.url)
    assert git.certificates.earliest() == files.ends


async def test_a_server_whom_nobody_trusts_is_refused(safe: Repository, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    stranger = write_serving_files(others, ["localhost"], ["127.0.0.1"]).authority
    git = client_of(safe.url, FakeClock(), stranger)
    with pytest.raises(ExternalServiceError, match="certificate"):
        await git.resolve(safe.url, "main")
    assert git.certificates.earliest() == math.inf


async def test_a_server_without_tls_has_no_certificate(client: Git, shop: Repository) -> None:
    await client.probe(shop.url)
    assert client.certificates.earliest() == math.inf
