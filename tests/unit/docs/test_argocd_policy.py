"""The rights at Argo CD that the docs tell to give: those of the tests at the real one, and those `doctor` asks for."""

from __future__ import annotations

import re
from pathlib import Path

from devops_reconciler.cli.doctor_vendors import ARGOCD_RIGHTS
from testbed.argocd_settings import OPERATOR, POLICY

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def test_the_documented_policy_is_the_tested_one() -> None:
    assert re.findall(r"^```csv\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL) == [POLICY]


def test_the_policy_has_each_right_that_is_asked_for_and_no_other() -> None:
    granted = re.findall(r"^p, role:devops-reconciler, (\w+), (\w+), (\S+), allow$", POLICY, re.MULTILINE)
    assert sorted(granted) == sorted(ARGOCD_RIGHTS)
    assert POLICY.splitlines()[-1] == f"g, {OPERATOR}, role:devops-reconciler"
    assert len(POLICY.splitlines()) == len(granted) + 1
