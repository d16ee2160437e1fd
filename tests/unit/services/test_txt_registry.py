"""Ownership marks: the names and values of external-dns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.services.txt_registry import Ownership, TxtNaming, ownership_of

MARK = "freeleaps:0123abcd:0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("naming", "host", "rtype", "name"),
    [
        (TxtNaming(), "shop.example.com", "A", "a-shop.example.com"),
        (TxtNaming(), "Shop.Example.com.", "CNAME", "cname-shop.example.com"),
        (TxtNaming(), "shop.eu.example.com", "AAAA", "aaaa-shop.eu.example.com"),
        (TxtNaming(prefix="EXT-"), "shop.example.com", "A", "ext-a-shop.example.com"),
        (TxtNaming(prefix="ext."), "shop.example.com", "A", "ext.a-shop.example.com"),
        (TxtNaming(suffix="-ext"), "shop.example.com", "A", "a-shop-ext.example.com"),
        (TxtNaming(suffix="-%{record_type}"), "shop.example.com", "A", "shop-a.example.com"),
        (TxtNaming(prefix="m-%{record_type}-"), "shop.example.com", "CNAME", "m-cname-shop.example.com"),
        (TxtNaming(prefix="%{record_type}."), "example.com", "A", "a.example.com"),
        (TxtNaming(wildcard_replacement="Any"), "*.example.com", "A", "a-any.example.com"),
        (TxtNaming(), "*.example.com", "A", "a-*.example.com"),
        (TxtNaming(wildcard_replacement="any"), "x.*.example.com", "A", "a-x.*.example.com"),
        (TxtNaming(), "localhost", "A", "a-localhost"),
    ],
)
def test_a_mark_is_where_external_dns_looks_for_it(naming: TxtNaming, host: str, rtype: str, name: str) -> None:
    assert naming.name(host, rtype) == name


def test_old_marks_are_at_a_name_without_the_type() -> None:
    assert TxtNaming().legacy_name("shop.example.com") == "shop.example.com"
    assert TxtNaming(prefix="ext-").legacy_name("shop.example.com") == "ext-shop.example.com"
    assert TxtNaming(prefix="%{record_type}.").legacy_name("shop.example.com") == "shop.example.com"


def test_claims_of_others_may_be_at_any_of_these_names() -> None:
    assert TxtNaming().claims("shop.example.com") == (
        "a-shop.example.com",
        "aaaa-shop.example.com",
        "cname-shop.example.com",
        "shop.example.com",
    )


@pytest.mark.parametrize(
    ("naming", "host"),
    [
        (TxtNaming(), "a-shop.example.com"),
        (TxtNaming(prefix="ext-", suffix="-x"), "cname-shop.example.com"),
        (TxtNaming(prefix="%{record_type}."), "a.shop.example.com"),
    ],
)
def test_an_old_name_that_is_the_name_of_another_hosts_mark_claims_nothing(naming: TxtNaming, host: str) -> None:
    assert naming.claims(host) == tuple(naming.name(host, each) for each in ("A", "AAAA", "CNAME"))


@pytest.mark.parametrize(
    ("naming", "host", "word"),
    [
        (TxtNaming(), "example.com", "DNS_TXT_PREFIX"),
        (TxtNaming(prefix="ext."), "example.com", "DNS_TXT_PREFIX"),
        (TxtNaming(suffix="-ext"), "example.com", "outside zone example.com"),
        (TxtNaming(), "*.example.com", "DNS_TXT_WILDCARD_REPLACEMENT"),
        (TxtNaming(prefix="%{record_type}."), "*.example.com", "DNS_TXT_WILDCARD_REPLACEMENT"),
        (TxtNaming(), "a" * 62 + ".example.com", "64 characters"),
        (TxtNaming(), "a..example.com", "no DNS name"),
        (TxtNaming(), ".".join(["a" * 49] * 5) + ".example.com", "no DNS name"),
    ],
)
def test_a_host_whose_mark_cannot_be_made_is_refused_with_what_to_do(naming: TxtNaming, host: str, word: str) -> None:
    problem = naming.problem(host, "example.com", "A")
    assert problem is not None
    assert word in problem
    with pytest.raises(ValidationError, match=host.split(".")[-1]):
        naming.checked_name(host, "example.com", "A")


@pytest.mark.parametrize(
    ("naming", "host"),
    [
        (TxtNaming(), "shop.example.com"),
        (TxtNaming(), "a" * 61 + ".example.com"),
        (TxtNaming(prefix="%{record_type}."), "example.com"),
        (TxtNaming(prefix="mark-%{record_type}."), "example.com"),
        (TxtNaming(prefix="%{record_type}."), "a" * 63 + ".example.com"),
        (TxtNaming(wildcard_replacement="any"), "*.example.com"),
        (TxtNaming(wildcard_replacement="any"), "*.preview.example.com"),
    ],
)
def test_a_host_whose_mark_lies_in_the_zone_is_fine(naming: TxtNaming, host: str) -> None:
    assert naming.problem(host, "example.com", "A") is None
    assert naming.checked_name(host, "example.com", "A") == naming.name(host, "A")


def test_a_mark_is_written_as_external_dns_writes_it() -> None:
    value = Ownership("prod-eu-1", MARK).value()
    assert value == f'"heritage=external-dns,external-dns/owner=prod-eu-1,external-dns/resource={MARK}"'


@pytest.mark.parametrize(
    "value",
    [
        '"heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/ns/shop"',
        "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/ns/shop",
        '\\"heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/ns/shop\\"',
        "external-dns/resource=ingress/ns/shop,external-dns/owner=me,heritage=external-dns",
        " heritage=external-dns, external-dns/owner=me, external-dns/resource=ingress/ns/shop, odd, a=b=c ",
        '"heritage=external-dns,external-dns/owner=me,external-" "dns/resource=ingress/ns/shop"',
    ],
)
def test_a_mark_is_read_in_all_its_forms(value: str) -> None:
    assert ownership_of(value) == Ownership("me", "ingress/ns/shop")


def test_further_labels_are_kept() -> None:
    value = '"heritage=external-dns,external-dns/owner=me,external-dns/ownedRecord=x,external-dns/resource=r"'
    found = ownership_of(value)
    assert found == Ownership("me", "r", {"ownedRecord": "x"})
    assert found is not None
    assert ownership_of(found.value()) == found


@pytest.mark.parametrize(
    "value", ["", "v=spf1 -all", '"heritage=other,external-dns/owner=me"', "external-dns/owner=me", "heritage"]
)
def test_other_texts_are_no_marks(value: str) -> None:
    assert ownership_of(value) is None


@pytest.mark.parametrize("owner", ["a,b", "a=b", 'a"b', "a\nb", "a b", "a\\b", "ä"])
def test_an_owner_that_would_break_the_mark_is_refused(owner: str) -> None:
    with pytest.raises(ValidationError, match="cannot hold"):
        Ownership(owner, MARK).value()


@given(
    st.text(
        alphabet=st.characters(exclude_characters='",=\\', min_codepoint=33, max_codepoint=126), min_size=1, max_size=40
    )
)
def test_what_was_written_is_read(text: str) -> None:
    mark = Ownership(text, MARK)
    assert ownership_of(mark.value()) == mark


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    ownership_of(text)
