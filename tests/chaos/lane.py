"""One operator with a world of its own, on the common ground: it is killed and comes back, others beside it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import TracebackType

from standins.controls import Call, Controls
from testbed.api_proxy import ApiProxy
from testbed.stage import Ground, Stage
from testbed.stage_pace import Pace
from testbed.tcp_proxy import TcpProxy

from .effects import Effects
from .replica import Replica

BRISK = Pace(
    build_seconds=0.3,
    intervals={
        **Pace().intervals,
        "HEALTHY_STABLE_FOR": "300ms",
        "REQUEST_TIMEOUT": "5s",
        "RETRY_EXTERNAL_DELAY": "1s",
        "RETRY_UNEXPECTED_DELAY": "1s",
        "TTL_CHECK_INTERVAL": "1s",
        "BREAKER_TIMEOUT": "2s",
    },
)
"""Short times, so that a world is through its days in seconds. What a busy machine may need is not short."""
READ_AN_ANSWER = timedelta(milliseconds=20)
PATIENCE = timedelta(minutes=3)
"""How long anything may take before it counts as lost: a busy machine is no fault."""


class Lane:
    """A stage, the proxy before its API server, and replicas of the operator that come back when they were killed."""

    def __init__(
        self,
        ground: Ground,
        name: str,
        *,
        replicas: int = 1,
        pace: Pace = BRISK,
        variables: Mapping[str, str] | None = None,
        patience: timedelta = PATIENCE,
    ) -> None:
        """``variables`` are more of the operator's environment; see PATIENCE for ``patience``."""
        self.name = name
        self.patience = patience
        self.stage = Stage(replace(pace), ground=ground, lane=name)
        self.proxy = ApiProxy(ground.control_plane.server, ground.control_plane.authority)
        self.broker = TcpProxy(ground.broker.host, ground.broker.port)
        """Between the replicas and RabbitMQ; users have a way of their own."""
        self.effects = Effects(self.stage, self.proxy)
        self.replicas: list[Replica] = []
        self._number = replicas
        self._variables = dict(variables or {})

    @property
    def controls(self) -> dict[str, Controls]:
        """The controls of all services, by name."""
        stage = self.stage
        return {
            "jenkins": stage.jenkins.controls,
            "argocd": stage.argocd.controls,
            "dockerhub": stage.hub.controls,
            "godaddy": stage.godaddy.controls,
            "kubernetes": self.proxy.controls,
        }

    async def __aenter__(self) -> Lane:
        await self.stage.__aenter__()
        try:
            await self.proxy.__aenter__()
            await self.broker.__aenter__()
            self.effects.listen()
            for _ in range(self._number):
                await self._start_replica()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _start_replica(self) -> None:
        config = self.proxy.kubeconfig(self.stage.kubeconfig)
        way = {"KUBECONFIG": str(config), "RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(self.broker.port)}
        operator = await self.stage.start_operator(**{**way, **self._variables})
        log = self.stage.folder / f"operator-{len(self.stage.operators)}.log"
        self.replicas.append(Replica(operator, log))
        self.replicas[-1].revive()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for each in self.replicas:
            await each.end()
        await self.broker.__aexit__(kind, error, tb)
        await self.proxy.__aexit__(kind, error, tb)
        await self.stage.__aexit__(kind, error, tb)

    def caller(self, call: Call) -> Replica:
        """The replica that made this call: it says so in its User-Agent."""
        identity = call.headers.get("user-agent", "").partition("/")[2]
        named = (each for each in self.replicas if identity and each.is_called(identity))
        return next(named, self.replicas[-1])

    async def kill(self, call: Call) -> None:
        """``kill -9`` of the caller at this very moment."""
        self.caller(call).kill()

    async def kill_soon(self, call: Call) -> None:
        """As :meth:`kill`, when the operator has had time to read an answer."""
        await asyncio.sleep(READ_AN_ANSWER.total_seconds())
        self.caller(call).kill()

    async def alive(self) -> None:
        """Until all replicas run and are ready."""
        for each in self.replicas:
            await each.alive(self.patience)

    def logs(self, lines: int = 400) -> str:
        """The last words of all replicas."""
        return "\n".join(each.operator.logs(lines) for each in self.replicas)

    def calm(self) -> None:
        """No faults and no traps anywhere, and no reads that stand still."""
        for controls in self.controls.values():
            controls.clear()
        self.proxy.thaw()
        self.broker.resume()
        stage = self.stage
        stage.jenkins.lag = stage.argocd.state.lag = stage.hub.lag = timedelta(0)
        stage.godaddy.lag = 0.0
