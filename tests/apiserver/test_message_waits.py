"""Messages that wait for their project, on the real broker: those of other projects are taken meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from devops_reconciler.messages import holding, listener
from devops_reconciler.messages.publish import initialize_message, reconcile_message
from devops_reconciler.runtime.manager import Backoff
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


WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


async def guard(control_plane: ControlPlane, namespace: str, project: str) -> str:
    """An admission webhook that nobody serves, for the records of one project; its name."""
    webhook = {
        "name": "policy.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [
            {
                "apiGroups": ["freeleaps.com"],
                "apiVersions": ["*"],
                "operations": ["CREATE"],
                "resources": ["deploymentrecords"],
            }
        ],
        "objectSelector": {"matchLabels": {"freeleaps.com/project": project}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [webhook],
    }
    await control_plane.apply([configuration])
    return namespace


async def test_a_project_whose_admission_webhook_is_down_holds_up_no_other(
    office: Office, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = timedelta(milliseconds=1)
    monkeypatch.setattr(holding, "PROBE", Backoff(first=at_once, longest=at_once))
    name = await guard(control_plane, office.namespace, "sick")
    try:
        sent = 0

        async def held() -> bool:
            nonlocal sent
            # The API server asks a new webhook a moment after it has been told of it.
            await office.send(reconcile_message("sick", "deploy"))
            sent += 1
            return "failed calling webhook" in await office.listener.check()

        await eventually(held, "a message cannot be written")
        events = [await office.send(reconcile_message(f"p-{number}", "deploy")) for number in range(3 * PREFETCH)]
        for number, event_id in enumerate(events):
            await office.record(event_id, f"p-{number}")

        async def goes_on() -> bool:
            said = await office.listener.check()
            return said.startswith("takes messages from") and "failed calling webhook" in said

        await eventually(goes_on, "others go on, and the check says what is waited for")
    finally:
        await control_plane.delete(f"{WEBHOOKS}/{name}")
    await office.settled(1 + sent + len(events))
    await office.waiting(office.settings.rabbitmq_queue, 0)
