"""Whether the registry takes a login: asked once, however many projects name it."""

from __future__ import annotations

from devops_reconciler.api.base import SecretRef
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.inputs.logins import push_login
from devops_reconciler.inputs.push_check import MOST_KNOWN, REFUSED_AGAIN, check_push
from tests.unit.world import TEAM, outside


async def test_a_wrong_login_that_ten_projects_have_is_tried_once() -> None:
    out = outside()
    out.registry.refused = {"wrong"}
    versions = set()
    for number in range(10):
        ref = SecretRef(name=f"push-{number}")
        out.secret(ref.name, {"username": "shared", "password": "wrong"})
        found = await check_push(out.world, ref, await push_login(out.world, TEAM, ref))
        assert found is not None
        assert f"refuses the login of Secret {ref.name}" in str(found.refusal)
        versions.add(found.version)
    assert out.registry.tried == [("shared", "wrong")]
    assert "wrong" not in str(out.world.push_logins)


async def test_what_is_known_of_logins_has_an_end() -> None:
    out, ref = outside(), SecretRef(name="push")
    for number in range(MOST_KNOWN + 5):
        out.secret("push", {"username": "shared", "password": f"pass-{number}"})
        await check_push(out.world, ref, await push_login(out.world, TEAM, ref))
    assert len(out.world.push_logins) == MOST_KNOWN


async def test_while_the_registry_cannot_be_asked_again_a_known_refusal_stays_told() -> None:
    out, ref = outside(), SecretRef(name="push")
    out.registry.refused = {"wrong"}
    out.secret("push", {"username": "shared", "password": "wrong"})
    login = await push_login(out.world, TEAM, ref)
    first = await check_push(out.world, ref, login)
    assert first is not None
    out.clock.advance(REFUSED_AGAIN)
    paused = ExternalServiceError("a login of shared was refused just now", service="registry")
    out.line.fail("registry.check_login", paused, times=2)
    for tries in (1, 1, 2):
        assert await check_push(out.world, ref, login) == first
        assert len(out.registry.tried) == tries, "it is asked again as soon as that can be"
