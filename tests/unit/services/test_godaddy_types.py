"""Records and relative names of GoDaddy."""

from __future__ import annotations

import pytest

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.services.godaddy_types import Record, ZoneRecords, record_of, relative_name


@pytest.mark.parametrize(
    ("host", "zone", "name"),
    [
        ("shop.example.com", "example.com", "shop"),
        ("Shop.Example.Com.", "example.com.", "shop"),
        ("a.b.example.com", "example.com", "a.b"),
        ("example.com", "example.com", "@"),
        ("*.example.com", "example.com", "*"),
        ("*.preview.example.com", "example.com", "*.preview"),
    ],
)
def test_a_name_is_relative_to_its_zone(host: str, zone: str, name: str) -> None:
    assert relative_name(host, zone) == name


@pytest.mark.parametrize("host", ["shop.example.net", "notexample.com", "com", "", ".example.com"])
def test_a_host_outside_the_zone_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match=r"not in zone 'example\.com'"):
        relative_name(host, "example.com")


def test_a_zone_without_a_name_holds_nothing() -> None:
    with pytest.raises(ValidationError):
        relative_name("shop.example.com", "")


def test_a_record_goes_back_as_it_came_without_type_and_name() -> None:
    content = {"data": "sip.example.net", "ttl": 600, "priority": 0, "weight": 5, "port": 5060, "service": "_sip"}
    more = {"protocol": "_tcp", "note": {"a": [1, None]}}
    assert record_of({"type": "SRV", "name": "@", **content, **more}).body() == {**content, **more}


def test_a_record_without_type_and_name_takes_those_of_the_question() -> None:
    assert record_of({"data": "192.0.2.1", "ttl": 600}, type="A", name="shop") == Record("A", "shop", "192.0.2.1", 600)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "not an object"),
        ({"type": "A", "name": "x", "ttl": 600}, "'data'"),
        ({"type": "A", "name": "x", "data": 5, "ttl": 600}, "'data'"),
        ({"type": "A", "name": "x", "data": "y"}, "'ttl'"),
        ({"type": "A", "name": "x", "data": "y", "ttl": "600"}, "'ttl'"),
        ({"type": "A", "name": "x", "data": "y", "ttl": True}, "'ttl'"),
        ({"type": "MX", "name": "x", "data": "y", "ttl": 600, "priority": "1"}, "'priority'"),
        ({"type": "SRV", "name": "x", "data": "y", "ttl": 600, "service": 1}, "'service'"),
    ],
)
def test_a_value_that_is_no_record_is_named(value: object, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        record_of(value)


def test_a_zone_knows_its_records_by_full_names_in_its_order() -> None:
    names = ["shop", "SHOP", "@", "*", "*.Preview", "shop.preview", "shop"]
    records = tuple(Record("A", name, f"192.0.2.{number}", 600) for number, name in enumerate(names))
    zone = ZoneRecords("Example.com.", records)
    assert (tuple(zone), len(zone)) == (records, len(names))
    assert records[1] in zone
    wanted = {
        "Shop.example.com.": [0, 1, 6],
        "EXAMPLE.com": [2],
        "*.example.com": [3],
        "*.preview.example.com": [4],
        "shop.preview.example.com": [5],
        "blog.example.com": [],
        "shop": [],
        "@": [],
        "shop.example.net": [],
    }
    for full, numbers in wanted.items():
        assert list(zone.at(full)) == [records[number] for number in numbers], full
