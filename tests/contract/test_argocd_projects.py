"""What the Argo CD client assumes of projects and repositories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ConflictError, CredentialsError, ExternalServiceError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.argocd import SHARE_FOR, unreadable
from standins.argocd_state import IN_CLUSTER
from standins.controls import Call
from testbed.argocd import RealArgoCD

from .argocd_target import GIT_LOGIN, NO_REPOSITORY, Source, Target, gone, registered, source, target, unregister

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def repository() -> AsyncIterator[Source]:
    async with source() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def argocd(repository: Source, real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    async with target(repository.sample, real=real_argocd) as found:
        yield found


async def test_a_missing_project_is_none_for_who_may_read_it_and_forbidden_for_others(argocd: Target) -> None:
    assert await argocd.client().project("shop") is None
    limited = argocd.client(argocd.limited_token)
    assert await limited.project("team") is None
    with pytest.raises(CredentialsError, match="permission denied: projects, get, shop"):
        await limited.project("shop")


async def test_the_same_project_twice_is_one_and_a_different_one_is_a_conflict(argocd: Target) -> None:
    client = argocd.client()
    first = await client.create_project(argocd.project())
    again = await client.create_project(argocd.project())
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert again["metadata"]["annotations"] == {"owner": "us"}
    with pytest.raises(ConflictError, match="existing project spec is different"):
        await client.create_project(argocd.project(description="another"))


async def test_an_update_carries_the_version_that_was_read(argocd: Target) -> None:
    client = argocd.client()
    await client.create_project(argocd.project())
    mine, theirs = await client.project("shop"), await client.project("shop")
    assert mine is not None
    assert theirs is not None
    theirs["spec"]["description"] = "theirs"
    assert await client.update_project(theirs) is not None
    mine["spec"]["description"] = "mine"
    with pytest.raises(ConflictError, match="the object has been modified") as stale:
        await client.update_project(mine)
    assert (stale.value.status, stale.value.code) == (409, 10)
    with pytest.raises(ValidationError, match="resourceVersion"):
        await client.update_project(argocd.project())
    seen = await client.project("shop")
    assert seen is not None
    assert seen["spec"]["description"] == "theirs"


async def test_an_update_of_a_missing_project_says_so(argocd: Target) -> None:
    missing = argocd.project()
    missing["metadata"]["resourceVersion"] = "1"
    assert await argocd.client().update_project(missing) is None


async def test_an_update_that_would_break_applications_is_refused(argocd: Target) -> None:
    client = argocd.client()
    await argocd.make_project()
    await client.create_application(argocd.application())
    project = await client.project("shop")
    assert project is not None
    project["spec"]["destinations"] = [{"server": IN_CLUSTER, "namespace": "elsewhere"}]
    with pytest.raises(ValidationError, match="1 applications destination became invalid"):
        await client.update_project(project)


async def test_a_project_in_use_cannot_be_deleted_and_a_dying_application_uses_it(argocd: Target) -> None:
    client = argocd.client()
    await argocd.make_project()
    await client.create_application(argocd.application())
    argocd.standin.stick_deletion("shop")
    await client.delete_application("shop", "shop")
    with pytest.raises(ValidationError, match="project is referenced by 1 applications") as refused:
        await client.delete_project("shop")
    assert refused.value.code == 3
    argocd.standin.release("shop")
    await gone(client)
    await client.delete_project("shop")
    assert await client.project("shop") is None
    await client.delete_project("shop")


async def test_the_default_project_stays(argocd: Target) -> None:
    with pytest.raises(ValidationError, match="is reserved and cannot be deleted"):
        await argocd.client().delete_project("default")


async def test_a_missing_repository_is_forbidden_by_get_and_absent_in_the_list(argocd: Target) -> None:
    client = argocd.client()
    for method in ("GET", "DELETE"):
        headers = {"Authorization": f"Bearer {argocd.token}", "Content-Type": "application/json"}
        path = f"/api/v1/repositories/{quote(argocd.repo_url, safe='')}"
        with pytest.raises(CredentialsError, match="permission denied"):
            await argocd.http().request("raw", method, path, headers=headers)
    assert await client.repository(argocd.repo_url) is None
    await client.delete_repository(argocd.repo_url)
    assert await client.update_repository({"repo": argocd.repo_url}) is None


async def test_a_list_that_lacks_a_repository_is_not_believed_alone(argocd: Target) -> None:
    client = argocd.client()
    await client.create_repository({"repo": argocd.repo_url, "type": "git", "name": "ours"})

    lists, one = r"/repositories(\?|$)", r"/repositories/"
    argocd.standin.controls.fault("GET", lists, 200, body='{"items": []}', times=2)

    found = await client.repository(argocd.repo_url)
    assert found is not None
    assert found["name"] == "ours"
    argocd.standin.controls.fault("GET", one, 200, body='{"items": []}')
    with pytest.raises(ExternalServiceError, match="it is not about"):
        await client.repository(argocd.repo_url)


async def test_a_repository_is_known_by_its_url_however_that_is_written(argocd: Target) -> None:
    client = argocd.client()
    await client.create_repository({"repo": argocd.repo_url, "type": "git", "name": "ours"})
    for url in (argocd.repo_url, argocd.repo_url.removesuffix(".git"), argocd.repo_url.upper() + "/"):
        found = await client.repository(url)
        assert found is not None
        assert found["name"] == "ours"
        assert found["connectionState"]["status"] == "Successful"
    await client.delete_repository(argocd.repo_url)
    assert await client.repositories() == []


async def test_neither_the_user_name_nor_the_password_comes_back(argocd: Target) -> None:
    client = argocd.client()
    login = {"username": GIT_LOGIN.username, "password": GIT_LOGIN.password}
    created = await client.create_repository({"repo": argocd.repo_url, **login})
    updated = await client.update_repository({"repo": argocd.repo_url, "name": "ours", **login})
    listed = await client.repository(argocd.repo_url)
    for shown in (created, updated, listed):
        assert shown is not None
        assert not {"username", "password"} & set(shown)
        assert GIT_LOGIN.password not in str(shown)


async def test_a_different_repository_is_a_conflict_unless_upserted(argocd: Target) -> None:
    client = argocd.client()
    ours = {"repo": argocd.repo_url, "type": "git", "name": "ours"}
    await client.create_repository(ours)
    await client.create_repository(ours)
    with pytest.raises(ConflictError, match="existing repository spec is different") as conflict:
        await client.create_repository({**ours, "name": "theirs"})
    assert (conflict.value.status, conflict.value.code) == (400, 3)
    await client.create_repository({**ours, "name": "theirs"}, upsert=True)
    found = await client.repository(argocd.repo_url)
    assert found is not None
    assert found["name"] == "theirs"


async def test_a_repository_that_cannot_be_read_is_refused_though_argo_cd_says_500(
    argocd: Target, repository: Source
) -> None:
    client = argocd.client()
    for body in ({"repo": NO_REPOSITORY}, {"repo": argocd.repo_url.replace("shop.git", "other.git")}):
        with pytest.raises(ValidationError) as refused:
            await client.create_repository(body)
        assert refused.value.reason is Reason.REPOSITORY_UNREADABLE
    repository.sample.repository.credentials = GIT_LOGIN
    try:
        login = {"username": GIT_LOGIN.username, "password": "wrong-and-secret"}
        with pytest.raises(ValidationError, match="authentication required") as refused:
            await client.create_repository({"repo": argocd.repo_url, **login})
        assert "wrong-and-secret" not in str(refused.value)
        await client.create_repository({"repo": argocd.repo_url, **login, "password": GIT_LOGIN.password})
    finally:
        repository.sample.repository.credentials = None


async def test_a_changed_login_shows_in_the_connection_once_it_is_tried_again(
    argocd: Target, repository: Source
) -> None:
    client = argocd.client()
    ours = {"repo": argocd.repo_url, "type": "git", "username": GIT_LOGIN.username}

    async def said() -> str | None:
        found = await client.repository(argocd.repo_url)
        assert found is not None
        return unreadable(found)

    repository.sample.repository.credentials = GIT_LOGIN
    try:
        await client.create_repository({**ours, "password": GIT_LOGIN.password})
        assert await said() is None
        await client.update_repository({**ours, "password": "wrong-and-secret"})
        assert await said() is None, "what is remembered of the old login"
        await client.retest_repository(argocd.repo_url)
        told = await said()
        assert told is not None
        assert told.startswith("Unable to connect to repository: ")
        assert "wrong-and-secret" not in told

        await client.update_repository({**ours, "password": GIT_LOGIN.password})
        assert await said() == told, "what is remembered of the wrong one"
        await client.retest_repository(argocd.repo_url)
        assert await said() is None
    finally:
        repository.sample.repository.credentials = None


async def test_that_argo_cd_takes_its_time_to_try_a_repository_stops_nothing(argocd: Target) -> None:
    client = argocd.client()
    await client.create_repository({"repo": argocd.repo_url, "type": "git"})
    argocd.standin.controls.fault("GET", "/repositories/", 504, times=1)
    await client.retest_repository(argocd.repo_url)
    assert await client.repository(argocd.repo_url) is not None


async def test_who_asks_for_a_repository_at_the_same_time_shares_the_list(argocd: Target) -> None:
    clock = FakeClock()
    argocd.clock = clock
    client, controls = argocd.client(), argocd.standin.controls
    controls.calls.clear()

    def lists() -> int:
        return sum((c.method, c.path) == ("GET", "/api/v1/repositories") for c in controls.calls)

    await asyncio.gather(*(client.repository(argocd.repo_url) for _ in range(20)))
    assert lists() == 1
    clock.advance(SHARE_FOR / 2)
    await client.repository(argocd.repo_url)
    assert lists() == 1
    clock.advance(SHARE_FOR / 2)
    await client.repository(argocd.repo_url)
    assert lists() == 2, "it is not kept for longer"


async def test_a_look_after_a_write_shares_no_list_from_before(argocd: Target) -> None:
    client = argocd.client()
    answered, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: Call) -> None:
        answered.set()
        await go_on.wait()

    controls = argocd.standin.controls
    controls.trap("after_effect", lambda call: (call.method, call.path) == ("GET", "/api/v1/repositories"), hold)
    before = asyncio.create_task(client.repositories())
    await answered.wait()
    await client.create_repository({"repo": argocd.repo_url, "type": "git"})
    assert len(await client.repositories()) == 1
    assert not before.done(), "it did not wait for the list from before"
    go_on.set()
    await before


async def test_a_repository_of_one_project_alone_is_not_ours_and_not_in_our_way(argocd: Target) -> None:
    client, url, theirs = argocd.client(), argocd.repo_url, []

    async def names() -> list[tuple[str, str]]:
        found = await registered(argocd.http(), argocd.token)
        return sorted((each.get("project", ""), each["name"]) for each in found)

    for project in ("infra", "shop"):
        await client.create_repository({"repo": url, "type": "git", "name": "theirs", "project": project})
        theirs.append((project, "theirs"))
        assert await client.repository(url) is None
        assert await client.repositories() == []
        assert await client.update_repository({"repo": url, "type": "git", "name": "ours"}) is None
        await client.delete_repository(url)
        assert await names() == theirs

        await client.create_repository({"repo": url, "type": "git", "name": "first"})
        assert await client.update_repository({"repo": url, "type": "git", "name": "ours"}) is not None
        await client.retest_repository(url)
        found = await client.repository(url)
        assert found is not None
        assert found["name"] == "ours"
        assert await names() == [("", "ours"), *theirs]
        await client.delete_repository(url)
        assert await names() == theirs
    for project, _ in theirs:
        await unregister(argocd.http(), argocd.token, url, project)
    assert await names() == []


async def test_an_ill_service_is_not_taken_for_an_unreadable_repository(argocd: Target) -> None:
    argocd.standin.controls.fault("POST", "/repositories", 500)
    with pytest.raises(ExternalServiceError):
        await argocd.client().create_repository({"repo": argocd.repo_url})


async def test_the_list_of_projects_has_their_annotations_and_what_we_may_see(argocd: Target) -> None:
    client = argocd.client()
    await client.create_project(argocd.project())
    listed = {item["metadata"]["name"]: item["metadata"].get("annotations") for item in await client.projects()}
    assert listed["shop"] == {"owner": "us"}
    assert "default" in listed
    limited = [item["metadata"]["name"] for item in await argocd.client(argocd.limited_token).projects()]
    assert "shop" not in limited
