"""`devops-reconciler drain`: takes the operator off a cluster, so that nothing waits for it any more."""

from __future__ import annotations

import asyncio
import secrets as random_names
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from ..api.plain_text import plain
from ..host.departure import delete_all, require_operator
from ..host.drain import DRAINS, Held, acting_alone, held_objects, release_all, replicas, require_its_lease
from ..host.lease import NAME
from ..runtime.clock import SystemClock
from ..runtime.logs import Redactor, configure
from ..runtime.settings import load_group
from ..runtime.settings_variables import OperatorVariables
from ..services.kubernetes import Kubernetes
from ..services.kubernetes_access import find_cluster, open_cluster
from .hiding import hider

Say = Callable[[str], None]

DONE, LEFT, REFUSED = 0, 1, 2
STEP_BACK_WITHIN = timedelta(seconds=60)
"""For the operator to end what it is at and to give the Lease up."""


def drain(environ: Mapping[str, str], *, delete: bool, yes: bool, within: timedelta) -> int:
    """0 when nothing of ours holds the cluster any more, 1 when something is left, 2 when nobody has said yes."""
    hide = hider(environ)
    configure("console", debug=False, hide=hide)
    settings, say = load_group(OperatorVariables, environ), speaker(hide)
    return asyncio.run(_drain(settings, say, delete=delete, yes=yes, within=within))


async def _drain(settings: OperatorVariables, say: Say, *, delete: bool, yes: bool, within: timedelta) -> int:
    clock = SystemClock()
    access = find_cluster(kubeconfig=settings.kubeconfig)
    async with open_cluster(access, clock, timeout=settings.request_timeout, agent="devops-reconciler/drain") as client:
        found = await held_objects(client, settings.reconciler_namespaces)
        if not found:
            say(f"There are no resources of ours in {', '.join(settings.reconciler_namespaces)}: nothing to do.")
            return DONE
        await require_its_lease(client, settings, clock)
        for line in plan(found, delete=delete):
            say(line)
        if not yes and not _confirmed(say):
            return REFUSED
        if delete:
            return await _delete(client, settings, clock, within, say)
        return await _release(client, settings, clock, say)


async def _delete(
    client: Kubernetes, settings: OperatorVariables, clock: SystemClock, within: timedelta, say: Say
) -> int:
    say(f"Looking whether an operator renews the Lease {settings.operator_namespace}/{NAME} …")
    await require_operator(client, settings, clock)
    left = await delete_all(client, settings.reconciler_namespaces, clock, within, say)
    for held in left:
        say(f"{held.who} is left: {held.said}")
    if left:
        say(f"{len(left)} resources are left after {within.total_seconds():g} s; mend what blocks, then drain again.")
        return LEFT
    say("All resources are deleted, with what they had outside. Now stop the operator.")
    return DONE


async def _release(client: Kubernetes, settings: OperatorVariables, clock: SystemClock, say: Say) -> int:
    me = f"{DRAINS}{socket.gethostname()}-{random_names.token_hex(3)}"
    say(f"Waiting for the Lease {settings.operator_namespace}/{NAME}, so that no replica of the operator acts …")
    async with acting_alone(client, settings, clock, me, STEP_BACK_WITHIN) as alone:
        released = await release_all(alone, settings.reconciler_namespaces, clock, say)
    say(f"{released} resources released. No finalizer of ours is left; what they have outside stays as it is.")
    running = await replicas(client, settings, clock)
    if running:
        names = ", ".join(each.identity for each in running)
        say(
            f"These replicas stand by for 24 h: {names}. Stop them now: they still take messages, and one "
            "that is started anew takes over and puts the finalizers back."
        )
    return DONE


def plan(found: Sequence[Held], *, delete: bool) -> Iterator[str]:
    """What would be done, a line per resource."""
    what = "would be deleted by the operator" if delete else "would be released; what they have outside keeps running"
    yield f"{len(found)} resources {what}:"
    for held in found:
        outside = ", ".join(held.outside) or "nothing"
        yield f"  {held.who}: {'removes, as its policies say' if delete else 'leaves outside'}: {outside}"


def _confirmed(say: Say) -> bool:
    if not sys.stdin.isatty():
        sys.stderr.write("Nothing was done. Without a terminal to ask at, --yes says that this is meant.\n")
        return False
    sys.stdout.write("Go on? Type yes: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip() == "yes":
        return True
    say("Nothing was done.")
    return False


def speaker(hide: Redactor) -> Say:
    """Prints a line at once, plain and without secrets: why a resource is left is what some service said."""

    def say(line: str) -> None:
        sys.stdout.write(f"{plain(hide(line))}\n")
        sys.stdout.flush()

    return say
