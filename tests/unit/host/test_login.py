"""As whom Kopf comes."""

from __future__ import annotations

from pathlib import Path

from devops_reconciler.host.bindings import Login
from devops_reconciler.services.kubernetes_access import ClusterAccess
from devops_reconciler.services.kubernetes_session import OpenWatches


async def test_a_token_has_one_session_and_another_token_has_another(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    login = Login(ClusterAccess("https://kube.example.com", token_file=str(file)), OpenWatches())
    first, again = login.session(), login.session()
    assert first is again, "Kopf does not take up again what was refused"
    assert first.aiohttp_session.headers["Authorization"] == "Bearer first"
    file.write_text("second")
    second = login.session()
    assert second != first
    assert second.aiohttp_session.headers["Authorization"] == "Bearer second"
    for each in (first, second):
        assert each.server == "https://kube.example.com"
        await each.aiohttp_session.close()


async def test_where_tls_identifies_us_there_is_no_token() -> None:
    found = Login(ClusterAccess("https://kube.example.com"), OpenWatches()).session()
    assert "Authorization" not in found.aiohttp_session.headers
    await found.aiohttp_session.close()
