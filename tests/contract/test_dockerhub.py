"""What the client of Docker Hub assumes about repositories and tags, driven against the stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    Refused,
    ValidationError,
)
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.dockerhub import PAGE_SIZE, DockerHub, Repository
from devops_reconciler.services.http import AiohttpTransport, Http
from standins.dockerhub import DockerHubStandin

from .registry_pushing import Pusher

USER, SECRET = "acme", "dckr_pat_standin"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def hub(clock: FakeClock) -> AsyncIterator[DockerHubStandin]:
    async with DockerHubStandin(USER, SECRET, clock=clock) as hub:
        yield hub


@pytest.fixture
async def target(hub: DockerHubStandin, clock: FakeClock) -> AsyncIterator[DockerHub]:
    transport = AiohttpTransport()
    http = Http("dockerhub", hub.url, transport, clock, timeout=timedelta(seconds=5))
    yield DockerHub(http, username=lambda: USER, secret=lambda: SECRET, clock=clock)
    await transport.close()


async def push(hub: DockerHubStandin, *tags: str, name: str = "shop") -> str:
    pusher = Pusher(hub.registry_url, f"{USER}/{name}", USER, SECRET)
    return [await pusher.push_image(tag) for tag in tags][-1]


async def names(target: DockerHub) -> list[str]:
    return [tag.name async for tag in target.tags("acme", "shop")]


# Repositories


async def test_a_missing_repository_is_none(target: DockerHub) -> None:
    assert await target.repository("acme", "shop") is None


@pytest.mark.parametrize("private", [True, False])
async def test_a_created_repository_is_read_back_as_it_was_sent(target: DockerHub, private: bool) -> None:
    await target.create_repository("acme", "shop", description="a", full_description="b", private=private)
    assert await target.repository("acme", "shop") == Repository("acme", "shop", "a", "b", private)


async def test_a_repository_without_texts_has_empty_ones(hub: DockerHubStandin, target: DockerHub) -> None:
    await push(hub, "v1")
    assert await target.repository("acme", "shop") == Repository("acme", "shop", "", "", False)


async def test_a_description_has_at_most_100_characters(hub: DockerHubStandin, target: DockerHub) -> None:
    await target.create_repository("acme", "shop", description="x" * 100, private=True)
    with pytest.raises(ValidationError, match="no more than 100 characters"):
        await target.create_repository("acme", "cart", description="x" * 101, private=True)
    with pytest.raises(ValidationError, match="no more than 100 characters"):
        await target.update_repository("acme", "shop", description="x" * 101)
    assert list(hub.repositories) == ["acme/shop"]


async def test_a_full_description_has_at_most_25000_characters(target: DockerHub) -> None:
    with pytest.raises(ValidationError, match="no more than 25000 characters"):
        await target.create_repository("acme", "shop", description="", full_description="x" * 25001, private=True)


@pytest.mark.parametrize("name", ["Shop", "a", "-shop", "shop-", "a..b", "a/b", "a b", "x" * 256])
async def test_a_bad_name_is_refused(hub: DockerHubStandin, target: DockerHub, name: str) -> None:
    with pytest.raises(ValidationError, match="2 to 255 characters"):
        await target.create_repository("acme", name, description="", private=True)
    assert hub.repositories == {}


async def test_a_repository_that_exists_already_is_a_conflict(hub: DockerHubStandin, target: DockerHub) -> None:
    await target.create_repository("acme", "shop", description="first", private=True)
    with pytest.raises(ConflictError, match="acme/shop exists already"):
        await target.create_repository("acme", "shop", description="second", private=True)
    assert hub.repositories["acme/shop"].description == "first"


async def test_a_foreign_namespace_is_refused_with_the_words_of_docker_hub(target: DockerHub) -> None:
    with pytest.raises(CredentialsError, match="access to the resource is forbidden") as caught:
        await target.create_repository("other", "shop", description="", private=True)
    assert caught.value.reason == Reason.PERMISSION_DENIED


async def test_a_private_repository_of_others_is_not_there_for_us(hub: DockerHubStandin, target: DockerHub) -> None:
    hub.store.create("other/secret", private=True)
    hub.store.create("other/open", private=False)
    assert await target.repository("other", "secret") is None
    assert await target.repository("other", "open") is not None


async def test_description_and_privacy_are_changed_alone(hub: DockerHubStandin, target: DockerHub) -> None:
    await target.create_repository("acme", "shop", description="a", full_description="b", private=True)
    await target.update_repository("acme", "shop", description="c")
    assert await target.repository("acme", "shop") == Repository("acme", "shop", "c", "b", True)
    await target.update_repository("acme", "shop", private=False)
    assert await target.repository("acme", "shop") == Repository("acme", "shop", "c", "b", False)
    assert [call.method for call in hub.controls.seen("*", "^/v2/repositories/")] == ["PATCH", "POST"]


async def test_a_change_that_docker_hub_no_longer_takes_is_refused_with_its_words(
    hub: DockerHubStandin, target: DockerHub
) -> None:
    await target.create_repository("acme", "shop", description="a", private=True)
    hub.undocumented_writes = False
    for change in (
        target.update_repository("acme", "shop", description="b"),
        target.update_repository("acme", "shop", private=False),
        target.delete_repository("acme", "shop"),
    ):
        with pytest.raises(Refused, match=r"405 Method not allowed") as caught:
            await change
        assert caught.value.status == 405
    assert hub.repositories["acme/shop"].description == "a"


async def test_a_change_of_what_is_not_there_is_refused(target: DockerHub) -> None:
    for change in (
        target.update_repository("acme", "shop", description="b"),
        target.update_repository("acme", "shop", private=False),
    ):
        with pytest.raises(ValidationError, match="does not exist: 404 httperror 404: object not found"):
            await change


async def test_a_deleted_repository_is_gone_with_its_tags_and_deleting_it_again_is_fine(
    hub: DockerHubStandin, target: DockerHub
) -> None:
    await push(hub, "v1")
    await target.delete_repository("acme", "shop")
    assert (await target.repository("acme", "shop"), await names(target)) == (None, [])
    assert hub.registry.repositories == []
    await target.delete_repository("acme", "shop")


async def test_what_happened_may_be_seen_late(hub: DockerHubStandin, target: DockerHub, clock: FakeClock) -> None:
    hub.lag = timedelta(seconds=2)
    await target.create_repository("acme", "shop", description="", private=True)
    assert await target.repository("acme", "shop") is None
    clock.advance(timedelta(seconds=2))
    assert await target.repository("acme", "shop") is not None


# Tags


async def test_a_tag_points_to_the_digest_that_was_pushed(
    hub: DockerHubStandin, target: DockerHub, clock: FakeClock
) -> None:
    digest = await push(hub, "v1")
    tag = await target.tag("acme", "shop", "v1")
    assert tag is not None
    assert (tag.name, tag.digest, tag.last_updated) == ("v1", digest, clock.now())


async def test_the_tag_of_an_index_has_the_digest_of_the_index(hub: DockerHubStandin, target: DockerHub) -> None:
    index, _ = await Pusher(hub.registry_url, "acme/shop", USER, SECRET).push_index("v1")
    tag = await target.tag("acme", "shop", "v1")
    assert tag is not None
    assert tag.digest == index


async def test_a_missing_tag_is_none(hub: DockerHubStandin, target: DockerHub) -> None:
    assert await target.tag("acme", "shop", "v1") is None
    await push(hub, "v1")
    assert await target.tag("acme", "shop", "v2") is None


async def test_images_may_be_an_object_and_v2_a_number(hub: DockerHubStandin, target: DockerHub) -> None:
    digest = await push(hub, "v1")
    hub.as_specified = True
    tag = await target.tag("acme", "shop", "v1")
    assert tag is not None
    assert tag.digest == digest
    assert [each.digest async for each in target.tags("acme", "shop")] == [digest]


async def test_tags_are_followed_to_the_last_page(hub: DockerHubStandin, target: DockerHub) -> None:
    expected = [f"v{number:03}" for number in range(205)]
    for tag in expected:
        hub.store.put_tag("acme/shop", tag, "sha256:" + "0" * 64)
    hub.store.create("acme/shop", private=False)
    assert sorted(await names(target)) == expected
    assert len(hub.controls.seen("GET", "/tags$")) == 3


async def test_a_repository_without_tags_has_none(hub: DockerHubStandin, target: DockerHub) -> None:
    assert await names(target) == []
    hub.store.create("acme/shop", private=False)
    assert await names(target) == []


@pytest.mark.parametrize(
    "link", ["http://127.0.0.2:1/v2/more", "https://evil.example/x", "//evil.example", "http://[", "7"]
)
async def test_the_next_page_is_only_looked_for_at_the_same_host(
    hub: DockerHubStandin, target: DockerHub, link: str
) -> None:
    body = f'{{"results": [{{"name": "v1"}}], "next": "{link}"}}' if link != "7" else '{"results": [], "next": 7}'
    hub.controls.fault("GET", "/tags", 203, body=body)
    with pytest.raises(ExternalServiceError, match="next"):
        await names(target)
    assert len(hub.controls.seen("GET", "/tags")) == 1


async def test_a_next_page_that_leads_back_ends(hub: DockerHubStandin, target: DockerHub) -> None:
    body = f'{{"results": [{{"name": "v1"}}], "next": "{hub.url}/v2/namespaces/acme/repositories/shop/tags?page=1"}}'
    hub.controls.fault("GET", "/tags", 203, body=body, times=5)
    assert await names(target) == ["v1", "v1"]


async def test_a_deleted_tag_is_gone_here_and_in_the_registry_but_others_stay(
    hub: DockerHubStandin, target: DockerHub
) -> None:
    digest = await push(hub, "v1", "v2")
    await target.delete_tag("acme", "shop", "v1")
    assert await target.tag("acme", "shop", "v1") is None
    assert hub.tags("acme", "shop") == {"v2": digest}, "both tags shared one image"
    assert hub.registry.manifest("acme/shop", digest) is not None


async def test_deleting_what_is_not_there_is_fine(hub: DockerHubStandin, target: DockerHub) -> None:
    await target.delete_tag("acme", "shop", "v1")
    await push(hub, "v2")
    await target.delete_tag("acme", "shop", "v1")
    assert list(hub.tags("acme", "shop")) == ["v2"]


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_success_deletes_a_tag(hub: DockerHubStandin, target: DockerHub, status: int) -> None:
    hub.controls.fault("DELETE", "/tags/", status, body="")
    await target.delete_tag("acme", "shop", "v1")


async def test_names_are_encoded_segment_by_segment(hub: DockerHubStandin, target: DockerHub) -> None:
    assert await target.tag("acme", "shop", "../../x?y#z") is None
    await target.delete_tag("acme", "shop", "a/b")
    paths = [call.path for call in hub.controls.seen("*", "shop")]
    assert paths == [
        "/v2/namespaces/acme/repositories/shop/tags/..%2F..%2Fx%3Fy%23z",
        "/v2/repositories/acme/shop/tags/a%2Fb/",
    ]


# Refusals and bad answers


@pytest.mark.parametrize("call", ["delete_tag", "update", "delete"])
async def test_a_token_of_an_access_token_may_be_refused_and_its_words_are_shown(
    hub: DockerHubStandin, target: DockerHub, call: str
) -> None:
    await push(hub, "v1")
    hub.pat_refused.add(call)
    refused: Callable[[], Awaitable[None]] = {
        "delete_tag": partial(target.delete_tag, "acme", "shop", "v1"),
        "update": partial(target.update_repository, "acme", "shop", description="x"),
        "delete": partial(target.delete_repository, "acme", "shop"),
    }[call]
    with pytest.raises(CredentialsError, match="403 access to the resource is forbidden with personal access token"):
        await refused()
    assert list(hub.tags("acme", "shop")) == ["v1"]
    assert hub.accounts.logins == 2, "one by the push, one by us: a 403 is no reason to log in again"


async def test_over_the_limit_says_when_to_come_again(
    hub: DockerHubStandin, target: DockerHub, clock: FakeClock
) -> None:
    hub.limits.per_minute = 2
    assert await target.repository("acme", "shop") is None
    with pytest.raises(ExternalServiceError, match="Rate limit exceeded") as caught:
        await target.repository("acme", "shop")
    assert (caught.value.reason, caught.value.after) == (Reason.RATE_LIMITED, timedelta(seconds=60))
    clock.advance(timedelta(seconds=60))
    assert await target.repository("acme", "shop") is None


async def test_the_abuse_limit_is_plain_text_without_a_time(hub: DockerHubStandin, target: DockerHub) -> None:
    assert await target.repository("acme", "shop") is None
    hub.limits.abuse = 1
    with pytest.raises(ExternalServiceError, match="429 Too Many Requests") as caught:
        await target.repository("acme", "shop")
    assert (caught.value.reason, caught.value.after) == (Reason.RATE_LIMITED, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"message": "one", "errinfo": {"a": 1}}', "one"),
        ('{"detail": "two"}', "two"),
        ('{"fields": {"name": ["bad"]}, "text": "three"}', "three.*bad"),
        ('{"detail": "four", "error": false}', "four"),
        ("five", "five"),
        ("", "400"),
        ("[1]", "400"),
    ],
)
async def test_errors_come_in_many_forms_and_all_are_told(
    hub: DockerHubStandin, target: DockerHub, body: str, said: str
) -> None:
    hub.controls.fault("POST", "/repositories", 400, body=body)
    with pytest.raises(ValidationError, match=said):
        await target.create_repository("acme", "shop", description="", private=True)


@pytest.mark.parametrize("kind", ["html", "truncated", "garbled", "reset", 500, 502])
async def test_a_bad_answer_is_never_an_absence(hub: DockerHubStandin, target: DockerHub, kind: str | int) -> None:
    await push(hub, "v1")
    hub.controls.fault("GET", "/v2/namespaces/", kind, times=None, after_effect=True)  # type: ignore[arg-type]
    for read in (target.repository("acme", "shop"), target.tag("acme", "shop", "v1"), names(target)):
        with pytest.raises(ExternalServiceError):
            await read
    hub.controls.clear()
    assert await names(target) == ["v1"]


async def test_a_404_of_a_proxy_is_no_absence(hub: DockerHubStandin, target: DockerHub) -> None:
    await push(hub, "v1")
    hub.controls.fault("GET", "/v2/namespaces/", 404, times=None)
    for read in (target.repository("acme", "shop"), target.tag("acme", "shop", "v1"), names(target)):
        with pytest.raises(ExternalServiceError, match="404 that Docker Hub did not write"):
            await read


async def test_a_create_whose_answer_is_lost_may_have_happened(hub: DockerHubStandin, target: DockerHub) -> None:
    await target.ping("acme")
    hub.controls.fault("POST", "/repositories$", "reset", after_effect=True)
    with pytest.raises(ExternalServiceError) as caught:
        await target.create_repository("acme", "shop", description="", private=True)
    assert caught.value.maybe_applied
    assert list(hub.repositories) == ["acme/shop"]
    assert len(hub.controls.seen("POST", "/repositories$")) == 1, "a create is never sent twice by itself"


# The list of repositories


async def repositories(target: DockerHub) -> list[Repository]:
    return [repository async for repository in target.repositories("acme")]


async def test_the_list_of_repositories_has_their_descriptions(target: DockerHub) -> None:
    assert await repositories(target) == []
    await target.create_repository("acme", "shop", description="a", private=True)
    await target.create_repository("acme", "cart", description="", private=False)
    assert sorted(await repositories(target), key=lambda it: it.name) == [
        Repository("acme", "cart", "", "", False),
        Repository("acme", "shop", "a", "", True),
    ]


async def test_every_page_of_repositories_is_read(hub: DockerHubStandin, target: DockerHub) -> None:
    for number in range(PAGE_SIZE + 1):
        await target.create_repository("acme", f"shop-{number}", description=str(number), private=True)
    before = len(hub.controls.calls)
    assert len({repository.name for repository in await repositories(target)}) == PAGE_SIZE + 1
    pages = [call for call in hub.controls.calls[before:] if call.path.endswith("/repositories")]
    assert [("page=1" in call.query, "page=2" in call.query) for call in pages] == [(True, False), (False, True)]
