"""What the client of Jenkins assumes of logins, sessions, crumbs, and of a Jenkins that is not well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import aiohttp
import pytest

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.services.jenkins import FOLDER_CLASS, PIPELINE_CLASS
from devops_reconciler.services.jenkins_xml import folder_xml
from standins.controls import Kind
from standins.jenkins_auth import User

from .jenkins_target import FOLDER, JOB, JenkinsTarget, basic

XML = {"Content-Type": "application/xml; charset=utf-8"}


async def test_it_says_who_we_are_and_its_version(jenkins: JenkinsTarget) -> None:
    assert await jenkins.client().whoami() == "operator"
    assert await jenkins.client().version() == "2.579"


async def test_it_says_which_items_we_may_create(jenkins: JenkinsTarget) -> None:
    assert {FOLDER_CLASS, PIPELINE_CLASS} <= set(await jenkins.client().item_types())
    assert jenkins.standin.controls.writes == []


async def test_who_may_create_nothing_is_told_so(jenkins: JenkinsTarget) -> None:
    jenkins.standin.users["operator"].denied.add("hudson.model.Item.Create")
    with pytest.raises(CredentialsError) as caught:
        await jenkins.client().item_types()
    assert caught.value.reason == Reason.PERMISSION_DENIED


async def test_a_wrong_token_is_401_and_raised_as_credentials(jenkins: JenkinsTarget) -> None:
    jenkins.account[1] = "wrong"
    with pytest.raises(CredentialsError, match="401") as caught:
        await jenkins.client().item(FOLDER)
    assert caught.value.reason == Reason.CREDENTIALS_INVALID
    assert "wrong" not in str(caught.value)


async def test_a_token_that_was_changed_is_used_at_once(jenkins: JenkinsTarget) -> None:
    client = jenkins.client()
    assert await client.whoami() == "operator"
    jenkins.standin.users["operator"] = User("operator", "rotated")
    with pytest.raises(CredentialsError):
        await client.whoami()
    jenkins.account[1] = "rotated"
    assert await client.whoami() == "operator"


async def test_an_anonymous_call_is_403_with_a_login_page_and_no_challenge(jenkins: JenkinsTarget) -> None:
    reply = await jenkins.get("/job/shop/api/json")
    assert reply.status == 403
    assert reply.content_type == "text/html"
    assert "WWW-Authenticate" not in reply.headers
    assert reply.headers["X-Jenkins"] == "2.579"
    assert "/login?from=" in await reply.text()


async def test_anonymous_is_nobody(jenkins: JenkinsTarget) -> None:
    reply = await jenkins.get("/whoAmI/api/json")
    assert (await reply.json())["anonymous"] is True
    jenkins.standin.controls.fault("GET", "/whoAmI", 200, body='{"anonymous": true, "name": "anonymous"}')
    with pytest.raises(CredentialsError, match="anonymous"):
        await jenkins.client().whoami()


async def test_a_client_with_a_token_needs_no_crumb_and_keeps_no_cookie(jenkins: JenkinsTarget) -> None:
    client = jenkins.client()
    await client.create_item((), "shop", folder_xml(""))
    await client.delete_item(FOLDER)
    await client.create_item((), "shop", folder_xml(""))
    for call in jenkins.standin.controls.calls:
        assert "cookie" not in call.headers
        assert "jenkins-crumb" not in call.headers
        assert "crumbIssuer" not in call.path


async def test_a_session_cookie_takes_the_exemption_of_the_token_away(jenkins: JenkinsTarget) -> None:
    login = {"Authorization": basic(jenkins.standin.username, jenkins.standin.token)}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers=login) as session:
        async with session.get(jenkins.standin.url + "/api/json") as reply:
            assert reply.status == 200
            assert "Set-Cookie" in reply.headers
        async with session.post(
            jenkins.standin.url + "/createItem?name=shop", data=folder_xml(""), headers=XML
        ) as reply:
            assert reply.status == 403
            assert "No valid crumb was included in the request" in await reply.text()


async def test_a_crumb_counts_only_with_the_session_that_it_was_made_for(jenkins: JenkinsTarget) -> None:
    login = {"Authorization": basic(jenkins.standin.username, jenkins.standin.password)}
    url = jenkins.standin.url
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers=login) as session:
        async with session.get(url + "/crumbIssuer/api/json") as reply:
            issued = await reply.json()
        crumb = {**XML, issued["crumbRequestField"]: issued["crumb"]}
        without_cookie = await jenkins.send(
            "POST", "/createItem?name=shop", data=folder_xml(""), headers={**crumb, **login}
        )
        assert without_cookie.status == 403
        async with session.post(url + "/createItem?name=shop", data=folder_xml(""), headers=crumb) as reply:
            assert reply.status == 200


async def test_a_jenkins_that_starts_is_tried_again_later(jenkins: JenkinsTarget) -> None:
    jenkins.standin.starting = True
    with pytest.raises(ExternalServiceError, match="503"):
        await jenkins.client().item(FOLDER)
    jenkins.standin.starting = False
    assert await jenkins.client().item(FOLDER) is None


async def test_a_jenkins_that_is_down_is_tried_again_later(jenkins: JenkinsTarget) -> None:
    jenkins.standin.controls.down = True
    with pytest.raises(ExternalServiceError):
        await jenkins.client().item(FOLDER)


@pytest.mark.parametrize("kind", ["html", "garbled", "truncated"])
@pytest.mark.parametrize(
    "path",
    ["/job/shop/api/json", "/config.xml", "/credential/", "/queue/", "/computer/", "/api/json", "logText", "wfapi"],
)
async def test_a_damaged_answer_is_an_error_of_the_service(jenkins: JenkinsTarget, kind: Kind, path: str) -> None:
    client = await jenkins.with_job()
    jenkins.standin.controls.fault("GET", path, kind, times=None)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "/job/shop/api/json": lambda: client.item(FOLDER),
        "/config.xml": lambda: client.config(JOB),
        "/credential/": lambda: client.credential(FOLDER, "git"),
        "/queue/": lambda: client.queued(JOB),
        "/computer/": lambda: client.executing(JOB),
        "/api/json": lambda: client.builds(JOB),
        "logText": lambda: client.log(JOB, 1, 0),
        "wfapi": lambda: client.stages(JOB, 1),
    }
    with pytest.raises(ExternalServiceError):
        await calls[path]()


async def test_the_same_url_twice_with_html_is_never_an_absence(jenkins: JenkinsTarget) -> None:
    jenkins.standin.controls.fault("GET", "/job/", "html", times=None)
    client = jenkins.client()
    for _ in range(2):
        with pytest.raises(ExternalServiceError, match="not usable"):
            await client.item(FOLDER)


async def test_a_404_of_a_proxy_is_no_absence(jenkins: JenkinsTarget) -> None:
    client = await jenkins.with_job()
    jenkins.standin.controls.fault("GET", "", 404, times=None)
    for read in (client.item(FOLDER), client.config(JOB), client.credential(FOLDER, "git"), client.builds(JOB)):
        with pytest.raises(ExternalServiceError, match="is this address a Jenkins"):
            await read


@pytest.mark.parametrize("path", ["/job/none/api/json", "/job/none/config.xml"])
async def test_a_404_of_jenkins_says_whose_it_is_and_nothing_more_is_asked(jenkins: JenkinsTarget, path: str) -> None:
    login = {"Authorization": basic(jenkins.standin.username, jenkins.standin.token)}
    reply = await jenkins.get(path, headers=login)
    assert (reply.status, reply.headers["X-Jenkins"]) == (404, "2.579")
    jenkins.standin.controls.forget()
    assert await jenkins.client().item(FOLDER) is None
    assert len(jenkins.standin.controls.calls) == 1


async def test_where_a_proxy_puts_its_own_page_in_place_of_a_404_jenkins_is_asked_who_it_is(
    jenkins: JenkinsTarget,
) -> None:
    jenkins.standin.controls.fault("GET", "/job/", 404, times=None)
    client = jenkins.client()
    found = await asyncio.gather(client.item(FOLDER), client.config(JOB), client.credential(FOLDER, "git"))
    assert found == [None, None, None]
    assert await client.builds(JOB) == []
    assert 2 <= len(jenkins.standin.controls.seen("GET", "^/api/json$")) <= 4


@pytest.mark.parametrize("kind", ["timeout", "reset", 500])
async def test_a_write_whose_answer_is_lost_may_have_been_applied(jenkins: JenkinsTarget, kind: Kind | int) -> None:
    client = jenkins.client(timeout=timedelta(milliseconds=300))
    jenkins.standin.controls.fault("POST", "/createItem", kind, after_effect=True)
    with pytest.raises(ExternalServiceError) as caught:
        await client.create_item((), "shop", folder_xml("Made"))
    assert caught.value.maybe_applied
    item = await client.item(FOLDER)
    assert item is not None
    assert item.description == "Made"


async def test_too_many_requests_says_when_to_come_back(jenkins: JenkinsTarget) -> None:
    jenkins.standin.controls.fault("GET", "/job/", 429, retry_after="17")
    with pytest.raises(ExternalServiceError) as caught:
        await jenkins.client().item(FOLDER)
    assert caught.value.after == timedelta(seconds=17)
    assert caught.value.reason == Reason.RATE_LIMITED
