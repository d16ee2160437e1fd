"""Allow-lists per namespace, and the hosts of Git."""

import pytest

from devops_reconciler.runtime.settings_lists import AllowList, GitHost


def test_a_list_for_all() -> None:
    allowed = AllowList.parse("Example.com., *.example.net")
    assert allowed.for_namespace("any") == ("example.com", "*.example.net")
    assert allowed.allows("any", "example.com")
    assert allowed.allows("any", "a.example.net")
    assert not allowed.allows("any", "example.net")
    assert not allowed.allows("any", "evil-example.com")


def test_an_entry_of_a_namespace_replaces_the_list_for_all() -> None:
    allowed = AllowList.parse("team-a=shop,shop-*; team-b=blog ;common")
    assert allowed.allows("team-a", "shop-pr-7")
    assert not allowed.allows("team-a", "blog")
    assert not allowed.allows("team-a", "common")
    assert allowed.allows("team-c", "common")
    assert str(allowed) == "common;team-a=shop,shop-*;team-b=blog"
    assert AllowList.parse(str(allowed)) == allowed


def test_nothing_said_is_not_the_same_as_nothing_allowed() -> None:
    allowed = AllowList.parse("team-a=;team-b=x")
    assert allowed.for_namespace("team-a") == ()
    assert allowed.for_namespace("team-c") is None
    assert not allowed.allows("team-a", "x")
    assert not allowed.allows("team-c", "x")
    assert not AllowList()
    assert allowed


def test_its_names_are_what_is_no_pattern_each_once() -> None:
    allowed = AllowList.parse("team-a=a.example,*.b.example,common; common ,common;team-b=*")
    assert allowed.names() == ("common", "a.example")
    assert AllowList().names() == ()


@pytest.mark.parametrize("text", ["a=b=c", "Team=x", "=x", "a=x;a=y", "sh[o]p", "a b", "x?"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        AllowList.parse(text)


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        ("git.example.com", ("https", "GIT.example.com", None), ("http", "git.example.com", None)),
        ("git.example.com:8443", ("https", "git.example.com", 8443), ("https", "git.example.com", None)),
        ("http://127.0.0.1:3000", ("http", "127.0.0.1", 3000), ("https", "127.0.0.1", 3000)),
        ("http://git", ("http", "git", 80), ("http", "git", 8080)),
        ("[::1]:8443", ("https", "::1", 8443), ("https", "::1", 443)),
    ],
)
def test_git_hosts(entry: str, allowed: tuple[str, str, int | None], refused: tuple[str, str, int | None]) -> None:
    host = GitHost.parse(entry)
    assert host.allows(*allowed)
    assert not host.allows(*refused)
    assert GitHost.parse(str(host)) == host


@pytest.mark.parametrize("entry", ["", "ssh://git", "git:port", "git:70000", "u:p@git", "git/path", "http://"])
def test_what_is_no_git_host(entry: str) -> None:
    with pytest.raises(ValueError, match="an entry"):
        GitHost.parse(entry)
