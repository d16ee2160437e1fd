"""Whether the registry takes a login: asked once in a while, however many projects name it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr

from devops_reconciler.api.base import SecretRef
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.inputs.logins import Login, push_login
from devops_reconciler.inputs.push_check import REFUSED_AGAIN, TAKEN_FOR, check_push
from devops_reconciler.resources.world import MOST_PUSH_LOGINS
from tests.unit.world import TEAM, Outside, outside


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
    assert "wrong" not in str(vars(out.world.push_logins))


async def look(out: Outside, password: str) -> None:
    login = Login(username="shared", password=SecretStr(password), version=password, ours=False)
    assert await check_push(out.world, SecretRef(name="push"), login) is not None


async def test_thousands_of_logins_that_are_looked_at_in_turn_are_tried_once_each() -> None:
    out = outside()
    for _ in range(2):
        for number in range(2000):
            await look(out, f"pass-{number}")
    assert len(out.registry.tried) == 2000


async def test_of_more_logins_than_are_remembered_the_refused_ones_are_not_tried_again() -> None:
    out = outside()
    out.registry.refused = {"wrong"}
    await look(out, "wrong")
    for number in range(MOST_PUSH_LOGINS + 5):
        await look(out, f"pass-{number}")
    await look(out, "wrong")
    assert out.registry.tried.count(("shared", "wrong")) == 1
    assert len(out.world.push_logins) == MOST_PUSH_LOGINS


async def test_what_is_known_of_refused_logins_has_an_end_too() -> None:
    out = outside()
    out.registry.refused = {f"pass-{number}" for number in range(MOST_PUSH_LOGINS + 5)}
    for number in range(MOST_PUSH_LOGINS + 5):
        await look(out, f"pass-{number}")
    assert len(out.world.push_logins) == MOST_PUSH_LOGINS


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
