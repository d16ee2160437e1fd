"""Records of somebody else at our names: GoDaddy is written by whole sets, so each write of ours writes theirs too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from testbed.stage import ZONE

from .effects import FOREIGN
from .faults import FAILURES, fail_at
from .plans import Happened, Plan, crash_plans
from .project import Project
from .scenario import Reference

PERTURBATION = "foreign DNS values at our names"


def neighbour_plans(reference: Reference) -> Iterator[Plan]:
    """Every kill and every failure at each write to GoDaddy, with foreign values at the same names."""
    if reference.scenario.phase not in ("set-up", "deletion"):
        return
    # With others in the set, ours is taken out of it by writing the rest.
    writes = [replace(each, method="PUT") for each in reference.asked if each.service == "godaddy" and each.is_write]
    for plan in crash_plans(replace(reference, asked=writes)):
        yield _beside_others(plan)
    for call in writes:
        for failure in FAILURES:
            plan = Plan(reference.scenario, failure.name, str(call), fail_at(call, failure), call)
            yield _beside_others(plan)


def _beside_others(plan: Plan) -> Plan:
    return replace(
        plan,
        perturbation=PERTURBATION,
        at=f"{plan.perturbation}, {plan.at}",
        arm=_arm(plan.arm),
        check=_unharmed,
    )


def _arm(arm: Callable[[Project], Happened]) -> Callable[[Project], Happened]:
    def armed(project: Project) -> Happened:
        project.foreign = _names(project)
        for kind, name in project.foreign:
            data, ttl = FOREIGN[kind]
            project.stage.godaddy.zone(ZONE).add(kind, name, data, ttl)
        return arm(project)

    return armed


def _unharmed(project: Project) -> list[str]:
    zone, faults = project.stage.godaddy.zone(ZONE), []
    for kind, name in project.foreign:
        data, ttl = FOREIGN[kind]
        if {"type": kind, "name": name, "data": data, "ttl": ttl} not in zone.find(kind, name):
            faults.append(f"the foreign {kind} of {name} is now {zone.find(kind, name)}")
    return faults


def _names(project: Project) -> list[tuple[str, str]]:
    """A foreign A before we come is a conflict (a trial of its own); so it comes only when ours is there."""
    mark = [("TXT", f"a-{project.name}")]
    ours = project.stage.godaddy.zone(ZONE).find("A", project.name)
    return [("A", project.name), *mark] if ours else mark
