"""The address of an environment, proven from outside: every nameserver gives the record, HTTP answers."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from ..engine.resource import Intent, Observation
from .polling import pause
from .world import ExternalResource, World


class PublishedName(ExternalResource):
    """The record as all nameservers of the zone give it."""

    service: ClassVar[str] = "dns"
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    zone: str
    host: str
    type: str
    data: str
    waited: timedelta = Field(default=timedelta(0), exclude=True)
    """For how long it has been looked for: the longer, the rarer the next look."""

    @property
    def key(self) -> str:
        return f"{self.type} {self.host}"

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        shown = await world.nameservers.shows(self.zone, self.host, self.type, [self.data])
        if not shown.ok:
            after = pause(self.waited, world.settings.dns_poll_interval)
            return Observation(exists=True, ready=False, message=shown.detail, after=after)
        return Observation(exists=True, facts={"record": f"{self.type} {self.host}"})


class Address(ExternalResource):
    """`http(s)://<host><path>`, through the ingress at the record's target."""

    service: ClassVar[str] = "address"
    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    host: str
    target: str
    path: str | None = None
    """None: HTTP is not asked."""
    tls: bool
    waited: timedelta = Field(default=timedelta(0), exclude=True)

    @property
    def key(self) -> str:
        return self.url

    @property
    def url(self) -> str:
        """What people open."""
        return address_of(self.host, tls=self.tls)

    async def observe(self, world: World, me: str, intent: Intent | None) -> Observation:
        if self.path is not None:
            settings = world.settings
            port = settings.ingress_https_port if self.tls else settings.ingress_http_port
            result = await world.prober.get(self.target, port, self.host, self.path, tls=self.tls)
            if not result.ok:
                after = pause(self.waited, timedelta(seconds=5))
                return Observation(exists=True, ready=False, message=result.detail, after=after)
        return Observation(exists=True, url=self.url, facts={"url": self.url})


def address_of(host: str, *, tls: bool) -> str:
    """The address of a host; a wildcard host is shown as it is."""
    return f"{'https' if tls else 'http'}://{host}/"
