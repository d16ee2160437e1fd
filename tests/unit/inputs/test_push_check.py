"""Whether the registry takes a login: asked once in a while, however many projects name it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from devops_reconciler.api.base import SecretRef
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.inputs.logins import push_login
from devops_reconciler.inputs.push_check import MOST_KNOWN, REFUSED_AGAIN, TAKEN_FOR, check_push
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


@pytest.mark.parametrize(("wrong", "again"), [({"pass"}, REFUSED_AGAIN), (set(), TAKEN_FOR)], ids=["refused", "taken"])
async def test_while_the_registry_cannot_be_asked_again_what_is_known_stays_told(
    wrong: set[str], again: timedelta
) -> None:
    out, ref = outside(), SecretRef(name="push")
    out.registry.refused = wrong
    out.secret("push", {"username": "shared", "password": "pass"})
    login = await push_login(out.world, TEAM, ref)
    first = await check_push(out.world, ref, login)
    assert first is not None
    out.clock.advance(again)
    paused = ExternalServiceError("a login of shared was refused just now", service="registry")
    out.line.fail("registry.check_login", paused, times=2)
    for tries in (1, 1, 2):
        assert await check_push(out.world, ref, login) == first
        assert len(out.registry.tried) == tries, "it is asked again as soon as that can be"


async def test_a_login_that_was_taken_and_is_revoked_is_found_out_by_a_project_that_comes_later() -> None:
    out, refs = outside(), [SecretRef(name=f"push-{number}") for number in range(10)]
    for ref in refs:
        out.secret(ref.name, {"username": "shared", "password": "revoked"})
    out.clock.advance(timedelta(days=1))

    async def refusals() -> list[bool]:
        found = [await check_push(out.world, ref, await push_login(out.world, TEAM, ref)) for ref in refs]
        return [each is not None and each.refusal is not None for each in found]

    assert await refusals() == [False] * 10
    out.registry.refused = {"revoked"}
    out.clock.advance(TAKEN_FOR - timedelta(seconds=1))
    assert await refusals() == [False] * 10
    assert len(out.registry.tried) == 1
    out.clock.advance(timedelta(seconds=1))
    assert await refusals() == [True] * 10
    assert len(out.registry.tried) == 2
