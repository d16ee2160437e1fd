"""What must hold after every disturbance, whatever it was."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.stage_heartbeats import Heartbeat, Heartbeats


def heartbeat_faults(heartbeats: Heartbeats, events: Sequence[str]) -> list[str]:
    """What is wrong with the heartbeats of these triggers: dropping repeats, no gap and one terminal message."""
    return [f"heartbeats of {event}: {fault}" for event in events for fault in _faults(heartbeats.of_event(event))]


def _faults(beats: Sequence[Heartbeat]) -> list[str]:
    faults: list[str] = []
    bodies: dict[str, bytes] = {}
    order: list[int] = []
    for beat in beats:
        known = bodies.setdefault(beat.message_id, beat.body)
        if known is not beat.body and known != beat.body:
            faults.append(f"{beat.message_id} came again with another body")
        if known is beat.body:
            order.append(beat.sequence)
    if order != list(range(1, len(order) + 1)):
        faults.append(f"the sequence is not gap-free from 1: {order}")
    terminals = {beat.message_id for beat in beats if beat.payload["terminal"]}
    if len(terminals) != 1:
        faults.append(f"{len(terminals)} terminal messages")
    return faults
