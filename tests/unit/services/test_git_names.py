"""What may reach git, and what may not: URLs, revisions and paths come from users."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.git_names import check_path, check_revision, check_url, is_at

ALLOWED = [GitHost.parse(text) for text in ("git.example.com", "forge.example.com:8443", "http://127.0.0.1:3000")]


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/shop.git",
        "https://GIT.example.com:443/team/a/shop",
        "https://git.example.com/~user/shop%20one.git",
        "https://forge.example.com:8443/shop.git",
        "http://127.0.0.1:3000/shop.git",
    ],
)
def test_a_repository_at_an_allowed_host_passes(url: str) -> None:
    check_url(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-u/x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "ssh://git.example.com/shop.git",
        "git@git.example.com:shop.git",
        "git://git.example.com/shop.git",
        "https://user:pass@git.example.com/shop.git",
        "https://git.example.com@evil.example/shop.git",
        "https://evil.example#@git.example.com/shop.git",
        "https://evil.example\\@git.example.com/shop.git",
        "https://git.example.com:443@evil.example/shop.git",
        "https://git.example.com.evil.example/shop.git",
        "https://evil.example/git.example.com",
        "https://git.example.com./shop.git",
        "https://git.example.com:/shop.git",
        "https://git.example.com:8443/shop.git",
        "https://git.example.com:99999999/shop.git",
        "https://git.example.com/shop.git?x=1",
        "https://git.example.com/shop.git#main",
        "https://git.example.com/a/../b.git",
        "https://git.example.com/shop.git\n--upload-pack=x",
        "https://git.example.com/shop git",
        " https://git.example.com/shop.git",
        "https:/git.example.com/shop.git",
        "https:///shop.git",
        "https://[::1]/shop.git",
        "https://[/shop.git",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://gıt.example.com/shop.git",
        "https://git%2eexample.com/shop.git",
        "http://git.example.com/shop.git",
        "http://127.0.0.1/shop.git",
        "https://127.0.0.1:3000/shop.git",
        "https://git.example.com/" + "a" * 3000,
    ],
)
def test_every_other_url_is_refused_with_what_to_do(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_url(url, ALLOWED)
    assert "pass@" not in caught.value.message


def test_the_refusal_says_what_to_add() -> None:
    with pytest.raises(ValidationError, match=r"'http://git\.example\.com' to GIT_ALLOWED_HOSTS"):
        check_url("http://git.example.com/shop.git", [])
    with pytest.raises(ValidationError, match="https only"):
        check_url("http://git.example.com:443/shop.git", ALLOWED)
    with pytest.raises(ValidationError, match="credentialsRef"):
        check_url("https://robot:pass@git.example.com/shop.git", ALLOWED)


def test_without_a_list_every_host_passes_by_https_alone() -> None:
    check_url("https://anywhere.example/shop.git", [])
    check_url("https://anywhere.example:8443/shop.git", [])
    for url in ("http://anywhere.example/shop.git", "https://user:pass@anywhere.example/shop.git", "file:///etc"):
        with pytest.raises(ValidationError):
            check_url(url, [])


@given(st.text(alphabet=string.printable, max_size=60))
def test_whatever_follows_another_host_is_never_taken_for_ours(tail: str) -> None:
    with pytest.raises(ValidationError):
        check_url("https://evil.example" + tail, ALLOWED)


@pytest.mark.parametrize(
    "revision", ["main", "v1.2.3", "feature/a-b_c", "HEAD", "refs/tags/v1", "a" * 40, "release@2", "ü"]
)
def test_the_name_of_a_branch_tag_or_commit_passes(revision: str) -> None:
    check_revision(revision)


@pytest.mark.parametrize(
    "revision",
    [
        "",
        "-",
        "--upload-pack=touch /tmp/x",
        "@",
        "a..b",
        "a b",
        "main~1",
        "main^",
        "main:path",
        "ma?n",
        "ma*n",
        "ma[n",
        "ma\\n",
        "main@{1}",
        "/main",
        "main/",
        "a//b",
        ".hidden",
        "a/.hidden",
        "main.lock",
        "a.lock/b",
        "main.",
        "main\n",
        "\x00",
        "a" * 300,
    ],
)
def test_what_git_could_read_as_something_else_is_refused(revision: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a Git revision"):
        check_revision(revision)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a\x00b", "a\nb", "a/", "a" * 2000]
)
def test_only_plain_relative_paths_are_read(path: str) -> None:
    with pytest.raises(ValidationError):
        check_path(path)


def test_the_project_file_is_a_plain_path() -> None:
    check_path(".freeleaps.yaml")
    check_path("deploy/app one.yaml")


def test_a_place_is_host_and_port() -> None:
    assert is_at("https://git.example.com/a.git", "git.example.com")
    assert is_at("https://git.example.com/a.git", "Git.Example.com:443")
    assert is_at("http://127.0.0.1:3000/a.git", "http://127.0.0.1:3000")
    assert is_at("http://127.0.0.1:3000/a.git", "127.0.0.1:3000")
    assert not is_at("https://git.example.com:8443/a.git", "git.example.com")
    assert not is_at("https://git.example.com/a.git", "http://git.example.com")
    assert not is_at("https://git.example.com/a.git", "example.com")
    assert not is_at("https://git.example.com/a.git", "git.example.com:port")
