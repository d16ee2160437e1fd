"""Whether the registry takes a login: asked once, however many projects name it."""

from __future__ import annotations

from devops_reconciler.api.base import SecretRef
from devops_reconciler.inputs.logins import push_login
from devops_reconciler.inputs.push_check import MOST_KNOWN, check_push
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
