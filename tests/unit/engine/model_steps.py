"""From state to state: what each operator, each service, each user and time itself can do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from devops_reconciler.engine.ledger import Ledger

from .model_pass import START, TICK, Answer, Loaded, Node, Passes, aged
from .model_state import IDLE, LONGEST, Left, Numbers, Operator, Scenario, State, System
from .model_world import Breach, Cell, Request, World, a_tick_later, shown_stages, value, views, written


@dataclass
class Model:
    """The steps from state to state of one scenario."""

    scenario: Scenario
    passes: Passes = field(init=False)
    stored: Numbers = field(default_factory=Numbers)
    worlds: Numbers = field(default_factory=Numbers)
    answers: Numbers = field(default_factory=Numbers)
    wrote: Request | None = None
    """The last write of the last whole pass without trouble."""

    def __post_init__(self) -> None:
        self.passes = Passes(self.scenario.steps, self.scenario.specs)
        self._older: dict[int, int] = {}
        self._later: dict[int, int] = {}
        self._shown: dict[tuple[int, Request], list[tuple[Any, int]]] = {}
        self._effects: dict[tuple[int, Request], tuple[int, str | None]] = {}

    def first(self) -> State:
        world: World = {key: Cell(there) for key, there in self.scenario.foreign}
        system = System(self.stored.of(Loaded("[]", 0, False)), self._freeze(world), (IDLE,) * self.scenario.operators)
        edits = len(self.scenario.specs) - 1
        return system, Left(self.scenario.troubles, edits, 1, 1 if self.scenario.hands else 0)

    # What may happen

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        system, left = state
        for index, operator in enumerate(system.operators):
            if operator.node == 0:
                if system.stored and not (index and system.operators[index - 1].node == 0):
                    yield "begins a pass", (self.begun(system, index), left)
                continue
            for what, after in self.calm(system, index):
                yield what, (after, left)
            if left.troubles:
                less = left._replace(troubles=left.troubles - 1)
                for what, after in self.troubled(system, index):
                    yield what, (after, less)
        if all(self._may_wait(operator) for operator in system.operators):
            yield "a tick", (self.ticked(system), left)
        yield from self._people(system, left)

    def begun(self, system: System, index: int) -> System:
        node = self.passes.begin(self.stored.values[system.stored])
        return self._with(system, index, IDLE if node.request is None else Operator(node.number))

    def calm(self, system: System, index: int) -> Iterator[tuple[str, System]]:
        """The request is answered; a read perhaps with what was so a moment ago."""
        operator, _, request = self._at(system, index)
        if operator.late:
            answer: Answer = self.answers.values[operator.late]
            yield f"late reply to {request}", self._go_on(system, index, answer)
            return
        if request.writes:
            after, error = self._effect(system, index, request)
            yield f"{request}: {error or 'done'}", self._go_on(after, index, Answer(error=error))
            return
        for view, world in self._views(system, request):
            after = system._replace(world=world)
            yield f"{request}: {view}", self._go_on(after, index, Answer(view))

    def troubled(self, system: System, index: int) -> Iterator[tuple[str, System]]:
        operator, _, request = self._at(system, index)
        yield f"dies before {request}", self._with(system, index, IDLE)
        if operator.late:
            return
        lost = Answer(error="lost")
        yield f"{request}: fails", self._go_on(system, index, lost)
        if not request.writes:
            view, world = self._views(system, request)[0]
            late = self.answers.of(Answer(view))
            after = system._replace(world=world)
            yield f"{request}: read, reply late", self._with(after, index, operator._replace(late=late))
            return
        yield f"{request}: surely nothing", self._go_on(system, index, Answer(error="surely nothing"))
        after, error = self._effect(system, index, request)
        yield f"{request}: done, no reply", self._go_on(after, index, lost)
        late = self.answers.of(lost if error is None else Answer(error=error))
        here = after.operators[index]
        yield f"{request}: done, no reply for long", self._with(after, index, here._replace(late=late))

    def ticked(self, system: System) -> System:
        if system.world not in self._later:
            world = a_tick_later(dict(self.worlds.values[system.world]), gap=self.scenario.gap)
            self._later[system.world] = self._freeze(world)
        operators = tuple(o if o.node == 0 else o._replace(waited=o.waited + 1) for o in system.operators)
        return System(self._aged(system.stored, 1), self._later[system.world], _sorted(operators))

    def _people(self, system: System, left: Left) -> Iterator[tuple[str, State]]:
        loaded: Loaded | None = self.stored.values[system.stored]
        if loaded is not None and not loaded.deleting:
            if left.edits:
                edited = self._changed(system, loaded._replace(spec=loaded.spec + 1))
                yield "the user edits", (edited, left._replace(edits=left.edits - 1))
            if left.deletions:
                deleted = self._changed(system, loaded._replace(deleting=True))
                yield "the user deletes", (deleted, left._replace(deletions=0, edits=0))
        if left.hands:
            for name, hand in self.scenario.hands:
                world = hand(dict(self.worlds.values[system.world]))
                if world is not None:
                    yield name, (system._replace(world=self._freeze(world)), left._replace(hands=left.hands - 1))

    # Parts of the steps

    def _may_wait(self, operator: Operator) -> bool:
        """Up to the time-out. A look that is slow on its way there is like one that is sent later."""
        if operator.node == 0 or operator.late:
            return operator.waited < LONGEST
        request = self.passes.nodes[operator.node - 1].request
        assert request is not None
        return (request.writes or request.verb == "fresh") and operator.waited < LONGEST

    def _at(self, system: System, index: int) -> tuple[Operator, Node, Request]:
        operator = system.operators[index]
        node = self.passes.nodes[operator.node - 1]
        assert node.request is not None
        return operator, node, node.request

    def _views(self, system: System, request: Request) -> list[tuple[Any, int]]:
        """What a read may answer, and the number of the world in which it did."""
        key = system.world, request
        if key not in self._shown:
            found = views(dict(self.worlds.values[system.world]), request)
            if request.service == "builds":
                found = [(shown_stages(stages), world) for stages, world in found]
            self._shown[key] = [(view, self._freeze(world)) for view, world in found]
        return self._shown[key]

    def _effect(self, system: System, index: int, request: Request) -> tuple[System, str | None]:
        if request.service == "api":
            return self._saved(system, index, request)
        key = system.world, request
        if key not in self._effects:
            world, error = written(dict(self.worlds.values[system.world]), request, lags=self.scenario.lags)
            self._assert_others_unhurt(world)
            self._effects[key] = self._freeze(world), error
        refused_twice = self.scenario.again and request.verb in ("create", "delete")
        for other in () if refused_twice else system.operators[:index] + system.operators[index + 1 :]:
            if other.node and not other.late and self.passes.nodes[other.node - 1].request == request:
                raise Breach(f"both operators are about to do the same: {request}")
        number, error = self._effects[key]
        return system._replace(world=number), error

    def _assert_others_unhurt(self, world: World) -> None:
        for key, there in self.scenario.foreign:
            now = value(world, key)
            if now != there and not (isinstance(there, tuple) and key[0] == "zone" and set(there) <= set(now)):
                raise Breach(f"{key} is not ours, and was {there}; now it is {now}")

    def _saved(self, system: System, index: int, request: Request) -> tuple[System, str | None]:
        operator, node, _ = self._at(system, index)
        if not operator.fresh or not system.stored:
            return system, "stale"
        if request.verb == "finish":
            return self._put(system, 0, index), None
        loaded: Loaded = self.stored.values[system.stored]
        applied = aged(request.argument, START + TICK * (node.elapsed + operator.waited))
        return self._put(system, self.stored.of(loaded._replace(applied=applied)), index), None

    def _put(self, system: System, stored: int, index: int | None) -> System:
        """Another version of the object: whoever has not written it has an old one."""
        operators = tuple(
            o if number == index or o.node == 0 else o._replace(fresh=False)
            for number, o in enumerate(system.operators)
        )
        return System(stored, system.world, operators)

    def _changed(self, system: System, loaded: Loaded) -> System:
        after = self._put(system, self.stored.of(loaded), None)
        return after._replace(operators=_sorted(after.operators))

    def _go_on(self, system: System, index: int, answer: Answer) -> System:
        operator, node, _ = self._at(system, index)
        after = self.passes.answered(node, Answer(answer.value, answer.error, operator.waited))
        there = IDLE if after.request is None else Operator(after.number, fresh=operator.fresh)
        return self._with(system, index, there)

    def _with(self, system: System, index: int, operator: Operator) -> System:
        operators = list(system.operators)
        operators[index] = operator
        return system._replace(operators=_sorted(tuple(operators)))

    def _aged(self, stored: int, ticks: int) -> int:
        if not stored:
            return 0
        if stored not in self._older:
            loaded: Loaded = self.stored.values[stored]
            self._older[stored] = self.stored.of(loaded._replace(applied=aged(loaded.applied, START + TICK * ticks)))
        return self._older[stored]

    def _freeze(self, world: World) -> int:
        empty = (Cell(None), Cell(()))
        return self.worlds.of(tuple(sorted(((k, c) for k, c in world.items() if c not in empty), key=lambda i: i[0])))

    # The way without trouble

    def onward(self, system: System) -> System:
        """What happens next when nothing goes wrong: passes go on to their end; then a new one, and a tick."""
        for index, operator in enumerate(system.operators):
            if operator.node:
                return next(self.calm(system, index))[1]
        return self.ticked(self._whole_pass(system)) if system.stored else system

    def _whole_pass(self, system: System) -> System:
        after, last = self.begun(system, 0), len(system.operators) - 1
        self.wrote = None
        while after.operators[last].node:  # the idle ones come first
            request = self._at(after, last)[2]
            self.wrote = request if request.writes else self.wrote
            after = next(self.calm(after, last))[1]
        return after

    def assert_rest(self, system: System) -> None:
        """Where nothing is left to do, all is as it should be."""
        world: World = dict(self.worlds.values[system.world])
        self._assert_others_unhurt(world)
        loaded: Loaded | None = self.stored.values[system.stored]
        if loaded is not None and self.wrote is not None:
            raise Breach(f"each pass writes the same again: {self.wrote}")
        if loaded is None:
            self.scenario.at_end(world, None, Ledger([]))
            return
        if loaded.deleting:
            raise Breach("the deletion never ends")
        self.scenario.at_end(world, self.scenario.specs[loaded.spec], Ledger.load(json.loads(loaded.applied)))


def _sorted(operators: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """It makes no difference which operator is which. Idle ones come first."""
    return tuple(sorted(operators))
