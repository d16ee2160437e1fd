"""The AsyncAPI 3 document of the messages. Their JSON Schemas stand beside it, in `schemas/`."""

from __future__ import annotations

from typing import Any

from .messages import EventType

_INBOUND = {
    EventType.DEVOPS_INITIALIZE: ("devops.initialize", "Sets a project up, or changes it."),
    EventType.DEVOPS_RECONCILE: ("devops.reconcile", "Deploys a project, or acts on a deployment."),
}
_HEARTBEAT_KEY = "{project}.{deployment}"


def _exchange(name: str) -> dict[str, Any]:
    exchange = {"name": name, "type": "topic", "durable": True}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}}


def _message(event_type: EventType, summary: str) -> dict[str, Any]:
    return {
        "name": event_type.value,
        "summary": summary,
        "contentType": "application/json",
        "bindings": {"amqp": {"contentEncoding": "utf-8", "messageType": event_type.value, "bindingVersion": "0.3.0"}},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./schemas/{event_type.value}.json"},
        },
    }


def _operation(event_type: EventType, action: str) -> dict[str, Any]:
    channel = f"#/channels/{event_type.value}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{event_type.value}"}],
    }


def asyncapi() -> dict[str, Any]:
    """The document, from the operator's side: it receives two messages and sends one. Exchanges have default names."""
    channels: dict[str, Any] = {
        event_type.value: {
            "address": address,
            "messages": {event_type.value: _message(event_type, summary)},
            "bindings": _exchange("devops"),
        }
        for event_type, (address, summary) in _INBOUND.items()
    }
    heartbeat = EventType.DEVOPS_RECONCILE_HEARTBEAT
    channels[heartbeat.value] = {
        "address": _HEARTBEAT_KEY,
        "parameters": {
            "project": {"description": "Name of the DevOpsProject."},
            "deployment": {"description": "Name of the DeploymentRecord."},
        },
        "messages": {heartbeat.value: _message(heartbeat, "One change, or one tick, of a deployment.")},
        "bindings": _exchange("devops.heartbeat"),
    }
    operations = {event_type.value: _operation(event_type, "receive") for event_type in _INBOUND}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "freeleaps-devops-reconciler",
            "version": "1.0.0",
            "description": "Persistent messages with `message_id`, `type` and `timestamp`, published with confirms.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {**operations, heartbeat.value: _operation(heartbeat, "send")},
    }
