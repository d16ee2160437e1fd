"""The words of the end-to-end tests, and those about the real Argo CD."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from testbed.argocd_settings import NAMESPACE as ARGOCD
from testbed.stage_operator import Operator
from testbed.stage_real import GROUP, RealStage
from testbed.waiting import eventually
from tests.e2e.kubectl import expect, shown
from tests.e2e.play import Play, Trigger, reason_of

SYNC_TIMEOUT = timedelta(seconds=60)
"""How long the operator lets a sync and the health after it take."""
DEADLINE = timedelta(seconds=180)
WAITING = "testbed/waiting"
"""The annotation of a pod that never runs (testbed/nodes.py)."""
Json = dict[str, Any]


class RealPlay(Play):
    """One project on the stage with the real Argo CD."""

    def __init__(self, stage: RealStage, operator: Operator, project: str) -> None:
        super().__init__(stage, operator, project)
        self.real = stage

    async def application(self, name: str | None = None) -> Json:
        """The application (default: production's) as the cluster has it."""
        found = await self.real.application(name or self.project)
        assert found is not None, f"there is no application {name or self.project}"
        return found

    async def patch_application(self, patch: Json, name: str | None = None) -> None:
        """By hand, in the cluster."""
        await self.stage.kube.patch(f"{GROUP}/namespaces/{ARGOCD}/applications/{name or self.project}", patch)

    async def images(self, namespace: str | None = None) -> list[str]:
        """The images that the Deployments of a namespace (default: production's) ask for."""
        path = f"/apis/apps/v1/namespaces/{namespace or self.project}/deployments"
        return [
            container["image"]
            for each in (await self.stage.kube.get(path))["items"]
            for container in each["spec"]["template"]["spec"]["containers"]
        ]

    async def fails(self, trigger: Trigger, reason: str) -> str:
        """Waits for the end, which is this failure, and reads as it is kept in tests/e2e/golden; what it says."""
        last = (await trigger.terminal(DEADLINE)).payload
        assert (last["result"], last["reason"]) == ("Failed", reason), last
        record = await self.record(last["deployment"])
        assert (reason_of(record, "Ready"), reason_of(record, "Stalled")) == (reason, reason)
        outcome = re.sub(r"(?=[A-Z])", "-", reason).lower()
        expect(f"deployment{outcome}", await shown(self, "dr", last["deployment"]))
        return str(last["message"])

    async def succeeds(self, trigger: Trigger) -> Json:
        """Waits for the end, which is a success; the record."""
        await trigger.terminal(DEADLINE)
        return await trigger.ended()

    async def operation_runs(self) -> None:
        """Waits until an operation of the application runs."""

        async def runs() -> bool:
            state = (await self.application()).get("status", {}).get("operationState") or {}
            return bool(state.get("phase") == "Running")

        await eventually(runs, "an operation runs", DEADLINE)
