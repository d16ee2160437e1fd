"""Every state that an object, its services and two operators can come to, with the real engine in the operators.

From each state everything that may happen next is tried: an operator goes on by one request, begins a pass, dies; a
request fails before or after its effect, or its reply comes late; a read shows what was so a moment ago; time passes;
a user edits or deletes; somebody else changes things by hand. States are told apart by all that matters later, so each
is visited once. From each of them the rest of the way without trouble must lead to where nothing is left to do.
"""

from __future__ import annotations

from collections import deque

from .model_state import Exploration, Scenario, State, System
from .model_steps import Model
from .model_world import Breach


def explore(scenario: Scenario, limit: int | None = None) -> Exploration:
    """Visit every state of the scenario, or the first `limit` of them. Raises Breach with the way that leads there."""
    model = Model(scenario)
    first = model.first()
    came: dict[State, tuple[State | None, str]] = {first: (None, "")}
    systems: set[System] = {first[0]}
    good: set[System] = set()
    ahead = deque([first])
    while ahead and (limit is None or len(systems) < limit):
        state = ahead.popleft()
        try:
            _assert_comes_to_rest(model, state[0], good)
            for what, after in model.successors(state):
                if after not in came:
                    came[after] = (state, what)
                    systems.add(after[0])
                    ahead.append(after)
        except AssertionError as error:
            raise Breach(f"{scenario.name}: {error}\n{_way(came, state)}") from error
    return Exploration(len(systems), len(model.passes.nodes), complete=not ahead)


def _assert_comes_to_rest(model: Model, system: System, good: set[System]) -> None:
    """Without further trouble, it ends where no action is left."""
    way: dict[System, None] = {}
    while system not in good:
        if system in way:
            raise Breach("it goes round in circles, and never comes to rest")
        way[system] = None
        after = model.onward(system)
        if after == system:
            model.assert_rest(system)
            break
        system = after
    good.update(way)


def _way(came: dict[State, tuple[State | None, str]], state: State) -> str:
    lines: list[str] = []
    at: State | None = state
    while at is not None:
        at, what = came[at]
        lines.append(what)
    return "\n".join(reversed([line for line in lines if line]))
