"""What `docker push` needs of a registry, in raw HTTP: Jenkins pushes this way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from standins.dockerhub import DockerHubStandin
from standins.registry import RegistryStandin
from standins.registry_accounts import Account, Secret

from .registry_pushing import DOCKER_MANIFEST, OCI_MANIFEST, Pusher, digest_of

BUILDER = Secret("dckr_pat_builder", scope="write")
READER = Secret("dckr_pat_reader", scope="read")


@pytest.fixture
async def hub() -> AsyncIterator[DockerHubStandin]:
    accounts = [
        Account("acme", [Secret("dckr_pat_standin")]),
        Account("builder", [BUILDER, READER], frozenset({"acme"})),
    ]
    async with DockerHubStandin(accounts=accounts) as hub:
        yield hub


@pytest.fixture
def pusher(hub: DockerHubStandin) -> Pusher:
    return Pusher(hub.registry_url, "acme/shop", "builder", BUILDER.value)


async def test_a_pushed_image_is_there_under_its_tag(hub: DockerHubStandin, pusher: Pusher) -> None:
    digest = await pusher.push_image("v1")
    assert hub.tags("acme", "shop") == {"v1": digest}
    got = await pusher.ask("GET", "/v2/acme/shop/manifests/v1", headers={"Accept": OCI_MANIFEST})
    assert (got.status, digest_of(got.body), got.headers["content-type"]) == (200, digest, OCI_MANIFEST)
    layer = got.json()["layers"][0]["digest"]
    blob = await pusher.ask("GET", f"/v2/acme/shop/blobs/{layer}")
    assert (blob.status, blob.body) == (200, b"hello")


async def test_a_push_creates_the_repository_and_it_is_public(hub: DockerHubStandin, pusher: Pusher) -> None:
    await pusher.push_image("v1")
    assert hub.repositories["acme/shop"].private is False


async def test_a_push_creates_a_private_repository_where_that_is_the_default(
    hub: DockerHubStandin, pusher: Pusher
) -> None:
    hub.registry.new_private = True
    await pusher.push_image("v1")
    assert hub.repositories["acme/shop"].private is True


async def test_a_push_needs_the_repository_where_creation_is_off(hub: DockerHubStandin, pusher: Pusher) -> None:
    hub.registry.door.creates_repositories = False
    refused = await pusher.ask("POST", "/v2/acme/shop/blobs/uploads/")
    assert refused.status == 401
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert hub.repositories == {}


async def test_a_token_that_may_only_read_pushes_nothing(hub: DockerHubStandin) -> None:
    reader = Pusher(hub.registry_url, "acme/shop", "builder", READER.value)
    refused = await reader.ask("POST", "/v2/acme/shop/blobs/uploads/")
    assert reader.token, "the token service gives a token all the same"
    assert refused.status == 401
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


async def test_nobody_pushes_into_a_foreign_namespace(hub: DockerHubStandin) -> None:
    pusher = Pusher(hub.registry_url, "other/shop", "builder", BUILDER.value)
    assert (await pusher.ask("POST", "/v2/other/shop/blobs/uploads/")).status == 401
    assert hub.repositories == {}


async def test_a_blob_may_come_in_chunks(hub: DockerHubStandin, pusher: Pusher) -> None:
    body = bytes(range(256)) * 10
    digest = await pusher.push_blob(body, chunk=1000)
    assert [method for method, _, _ in pusher.log].count("PATCH") == 3
    assert (await pusher.ask("GET", f"/v2/acme/shop/blobs/{digest}")).body == body


async def test_a_blob_may_come_in_one_post(hub: DockerHubStandin, pusher: Pusher) -> None:
    done = await pusher.ask("POST", f"/v2/acme/shop/blobs/uploads/?digest={digest_of(b'one')}", b"one")
    assert done.status == 201
    assert (await pusher.ask("HEAD", f"/v2/acme/shop/blobs/{digest_of(b'one')}")).status == 200


async def test_a_blob_is_mounted_from_another_repository(hub: DockerHubStandin, pusher: Pusher) -> None:
    digest = await pusher.push_blob(b"shared")
    other = Pusher(hub.registry_url, "acme/cart", "builder", BUILDER.value)
    path = f"/v2/acme/cart/blobs/uploads/?mount={digest}&from=acme/shop"
    assert (await other.ask("POST", path)).status == 201
    unknown = digest_of(b"unknown")
    assert (await other.ask("POST", f"/v2/acme/cart/blobs/uploads/?mount={unknown}&from=acme/shop")).status == 202


async def test_a_chunk_out_of_order_is_refused(pusher: Pusher) -> None:
    begun = await pusher.ask("POST", "/v2/acme/shop/blobs/uploads/")
    refused = await pusher.ask("PATCH", begun.headers["location"], b"late", {"Content-Range": "7-10"})
    assert refused.status == 416


async def test_a_blob_with_another_digest_is_refused(pusher: Pusher) -> None:
    begun = await pusher.ask("POST", "/v2/acme/shop/blobs/uploads/")
    refused = await pusher.ask("PUT", f"{begun.headers['location']}&digest={digest_of(b'other')}", b"this")
    assert (refused.status, refused.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")


async def test_an_upload_can_be_asked_about_and_given_up(pusher: Pusher) -> None:
    begun = await pusher.ask("POST", "/v2/acme/shop/blobs/uploads/")
    await pusher.ask("PATCH", begun.headers["location"], b"12345")
    status = await pusher.ask("GET", begun.headers["location"])
    assert (status.status, status.headers["range"]) == (204, "0-4")
    assert (await pusher.ask("DELETE", begun.headers["location"])).status == 204
    assert (await pusher.ask("GET", begun.headers["location"])).status == 404


async def test_a_manifest_whose_blobs_are_missing_is_refused(hub: DockerHubStandin, pusher: Pusher) -> None:
    manifest = {"mediaType": OCI_MANIFEST, "config": {"digest": digest_of(b"no")}, "layers": []}
    body = json.dumps(manifest).encode()
    refused = await pusher.ask("PUT", "/v2/acme/shop/manifests/v1", body, {"Content-Type": OCI_MANIFEST})
    assert (refused.status, refused.json()["errors"][0]["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert hub.tags("acme", "shop") == {}


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"layers": [1]}'])
async def test_a_manifest_that_is_none_is_refused(pusher: Pusher, body: bytes) -> None:
    refused = await pusher.ask("PUT", "/v2/acme/shop/manifests/v1", body, {"Content-Type": DOCKER_MANIFEST})
    assert (refused.status, refused.json()["errors"][0]["code"]) == (400, "MANIFEST_INVALID")


async def test_a_manifest_can_not_be_deleted_here(pusher: Pusher) -> None:
    digest = await pusher.push_image("v1")
    refused = await pusher.ask("DELETE", f"/v2/acme/shop/manifests/{digest}")
    assert (refused.status, refused.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")


async def test_tags_are_listed_page_by_page(pusher: Pusher) -> None:
    for tag in ("a", "b", "c"):
        await pusher.push_image(tag)
    first = await pusher.ask("GET", "/v2/acme/shop/tags/list?n=2")
    assert first.json() == {"name": "acme/shop", "tags": ["a", "b"]}
    following = first.headers["link"].partition(">")[0].strip("<")
    assert (await pusher.ask("GET", following)).json()["tags"] == ["c"]


async def test_a_get_counts_as_a_pull_and_pulls_are_limited(hub: DockerHubStandin, pusher: Pusher) -> None:
    await pusher.push_image("v1")
    hub.registry.pull_limit = 1
    path, accept = "/v2/acme/shop/manifests/v1", {"Accept": OCI_MANIFEST}
    assert (await pusher.ask("HEAD", path, headers=accept)).headers["ratelimit-remaining"] == "1;w=21600"
    got = await pusher.ask("GET", path, headers=accept)
    assert (got.headers["ratelimit-limit"], got.headers["ratelimit-remaining"]) == ("1;w=21600", "0;w=21600")
    over = await pusher.ask("GET", path, headers=accept)
    assert (over.status, over.json()["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")


async def test_a_registry_without_authentication_takes_a_push_as_it_is() -> None:
    async with RegistryStandin() as registry:
        pusher = Pusher(registry.url, "acme/deep/shop")
        digest = await pusher.push_image("v1")
        assert registry.repositories == ["acme/deep/shop"]
        assert registry.tags_of("acme/deep/shop") == {"v1": digest}
        assert pusher.token == ""
        assert (await pusher.ask("GET", "/v2/acme/none/manifests/v1")).status == 404
        assert (await pusher.ask("GET", "/v2/Acme/shop/manifests/v1")).status == 400
