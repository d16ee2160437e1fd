"""The forms of text: examples that are taken, and the ones that must not be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api import text
from devops_reconciler.api.text import Text

FORMS = {name: form for name, form in vars(text).items() if isinstance(form, Text)}

TAKEN = {
    "SHORT_NAME": ["shop", "pr-7", "7", "a" * 30],
    "OBJECT_NAME": ["git", "shop-tls.v2", "7up"],
    "NAMESPACE_NAME": ["shop", "shop-pr-7", "0"],
    "SERVICE_NAME": ["shop", "s"],
    "GIT_URL": [
        "https://git.example.com/shop.git",
        "http://127.0.0.1:8080/group/shop",
        "https://[::1]:3000/a/b.git",
        "https://git.example.com/~user/shop%20a.git",
    ],
    "SERVER_URL": ["https://kubernetes.default.svc", "https://10.0.0.1:6443", "https://example.com/k8s/clusters/c-1"],
    "REVISION": [
        "main",
        "feature/x",
        "v1.2.3",
        "0123456789abcdef0123456789abcdef01234567",
        "HEAD",
        "ü",
        "a",
        "user@fix",
    ],
    "RECORD_OR_LAST_HEALTHY": ["lastHealthy", "shop-abc123"],
    "PATH": ["deploy", "deploy/production", ".", "./x", ".ci/Jenkinsfile", "a b/c", "a..b"],
    "URL_PATH": ["/", "/healthz?full=1"],
    "ITEM_NAME": ["shop", "My Team", "über-shop", "a.b", "x"],
    "HUB_NAMESPACE": ["acme", "acme-2"],
    "HUB_REPOSITORY": ["shop", "a.b", "a-b_c", "ab"],
    "IMAGE_NAME": ["shop", "acme/shop", "registry.example.com:5000/acme/shop"],
    "PARAMETER_NAME": ["KEY", "_x1"],
    "HOST": ["shop.example.com", "*.example.com", "example.com", "a", "xn--bcher-kva.example", "1.2.example.com"],
    "ZONE": ["example.com", "sub.example.co.uk"],
    "TARGET": ["203.0.113.7", "2001:db8::1", "::1", "lb.example.com", "127.0.0.1"],
    "HOST_TEMPLATE": ["{name}.preview.example.com", "x-{name}-y.example.com", "a.{name}.example.com"],
}

REFUSED = {
    "SHORT_NAME": ["", "Shop", "-a", "a-", "a.b", "a_b", "a" * 31, "a\n", "ü"],
    "OBJECT_NAME": ["", "A", "a..b", ".a", "a/b", "a" * 254],
    "NAMESPACE_NAME": ["", "a.b", "a" * 64],
    "SERVICE_NAME": ["", "1a", "a.b"],
    "GIT_URL": [
        "",
        "git@git.example.com:shop.git",
        "ssh://git.example.com/shop.git",
        "file:///etc/passwd",
        "ext::sh -c id",
        "https://user:password@git.example.com/shop.git",
        "https://user@git.example.com/shop.git",
        "https://git.example.com/shop.git?x=1",
        "https://git.example.com/shop.git#x",
        "https://git.example.com",
        "https://git.example.com/",
        "https://git.example.com/a/../b",
        "https://git.example.com/a b",
        "https://git.example.com\\@evil.example.com/x",
        "https://-x/y",
        "HTTPS://git.example.com/x",
    ],
    "SERVER_URL": ["in-cluster", "https://", "https://u:p@example.com", "https://example.com?x"],
    "REVISION": [
        "",
        "-x",
        "--upload-pack=x",
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a@{1}",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a.",
        "a/.b",
        "a\n",
        "a\x7f",
    ],
    "RECORD_OR_LAST_HEALTHY": ["", "lasthealthY", "LastHealthy"],
    "PATH": ["", "/etc", "..", "../x", "a/../b", "a/..", "a\\b", "a\nb"],
    "URL_PATH": ["", "healthz", "/a b", "/#x", "//\\evil"],
    "ITEM_NAME": ["", ".", "..", "a/b", "a?", "a*", "a%", " a", "a ", "a.", "-a", "a\tb", "<a>"],
    "HUB_NAMESPACE": ["", "Acme", "a--b", "-a", "a-", "a/b"],
    "HUB_REPOSITORY": ["", "a", "Shop", "a--b", "a/b", "a" * 256],
    "IMAGE_NAME": ["", "-a", "a@sha256:1", "a=b"],
    "PARAMETER_NAME": ["", "1a", "a-b", "a b", "a.b"],
    "HOST": [
        "",
        "Shop.example.com",
        "shop.example.com.",
        "http://x",
        "a.*.com",
        "*",
        "a_b.com",
        "x.com:80",
        "203.0.113.7",
        "a..b",
        "a" * 64 + ".com",
        "-a.com",
    ],
    "ZONE": ["", "com", "*.example.com", "example.com."],
    "TARGET": ["", "300.0.0.1", "1.2.3", "http://x", "a b", "LB.example.com", "1:2"],
    "HOST_TEMPLATE": ["", "preview.example.com", "{name}", "{name}.{name}.example.com", "{project}.example.com"],
}


def test_every_form_has_examples() -> None:
    assert set(FORMS) == set(TAKEN) == set(REFUSED)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in TAKEN for value in TAKEN[name]])
def test_takes(name: str, value: str) -> None:
    assert FORMS[name].check(value) == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in REFUSED for value in REFUSED[name]])
def test_refuses_without_quoting_the_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"^use |^is [0-9]+ characters long") as caught:
        FORMS[name].check(value)
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_patterns_fit_into_cel_and_go(form: Text) -> None:
    for pattern in (form.pattern, form.forbids or ""):
        assert "'" not in pattern
        assert "(?" not in pattern, "Go has no look-around"
    assert form.pattern.startswith("^")
    assert form.pattern.endswith("$")


@given(st.text(max_size=40))
def test_a_path_never_leaves_its_root(value: str) -> None:
    try:
        text.PATH.check(value)
    except ValueError:
        return
    assert not value.startswith("/")
    assert ".." not in value.split("/")


@given(st.from_regex(re.compile(text.GIT_URL.pattern), fullmatch=True))
def test_a_git_url_has_no_user(value: str) -> None:
    assert "@" not in value
