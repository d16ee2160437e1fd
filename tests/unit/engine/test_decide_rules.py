"""The policy as rules, over whatever may be seen and known: the rules of docs/architecture.md by their numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.policies import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from devops_reconciler.engine.decide import (
    Create,
    Delete,
    Done,
    Memory,
    Released,
    Report,
    Tried,
    Update,
    Wait,
    decide,
    decide_removal,
)
from devops_reconciler.engine.resource import Observation

ZERO = timedelta(0)
TIMES = st.integers(0, 60).map(lambda seconds: timedelta(seconds=seconds))
OBSERVATIONS = st.builds(
    Observation,
    exists=st.booleans(),
    owner=st.sampled_from([None, "me", "other"]),
    drift=st.sampled_from([(), ("a",), ("a", "b")]),
    attested=st.booleans(),
    ready=st.booleans(),
    deleting=st.booleans(),
    failed=st.sampled_from([None, (Reason.BUILD_FAILED, "red")]),
    after=st.none() | TIMES,
)
POLICIES = st.builds(
    EffectivePolicy,
    management=st.frozensets(st.sampled_from(ManagementPolicy)),
    deletion=st.sampled_from(DeletionPolicy),
    adoption=st.sampled_from(Adoption),
    drift=st.sampled_from(DriftPolicy),
)
MEMORIES = st.builds(
    Memory,
    me=st.just("me"),
    settle=TIMES.filter(bool),
    arrival=TIMES,
    doubt=st.none() | TIMES,
    tried=st.none() | st.builds(Tried, st.sampled_from(["create", "update", "delete"]), TIMES, st.booleans()),
    changed=st.booleans(),
    blind=st.booleans(),
    once=st.booleans(),
    seen=st.booleans(),
    ended=st.booleans(),
    absent_for=st.none() | TIMES,
    owned_by_mark=st.booleans(),
    made_elsewhere=st.booleans(),
    coming=TIMES,
    repeatable=st.booleans(),
)
anything = given(seen=OBSERVATIONS, policy=POLICIES, memory=MEMORIES)
settings.register_profile("decide", max_examples=500, deadline=None, derandomize=True)
often = settings(settings.get_profile("decide"))


def ours(seen: Observation, memory: Memory) -> bool:
    return seen.owner == memory.me or not memory.owned_by_mark


def just_tried(memory: Memory, op: str) -> bool:
    tried = memory.tried
    return tried is not None and tried.op == op and tried.age < memory.settle


@often
@anything
def test_rule_3_what_was_asked_for_just_now_is_not_asked_for_again(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    action = decide(seen, policy, memory)
    assert not (isinstance(action, Create) and just_tried(memory, "create"))
    assert not (isinstance(action, Update) and just_tried(memory, "update"))
    assert not (isinstance(decide_removal(seen, policy, memory), Delete) and just_tried(memory, "delete"))


@often
@anything
def test_rule_3_what_is_made_once_is_not_made_a_second_time(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    known = replace(memory, once=True, seen=True, repeatable=False)
    assert not isinstance(decide(seen, policy, known), Create)
    assert not isinstance(decide(seen, policy, replace(memory, made_elsewhere=True)), Create)


@often
@anything
def test_rule_4_what_is_not_ours_is_changed_only_where_it_may_be_adopted_and_never_removed(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    if isinstance(decide(seen, policy, memory), Update) and not ours(seen, memory):
        assert policy.adoption is Adoption.ALWAYS or (policy.adoption is Adoption.IF_UNOWNED and seen.owner is None)
    if isinstance(decide_removal(seen, policy, memory), Delete):
        assert ours(seen, memory)


@often
@anything
def test_the_policies_bound_what_is_done(seen: Observation, policy: EffectivePolicy, memory: Memory) -> None:
    match decide(seen, policy, memory):
        case Create():
            assert ManagementPolicy.CREATE in policy.management
        case Update():
            assert ManagementPolicy.UPDATE in policy.management
    if isinstance(decide_removal(seen, policy, memory), Delete):
        assert ManagementPolicy.DELETE in policy.management
        assert policy.deletion is DeletionPolicy.DELETE


@often
@anything
def test_rule_9_only_an_absence_leads_to_a_creation_and_only_a_presence_to_a_change(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    action = decide(seen, policy, memory)
    assert not (isinstance(action, Create) and seen.exists)
    assert not (isinstance(action, Update | Done | Report) and not seen.exists)
    assert not (isinstance(decide_removal(seen, policy, memory), Delete) and not seen.exists)


@often
@anything
def test_what_is_done_is_ours_and_ready_and_has_not_failed(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    if isinstance(decide(seen, policy, memory), Done):
        assert ours(seen, memory)
        assert seen.ready
        assert seen.failed is None
        assert not seen.deleting
        assert not seen.drift or memory.once


@often
@anything
def test_rule_10_no_wait_of_our_own_outlasts_its_time(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    for judge in (decide, decide_removal):
        action = judge(seen, policy, memory)
        waits_for_others = seen.deleting or (seen.exists and not seen.ready) or memory.made_elsewhere or memory.coming
        if isinstance(action, Wait) and not waits_for_others:
            assert action.after is not None
            assert ZERO < action.after <= max(memory.settle, memory.arrival)
            tried, gone = memory.tried, memory.absent_for
            later = replace(
                memory,
                tried=tried and replace(tried, age=tried.age + action.after),
                absent_for=(gone or ZERO) + action.after,
                doubt=None if memory.doubt is None else memory.doubt + action.after,
            )
            assert not isinstance(judge(seen, policy, later), Wait), "one wait after another"


@often
@anything
def test_what_is_released_is_gone_or_says_why_it_stays(
    seen: Observation, policy: EffectivePolicy, memory: Memory
) -> None:
    action = decide_removal(seen, policy, memory)
    if isinstance(action, Released):
        assert bool(action.left) == seen.exists
