"""How often each thing was made and removed: what two runs must have in common besides their end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from standins.controls import Call, Controls
from standins.godaddy import GoDaddyStandin
from standins.jenkins import JenkinsStandin
from testbed.api_proxy import ApiProxy, ApiWrite, plural_of
from testbed.stage import ZONE, Stage
from testbed.stage_inventory import Thing, in_argocd, in_dockerhub, in_jenkins, mark_in

from .names import common
from .writes import OWN_BOOKKEEPING

FOREIGN = {"A": ("198.51.100.7", 7200), "TXT": ("v=spf1 include:others.example.net -all", 3600)}
"""Data and TTL of records that somebody else has at our names: never to be touched, and not compared."""
Look = Callable[[], list[Thing]]


@dataclass(frozen=True, order=True)
class Effect:
    """Something was made, or is gone."""

    verb: str
    service: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.service} {self.kind} {self.name} {self.verb}"


class Effects:
    """Looks into each stand-in after each write, and counts the writes that the API server carried out."""

    def __init__(self, stage: Stage, proxy: ApiProxy) -> None:
        self.all: Counter[Effect] = Counter()
        self._proxy = proxy
        hub = stage.hub
        self._looks: list[tuple[tuple[Controls, ...], Look]] = [
            ((stage.jenkins.controls,), lambda: [*in_jenkins(stage.jenkins), *builds_in(stage.jenkins)]),
            ((stage.argocd.controls,), lambda: in_argocd(stage.argocd)),
            ((hub.controls, hub.registry.controls), lambda: in_dockerhub(hub)),
            ((stage.godaddy.controls,), lambda: records_in(stage.godaddy)),
        ]
        self._known: dict[int, Counter[Thing]] = {}

    def listen(self) -> None:
        """Begin."""
        for number, (watched, look) in enumerate(self._looks):
            self._known[number] = Counter(look())
            for controls in watched:
                controls.observers.append(self._observer(number, look))
        self._proxy.written.append(self._written)

    def look(self) -> None:
        """Notice what has come and gone by itself since the last write."""
        for number, (_, look) in enumerate(self._looks):
            self._compare(number, look)

    def of(self, project: str) -> Counter[Effect]:
        """The effects on what bears the name, in words that are the same in each run."""
        self.look()
        found: Counter[Effect] = Counter()
        for effect, times in self.all.items():
            if project in effect.name:
                found[Effect(effect.verb, effect.service, effect.kind, common(effect.name, project))] += times
        return found

    def _observer(self, number: int, look: Look) -> Callable[[Call], None]:
        def observe(call: Call) -> None:
            if call.method != "GET":
                self._compare(number, look)

        return observe

    def _compare(self, number: int, look: Look) -> None:
        now, before = Counter(look()), self._known[number]
        for verb, things in (("made", now - before), ("gone", before - now)):
            for thing, times in things.items():
                self.all[Effect(verb, thing.service, thing.kind, thing.name)] += times
        self._known[number] = now

    def _written(self, write: ApiWrite) -> None:
        plural = plural_of(write.path)
        if plural in OWN_BOOKKEEPING:
            return
        if write.method == "DELETE" and write.status < 300:
            self.all[Effect("gone", "kubernetes", plural, write.path)] += 1
        elif write.status == 201:
            name = write.path
            if write.method == "POST":
                name = f"{write.path}/{json.loads(write.body)['metadata'].get('name', '')}"
            self.all[Effect("made", "kubernetes", plural, name)] += 1


def records_in(godaddy: GoDaddyStandin) -> list[Thing]:
    """All records but the zone's own and foreign ones."""
    foreign = {data for data, _ in FOREIGN.values()}
    return [
        Thing("godaddy", record["type"], f"{record['name']}.{ZONE}", mark_in(record["data"]))
        for record in godaddy.zone(ZONE).records
        if record["type"] != "NS" and record["data"] not in foreign
    ]


def builds_in(jenkins: JenkinsStandin) -> list[Thing]:
    """All builds of all jobs, by the deployment that each belongs to."""
    return [
        Thing("jenkins", "build", f"{'/'.join(at)}#{build.parameters.get('DEPLOYMENT_UID')}")
        for at in jenkins.items
        for build in jenkins.builds_of(at)
    ]
