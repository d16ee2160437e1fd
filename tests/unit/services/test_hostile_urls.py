"""A corpus of URLs that reach for what is not theirs: none is accepted, none is connected to, by no client of ours.

What a process does is told by the interpreter itself (audit events): a program started, a connection opened.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.runtime.clock import SystemClock
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.addresses import CheckedResolver, literal, trouble_of
from devops_reconciler.services.git import Git, check_url
from devops_reconciler.services.probe import Prober
from devops_reconciler.services.transport import AiohttpTransport

CORPUS = json.loads((Path(__file__).parents[2] / "data" / "hostile_urls.json").read_text(encoding="utf-8"))
URLS: dict[str, list[str]] = CORPUS["urls"]
NAMES: dict[str, list[str]] = CORPUS["names"]
HERE = {"127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"}
"""Whoever lists a name may mean the operator's own host."""
LISTED = [GitHost.parse(text) for text in ("git.example.com", "forge.example.com:8443", "http://forge.example.com")]


class Told:
    """The audit events of this process that mean reaching out, while it listens: a hook cannot be taken off again."""

    REACHING = ("subprocess.Popen", "os.posix_spawn", "os.exec", "socket.connect", "socket.sendto")

    def __init__(self) -> None:
        self.events: list[str] = []
        self.listening = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.listening and event in self.REACHING:
            self.events.append(event)


TOLD = Told()
sys.addaudithook(TOLD.hook)


@pytest.fixture
def reached() -> Iterator[list[str]]:
    """What this process reached out for during the test."""
    TOLD.events = []
    TOLD.listening = True
    yield TOLD.events
    TOLD.listening = False


def test_the_corpus_is_large_and_has_nothing_twice() -> None:
    urls = [url for urls in CORPUS["urls"].values() for url in urls]
    assert len(urls) >= 300
    assert len(urls) == len(set(urls))


async def _refused(act: Callable[[], Awaitable[object]]) -> bool:
    try:
        await act()
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("allowed", [[], LISTED], ids=["no list", "list"])
@pytest.mark.parametrize("kind", URLS)
async def test_no_hostile_url_is_accepted_or_asked(kind: str, allowed: list[GitHost], reached: list[str]) -> None:
    git = Git(allowed, SystemClock(), resolve=_public)
    accepted = []
    for url in URLS[kind]:
        acts: list[Callable[[], Awaitable[object]]] = [
            partial(_checked, url, allowed),
            partial(git.resolve, url, "main"),
            partial(git.read_file, url, "a" * 40, "x"),
            partial(git.probe, url),
        ]
        if not all([await _refused(act) for act in acts]):
            accepted.append(url)
    assert accepted == []
    assert reached == []


async def _checked(url: str, allowed: list[GitHost]) -> None:
    check_url(url, allowed)


async def _public(host: str, port: int) -> tuple[str, ...]:
    return ("93.184.216.34",)


async def _as_the_corpus_says(host: str, port: int) -> tuple[str, ...]:
    return tuple(NAMES[host])


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_with_one_forbidden_address_is_not_asked_by_git(name: str, reached: list[str]) -> None:
    with pytest.raises(ValidationError, match="has the address"):
        await Git([], SystemClock(), resolve=_as_the_corpus_says).resolve(f"https://{name}/x.git", "main")
    assert reached == []


@pytest.mark.parametrize("name", [name for name, addresses in NAMES.items() if not HERE.intersection(addresses)])
async def test_a_list_of_hosts_opens_no_way_to_metadata(name: str, reached: list[str]) -> None:
    git = Git([GitHost.parse(name)], SystemClock(), resolve=_as_the_corpus_says)
    with pytest.raises(ValidationError, match="has the address"):
        await git.resolve(f"https://{name}/x.git", "main")
    assert reached == []


class Names(AbstractResolver):
    """A name server that gives out what the corpus says."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=text, port=port, family=family, proto=0, flags=0) for text in NAMES[host]
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_name_with_one_forbidden_address_is_not_probed(name: str, tls: bool, reached: list[str]) -> None:
    transport = AiohttpTransport(resolver=CheckedResolver(inner=Names()))
    result = await Prober(transport).get(name, 80, "shop.example.com", "/", tls=tls)
    await transport.close()
    assert (result.ok, result.status) == (False, None)
    assert "it is not asked" in result.detail
    assert reached == []


def _targets() -> list[str]:
    kinds = [kind for kind in CORPUS["urls"] if kind.startswith(("metadata, IPv4", "other", "link", "this host, IPv"))]
    found = [urlsplit(url).hostname or "" for kind in [*kinds, "no host at all"] for url in CORPUS["urls"][kind]]
    return sorted({host for host in found if "%" not in host})


async def test_no_forbidden_address_is_probed_in_any_notation(reached: list[str]) -> None:
    transport = AiohttpTransport(resolver=CheckedResolver())
    prober = Prober(transport)
    assert len(_targets()) > 80
    for target in _targets():
        with pytest.raises(ValidationError, match=r"set ingress\.target"):
            await prober.get(target, 80, "shop.example.com", "/", tls=False)
    await transport.close()
    assert reached == []


@pytest.mark.parametrize("target", ["127.0.0.10", "::1"])
def test_an_ingress_on_this_host_is_probed_where_the_operator_says_so(target: str) -> None:
    found = literal(target)
    assert found is not None
    assert trouble_of(found, loopback=True) is None
    assert trouble_of(found) is not None


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "10.0.0.7", "192.168.1.1", "2606:4700::1111", "fd12:3456::1", "64:ff9b::808:808"]
)
def test_an_ordinary_address_is_no_trouble(text: str) -> None:
    found = literal(text)
    assert found is not None
    assert trouble_of(found) is None


@pytest.mark.parametrize(
    "host", ["git.example.com", "0xabc.example.com", "1e100.net", "7.example.com", "a.b", "deadbeef"]
)
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) is None
