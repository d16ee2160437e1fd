"""RegistrySettings: the Docker Hub repository."""

from __future__ import annotations

from typing import Any

from ..api.base import effective
from ..api.policies import ComponentName
from ..api.registry_settings import RegistrySettingsSpec, RegistrySettingsStatus
from ..engine.outcome import Outcome
from ..engine.pipeline import Step
from ..inputs.blocks import image_repository
from ..inputs.plan import Plan
from ..inputs.subject import Subject, controller
from ..resources.hub_repository import HubRepository
from ..resources.world import World
from ..runtime.settings_services import DEFAULT_DOCKERHUB_ENDPOINT


async def plan(world: World, subject: Subject[RegistrySettingsSpec, RegistrySettingsStatus]) -> Plan:
    """Steps of one RegistrySettings."""
    spec = subject.spec
    image = image_repository(world.settings, subject.namespace, subject.name, spec.namespace, spec.repository)
    user = f"{subject.namespace}/{subject.name}" if controller(subject.obj) is not None else ""
    repository = HubRepository(namespace=image.namespace, repository=image.repository, private=spec.private, user=user)
    # Elsewhere, at a stand-in or behind a proxy of its API, nothing says where the page is.
    url = f"{DEFAULT_DOCKERHUB_ENDPOINT}/r/{repository.key}" if world.settings.hub_is_default else None
    policy = effective(spec, None, ComponentName.REGISTRY)

    def fields(outcome: Outcome) -> dict[str, Any]:
        return {"image": image.form, "url": url}

    return Plan((Step("repository", lambda facts: repository, policy),), fields)
