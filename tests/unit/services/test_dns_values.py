"""How DNS values are compared."""

from __future__ import annotations

import pytest

from devops_reconciler.services.dns import normal


@pytest.mark.parametrize(
    ("rtype", "value", "form"),
    [
        ("A", " 203.0.113.7 ", "203.0.113.7"),
        ("A", "Parked", "Parked"),
        ("AAAA", "2001:DB8:0:0:0::1", "2001:db8::1"),
        ("cname", "LB.Example.NET.", "lb.example.net"),
        ("TXT", '"a" "b"', "ab"),
        ("TXT", '"\\"quoted\\""', "quoted"),
        ("TXT", '"open', "open"),
        ("TXT", "plain Text.", "plain Text."),
    ],
)
def test_a_value_has_one_form(rtype: str, value: str, form: str) -> None:
    assert normal(rtype, value) == form
