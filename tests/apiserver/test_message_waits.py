"""Messages that wait for their project, on the real broker: those of other projects are taken meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from devops_reconciler.messages import listener
from devops_reconciler.messages.publish import initialize_message, reconcile_message
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD, DEVOPS_PROJECT
from testbed.kubernetes import ControlPlane
from testbed.rabbitmq import RabbitMQ
from testbed.waiting import eventually

from .message_office import Office, deploy, open_office

SPEC: dict[str, Any] = {
    "git": {"url": "https://git.example.com/shop.git"},
    "ingress": {"host": "shop.example.com"},
}
PREFETCH = 4


@pytest.fixture
async def office(control_plane: ControlPlane, rabbitmq: RabbitMQ, namespace: str) -> AsyncIterator[Office]:
    """Its listener takes few messages ahead, and the project `shop` is being deleted: its finalizer holds it."""
    async with open_office(control_plane, rabbitmq, namespace) as opened:
        opened.settings = opened.settings.model_copy(update={"rabbitmq_prefetch": PREFETCH})
        opened.replace_listener()
        await opened.start_listener()
        await opened.send(initialize_message("shop", SPEC))
        await opened.settled(1)
        assert await opened.kubernetes.delete(DEVOPS_PROJECT, namespace, "shop")
        yield opened


async def release(office: Office) -> None:
    await office.kubernetes.merge_patch(DEVOPS_PROJECT, office.namespace, "shop", {"metadata": {"finalizers": None}})


async def test_a_project_that_is_being_deleted_holds_up_no_other_however_many_messages_it_has(office: Office) -> None:
    await office.send(initialize_message("shop", SPEC))
    behind = [await office.send(deploy(environment=f"pr-{number}")) for number in range(5 * PREFETCH)]
    others = [await office.send(reconcile_message(f"p-{number}", "deploy")) for number in range(3 * PREFETCH)]
    for number, event_id in enumerate(others):
        await office.record(event_id, f"p-{number}")
    assert await office.listener.check() == (
        f"takes messages from {office.settings.rabbitmq_queue}; waiting: {1 + len(behind)}, "
        f"as DevOpsProject {office.namespace}/shop is being deleted; the message waits until it is gone"
    )
    await release(office)
    outcomes = await office.settled(2 + len(others) + len(behind))
    assert outcomes[1 + len(others) :] == ["applied", *["created"] * len(behind)]
    await office.waiting(office.settings.rabbitmq_queue, 0)
    assert len(await office.kubernetes.list(DEPLOYMENT_RECORD, office.namespace)) == len(others) + len(behind)


async def test_what_waits_is_bounded_and_consuming_goes_on_after_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "WINDOWS", 2)
    await office.send(initialize_message("shop", SPEC))
    for number in range(4 * PREFETCH):
        await office.send(deploy(environment=f"pr-{number}"))

    async def full() -> bool:
        return (await office.listener.check()).startswith("takes no more messages; waiting: ")

    await eventually(full, "so many wait that no more are taken")
    assert office.listener.ready
    # The canary would take it for silence, and have all that waits delivered again.
    assert not office.listener.takes
    assert await eventually(partial(office.count, office.settings.rabbitmq_queue), "the others stay") >= PREFETCH
    await release(office)
    await office.settled(2 + 4 * PREFETCH)
    await office.waiting(office.settings.rabbitmq_queue, 0)
    assert office.listener.takes
