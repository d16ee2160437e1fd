"""`orphans`: a cluster that cannot be read is neither one without orphans nor one with some."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from devops_reconciler import cli
from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.kinds.orphans import Report
from tests.unit.world import settings

WHY = "Kubernetes: no answer within 10 s"


async def unread(*_: Any) -> Report:
    raise ExternalServiceError(WHY, service="kubernetes")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_cluster_that_cannot_be_read_ends_with_3(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = importlib.import_module("devops_reconciler.cli.orphans")  # the package's own attribute is a command
    monkeypatch.setattr(command, "_look", unread)
    monkeypatch.setattr(command, "configure", lambda *_, **__: None)
    monkeypatch.setattr(cli, "load", lambda _: settings())
    monkeypatch.setattr("sys.argv", ["devops-reconciler", "orphans", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (3, f"{WHY}\n")
    assert ([*json.loads(said.out)["failures"].values()] == [WHY]) if options else (said.out == "")
