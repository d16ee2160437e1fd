"""The patch that sets fields of a status."""

from __future__ import annotations

from devops_reconciler.services.kubernetes_status import status_patch


def test_each_field_is_set_whole_at_the_version_that_was_read() -> None:
    assert status_patch({"url": "https://a", "applied": []}, "7") == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/status/url", "value": "https://a"},
        {"op": "add", "path": "/status/applied", "value": []},
    ]


def test_what_is_taken_away_need_not_be_there() -> None:
    assert status_patch({"url": None}, "7")[1:] == [
        {"op": "add", "path": "/status/url", "value": None},
        {"op": "remove", "path": "/status/url"},
    ]


def test_nulls_inside_vanish_as_with_a_merge_patch() -> None:
    value = {"a": None, "b": [None, {"c": None, "d": 0}], "e": {"f": None}}
    (_, step) = status_patch({"file": value}, "7")
    assert step["value"] == {"b": [None, {"d": 0}], "e": {}}
