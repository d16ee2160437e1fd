"""What the Argo CD client assumes of applications: absence, rights, create, patch, delete, refresh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ConflictError,
    CredentialsError,
    ExternalServiceError,
    ValidationError,
    Waiting,
)
from devops_reconciler.services.argocd_view import ApplicationView
from standins.argocd_controller import FINALIZER
from testbed.argocd import RealArgoCD

from .argocd_target import DIGEST, GIT_LOGIN, IMAGE, Source, Target, gone, pin, settled, source, target, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def repository() -> AsyncIterator[Source]:
    async with source() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def argocd(repository: Source, real_argocd: RealArgoCD | None) -> AsyncIterator[Target]:
    async with target(repository.sample, real=real_argocd) as found:
        await found.make_project()
        yield found


async def raw(argocd: Target, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Json:
    """A request as another client might send it."""
    headers = {"Authorization": f"Bearer {argocd.token}"} | ({} if method == "GET" else {"Content-Type": content_type})
    response = await argocd.http().request(f"raw {method}", method, path, headers=headers, json_body=body)
    answer: Json = response.json()
    return {"status": response.status, **answer}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain"])
async def test_anything_but_application_json_is_refused_also_for_delete(
    argocd: Target, method: str, content_type: str
) -> None:
    with pytest.raises(ValidationError, match="Invalid content type") as refused:
        await raw(argocd, method, "/api/v1/applications/shop?project=shop", content_type=content_type)
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/applications/missing"),
        ("PATCH", "/api/v1/applications/missing"),
        ("POST", "/api/v1/applications/missing/sync"),
        ("DELETE", "/api/v1/applications/missing"),
        ("DELETE", "/api/v1/applications/missing/operation"),
        ("GET", "/api/v1/applications/missing/resource-tree"),
    ],
)
async def test_without_the_project_what_is_missing_is_forbidden(argocd: Target, method: str, path: str) -> None:
    body = {"GET": None, "PATCH": {"patch": "{}", "patchType": "merge"}}.get(method, {})
    with pytest.raises(CredentialsError, match="permission denied") as refused:
        await raw(argocd, method, path, body)
    assert (refused.value.status, refused.value.code) == (403, 7)


async def test_with_the_project_what_is_missing_is_missing(argocd: Target) -> None:
    client = argocd.client()
    assert await client.application("missing", "shop") is None
    assert await client.patch_application("missing", "shop", {"spec": {}}) is None
    assert await client.sync("missing", "shop") is None
    assert await client.refresh("missing", "shop") is None
    assert await client.resource_tree("missing", "shop") is None
    await client.delete_application("missing", "shop")


async def test_the_list_of_nothing_has_null_for_items(argocd: Target) -> None:
    assert (await raw(argocd, "GET", "/api/v1/applications?name=missing"))["items"] is None
    assert await argocd.client().applications() == []


async def test_an_application_in_another_project_is_404_by_get_and_found_by_the_list(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    answer = await raw(argocd, "GET", "/api/v1/applications/shop?project=default")
    assert (answer["status"], answer["code"]) == (404, 5)
    elsewhere = await client.application("shop", "default")
    assert elsewhere is not None
    assert ApplicationView(elsewhere).project == "shop"


async def test_lost_rights_are_never_taken_for_an_absence(argocd: Target) -> None:
    await argocd.client().create_application(argocd.application())
    limited = argocd.client(argocd.limited_token)
    assert await limited.application("missing", "team") is None
    for call in (
        limited.application("shop", "shop"),
        limited.application("missing", "shop"),
        limited.delete_application("shop", "shop"),
        limited.sync("shop", "shop"),
        limited.patch_application("shop", "shop", {}),
    ):
        with pytest.raises(CredentialsError) as refused:
            await call
        assert refused.value.reason is Reason.PERMISSION_DENIED


async def test_a_list_shows_only_what_may_be_seen_and_selects(argocd: Target) -> None:
    client = argocd.client()
    first = argocd.application("shop")
    first["metadata"]["labels"] = {"environment": "production"}
    await client.create_application(first)
    await client.create_application(argocd.application("shop-pr-7"))
    found = await client.applications("shop", selector="environment=production")
    assert [app["metadata"]["name"] for app in found] == ["shop"]
    assert len(await client.applications("shop")) == 2
    assert await client.applications("team") == []
    assert [app["metadata"]["name"] for app in await client.applications(name="shop")] == ["shop"]
    assert await client.applications(name="nobody") == []
    assert await argocd.client(argocd.limited_token).applications() == []


async def test_lists_are_behind_and_a_get_is_not(argocd: Target) -> None:
    client = argocd.client()
    argocd.standin.state.lag = timedelta(minutes=5)
    await client.create_application(argocd.application())
    assert await client.applications() == []
    assert await client.application("shop", "shop") is not None


async def test_the_same_create_twice_is_one_application(argocd: Target) -> None:
    client = argocd.client()
    first = await client.create_application(argocd.application())
    again = await client.create_application(argocd.application())
    assert again["metadata"]["uid"] == first["metadata"]["uid"]


async def test_a_different_create_is_a_conflict(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    with pytest.raises(ConflictError, match="existing application spec is different") as refused:
        await client.create_application(argocd.application(path="other"))
    assert (refused.value.status, refused.value.code) == (400, 3)
    assert "existing application spec" in str(refused.value.details["message"])


async def test_creating_what_is_being_deleted_is_a_reason_to_wait(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    argocd.standin.stick_deletion("shop")
    await client.delete_application("shop", "shop")
    with pytest.raises(Waiting, match="still being deleted"):
        await client.create_application(argocd.application())
    argocd.standin.release("shop")
    await gone(client)
    assert "deletionTimestamp" not in (await client.create_application(argocd.application()))["metadata"]


async def test_a_create_whose_answer_was_lost_may_be_repeated(argocd: Target) -> None:
    client = argocd.client()
    argocd.standin.controls.fault("POST", "/applications", "reset", after_effect=True)
    with pytest.raises(ExternalServiceError) as lost:
        await client.create_application(argocd.application())
    assert lost.value.maybe_applied
    assert (await client.create_application(argocd.application()))["metadata"]["name"] == "shop"


async def test_a_project_that_is_not_there_yet_is_a_reason_to_wait(argocd: Target) -> None:
    with pytest.raises(Waiting, match="or the project does not exist") as waits:
        await argocd.client().create_application(argocd.application("team", "team"))
    assert waits.value.reason is Reason.DEPENDENCY_NOT_READY


async def test_the_rules_of_the_project_hold_without_validation_too(argocd: Target) -> None:
    client = argocd.client()
    outside = argocd.application()
    outside["spec"]["destination"]["namespace"] = "kube-system"
    with pytest.raises(ValidationError, match="do not match any of the allowed destinations in project 'shop'"):
        await client.create_application(outside)
    with pytest.raises(ValidationError, match="is not permitted in project 'shop'"):
        await client.create_application(argocd.application(repoURL="http://127.0.0.1:1/other.git"))
    unknown = argocd.application()
    unknown["spec"]["destination"]["server"] = "https://elsewhere.example.com"
    with pytest.raises(ValidationError, match="application destination spec for shop is invalid"):
        await client.create_application(unknown)


async def test_a_create_does_not_look_into_the_repository_but_a_patch_does(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    with pytest.raises(ValidationError, match="nowhere: app path does not exist"):
        await client.patch_application("shop", "shop", {"spec": {"source": {"path": "nowhere"}}})
    await client.create_application(argocd.application("shop-bad", path="nowhere"))
    with pytest.raises(ValidationError, match="Unable to generate manifests"):
        await client.patch_application("shop-bad", "shop", {"metadata": {"labels": {"a": "b"}}})


async def test_a_source_with_blocks_for_two_tools_is_refused_and_is_no_illness(argocd: Target) -> None:
    """Argo CD answers 500."""
    client = argocd.client()
    await client.create_application(argocd.application(kustomize=pin(DIGEST)))
    helm = {"parameters": [{"name": "image.digest", "value": DIGEST}]}
    for _ in range(20):
        with pytest.raises(ValidationError, match="multiple application sources defined: Kustomize,Helm"):
            await client.patch_application("shop", "shop", {"spec": {"source": {"helm": helm}}})
    plain = await client.patch_application("shop", "shop", {"spec": {"source": {"kustomize": None}}})
    assert plain is not None
    assert "kustomize" not in plain["spec"]["source"]


async def test_an_operation_in_a_create_or_a_patch_is_dropped(argocd: Target) -> None:
    client = argocd.client()
    operation = {"operation": {"sync": {"revision": "main"}}}
    assert "operation" not in await client.create_application({**argocd.application(), **operation})
    patched = await client.patch_application("shop", "shop", operation)
    assert patched is not None
    assert "operation" not in patched


async def test_a_merge_patch_keeps_what_it_does_not_name(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    patch: Json = {"metadata": {"annotations": {"new": "1"}}, "spec": {"source": {"kustomize": pin(DIGEST)}}}
    await client.patch_application("shop", "shop", patch)
    app = await client.application("shop", "shop")
    assert app is not None
    assert ApplicationView(app).annotations == {"owner": "us", "new": "1"}
    assert app["spec"]["source"]["path"] == "deploy"
    assert app["spec"]["source"]["kustomize"] == pin(DIGEST)
    await client.patch_application("shop", "shop", {"metadata": {"annotations": {"new": None}}})
    app = await client.application("shop", "shop")
    assert app is not None
    assert ApplicationView(app).annotations == {"owner": "us"}


async def test_a_patch_needs_its_type(argocd: Target) -> None:
    await argocd.client().create_application(argocd.application())
    path, merge = "/api/v1/applications/shop", '{"metadata":{"labels":{"a":"b"}}}'
    with pytest.raises(ExternalServiceError, match='required field "patchType" not set'):
        await raw(argocd, "PATCH", path, {"name": "shop", "project": "shop", "patch": merge})
    steps = '[{"op":"replace","path":"/spec/source/targetRevision","value":"HEAD"}]'
    answer = await raw(argocd, "PATCH", path, {"project": "shop", "patch": steps, "patchType": "json"})
    assert answer["spec"]["source"]["targetRevision"] == "HEAD"
    with pytest.raises(ValidationError, match="Patch type 'strategic' is not supported"):
        await raw(argocd, "PATCH", path, {"project": "shop", "patch": merge, "patchType": "strategic"})


async def test_upsert_merges_labels_and_takes_finalizers_while_put_replaces_all(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    changed = argocd.application(path=".")
    changed["metadata"] = {"name": "shop", "labels": {"a": "b"}}
    upserted = await raw(argocd, "POST", "/api/v1/applications?upsert=true&validate=false", changed)
    assert upserted["metadata"]["annotations"] == {"owner": "us"}
    assert upserted["metadata"]["labels"] == {"a": "b"}
    assert "finalizers" not in upserted["metadata"]
    changed["metadata"] = {"name": "shop"}
    replaced = await raw(argocd, "PUT", "/api/v1/applications/shop?validate=false", changed)
    assert not {"annotations", "labels", "finalizers"} & set(replaced["metadata"])


async def test_a_spec_is_read_back_without_its_empty_and_false_values(argocd: Target) -> None:
    client = argocd.client()
    app = argocd.application(kustomize={"images": []}, directory={"recurse": False})
    app["spec"]["syncPolicy"] = {"automated": {"prune": False}, "syncOptions": []}
    created = await client.create_application(app)
    assert created["spec"]["syncPolicy"] == {"automated": {"prune": False}}
    assert set(created["spec"]["source"]) == {"repoURL", "path", "targetRevision"}
    assert (await client.create_application(app))["metadata"]["uid"] == created["metadata"]["uid"]


async def test_a_deleted_application_stays_until_its_finalizers_are_done(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application(kustomize=pin(DIGEST)))
    await client.sync("shop", "shop")
    await settled(client)
    argocd.standin.stick_deletion("shop")
    await client.delete_application("shop", "shop")
    view = await until(client, lambda view: bool(view.conditions))
    assert view.deleting
    assert view.finalizers == (FINALIZER,)
    assert view.conditions[0].startswith("DeletionError: ")
    await client.delete_application("shop", "shop")
    argocd.standin.release("shop")
    await gone(client)
    assert await argocd.running("shop", "shop") is None


async def test_a_foreign_finalizer_holds_an_application_back(argocd: Target) -> None:
    client = argocd.client()
    app = argocd.application()
    app["metadata"]["finalizers"] = [FINALIZER, "example.com/backup"]
    await client.create_application(app)
    await client.delete_application("shop", "shop")
    view = await until(client, lambda view: view.finalizers == ("example.com/backup",))
    assert view.deleting
    await client.patch_application("shop", "shop", {"metadata": {"finalizers": None}})
    await gone(client)


async def test_a_delete_without_cascade_leaves_what_runs(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application(kustomize=pin(DIGEST)))
    await client.sync("shop", "shop")
    await settled(client)
    await client.delete_application("shop", "shop", cascade=False)
    await gone(client)
    assert await argocd.running("shop", "shop") == f"{IMAGE}@{DIGEST}"


async def test_a_policy_without_cascade_is_refused(argocd: Target) -> None:
    await argocd.client().create_application(argocd.application())
    path = "/api/v1/applications/shop?project=shop&cascade=false&propagationPolicy=foreground"
    with pytest.raises(ValidationError, match="cannot set propagation policy when cascading is disabled"):
        await raw(argocd, "DELETE", path)


async def test_a_refresh_waits_for_the_comparison_and_sees_the_new_commit(argocd: Target, repository: Source) -> None:
    client = argocd.client()
    await repository.sample.commit("Start", {}, branch="refreshed")
    await client.create_application(argocd.application(targetRevision="refreshed"))
    before = await until(client, lambda view: bool(view.sync_revision))
    commit = await repository.sample.commit("More", {}, branch="refreshed")
    unseen = await client.application("shop", "shop")
    assert unseen is not None
    assert ApplicationView(unseen).sync_revision == before.sync_revision != commit
    seen = await client.refresh("shop", "shop")
    assert seen is not None
    assert ApplicationView(seen).sync_revision == commit


async def test_a_refresh_that_the_controller_does_not_answer_is_an_illness_of_the_service(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    await until(client, lambda view: view.reconciled_at is not None)
    argocd.standin.pause()
    argocd.standin.applications.refresh_deadline = timedelta(0)
    with pytest.raises(ExternalServiceError, match="application refresh deadline exceeded"):
        await client.refresh("shop", "shop")
    argocd.standin.resume()
    view = await until(client, lambda view: "argocd.argoproj.io/refresh" not in view.annotations)
    assert view.annotations == {"owner": "us"}


async def test_a_refresh_by_annotation_does_not_block(argocd: Target) -> None:
    client = argocd.client()
    await client.create_application(argocd.application())
    refresh = {"argocd.argoproj.io/refresh": "hard"}
    assert await client.patch_application("shop", "shop", {"metadata": {"annotations": refresh}}) is not None
    await until(client, lambda view: "argocd.argoproj.io/refresh" not in view.annotations)


async def test_a_private_repository_needs_its_registered_credentials(argocd: Target, repository: Source) -> None:
    client = argocd.client()
    repository.sample.repository.credentials = GIT_LOGIN
    try:
        await client.create_application(argocd.application())
        view = await until(client, lambda view: bool(view.conditions))
        assert "authentication required" in view.conditions[0]
        login = {"username": GIT_LOGIN.username, "password": GIT_LOGIN.password}
        await client.create_repository({"repo": argocd.repo_url, "type": "git", **login})
        seen = await client.refresh("shop", "shop")
        assert seen is not None
        assert ApplicationView(seen).sync_status == "OutOfSync"
    finally:
        repository.sample.repository.credentials = None


@pytest.mark.parametrize("kind", ["html", "garbled", "truncated"])
async def test_an_answer_that_is_none_of_argo_cds_is_an_illness_and_no_absence(argocd: Target, kind: Any) -> None:
    standin, client = argocd.standin, argocd.client()
    await client.create_application(argocd.application())
    for call in (client.application("shop", "shop"), client.applications(), client.sync("shop", "shop")):
        standin.controls.fault("*", "/applications", kind)
        with pytest.raises(ExternalServiceError):
            await call


async def test_a_404_of_a_proxy_is_no_absence(argocd: Target) -> None:
    argocd.standin.controls.fault("*", "/applications/shop", 404, times=None)
    client = argocd.client()
    for call in (client.application("shop", "shop"), client.delete_application("shop", "shop")):
        with pytest.raises(ExternalServiceError, match="404 that Argo CD did not write"):
            await call


async def test_the_service_down_is_an_external_error_that_names_no_secret(argocd: Target) -> None:
    argocd.standin.controls.down = True
    with pytest.raises(ExternalServiceError) as lost:
        await argocd.client().application("shop", "shop")
    assert argocd.token not in str(lost.value)
    assert "get application" in str(lost.value)


async def test_many_creates_at_once_make_one_application(argocd: Target) -> None:
    client = argocd.client()
    made = await asyncio.gather(*(client.create_application(argocd.application()) for _ in range(8)))
    assert len({app["metadata"]["uid"] for app in made}) == 1
