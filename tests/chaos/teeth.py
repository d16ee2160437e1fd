"""Whether the stories can be lost at all: each is told once to an operator from which the mechanism was taken out."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from testbed.stage import Ground

from .kept import Kept
from .lane import Lane
from .sweep import names
from .trial import Trial, play
from .trials_herd import RETRY_AFTER

PACKAGE = "devops_reconciler"
IMPATIENCE = timedelta(seconds=60)
"""An operator without its mechanism may never end what it began."""


@dataclass(frozen=True)
class Removal:
    """``trial`` is the name of the trial that must notice; ``old`` occurs once in the file."""

    story: int
    mechanism: str
    file: str
    old: str
    new: str
    trial: str

    def __str__(self) -> str:
        return f"story {self.story}, without: {self.mechanism}"


REMOVALS = (
    Removal(
        1,
        "absent soon after a trigger means wait",
        "resources/jenkins_build.py",
        "return self.arrives_in(world)",
        "return timedelta(0)",
        "Jenkins shows a build 8 s late, and the operator is killed",
    ),
    Removal(
        2,
        "a Jenkins that cannot be asked is an error",
        "resources/jenkins_build.py",
        "        seen = await self._still(world, intent) or await self._search(world, intent)\n",
        "        try:\n            seen = await self._still(world, intent) or await self._search(world, intent)\n"
        "        except ExternalServiceError:\n            return ABSENT\n",
        "Jenkins is away during a build",
    ),
    Removal(
        3,
        "an application is deleted though its Argo CD project is gone",
        "resources/argo_application.py",
        "            if await world.argocd.project(self.project) is not None:\n                raise\n",
        "            raise\n",
        "deletion after the Argo CD project was removed by hand",
    ),
    Removal(
        4,
        "what is about to be made is saved before",
        "engine/window.py",
        "            intend()\n            await self._save()\n",
        "            intend()\n",
        "killed as it makes the image repository, and deleted meanwhile",
    ),
    Removal(
        5,
        "what does not bear our mark is not touched",
        "engine/decide.py",
        "return adoption is Adoption.ALWAYS",
        "return True or adoption is Adoption.ALWAYS",
        "somebody has an address at our name before we come",
    ),
    Removal(
        6,
        "what a list lacks is asked for by itself",
        "services/argocd.py",
        "return self._hiding(listed if listed is not None else await self._by_itself(url))",
        "return listed",
        "argocd answers every read with a list without items while all is removed",
    ),
    Removal(
        7,
        "healthy is what Argo CD has judged so after the sync",
        "resources/argo_sync.py",
        "        if trouble:\n",
        "        if False:\n",
        "health is shown 6 s late",
    ),
    Removal(
        8,
        "a wait has a deadline",
        "engine/pipeline.py",
        "if not waiting or deadline is None or spent is None or spent < deadline:",
        "if True:",
        "a build never ends",
    ),
    Removal(
        9,
        "an event gives its record the name",
        "messages/records.py",
        '"name": record_name(payload.project, message.event_id)',
        '"name": record_name(payload.project, __import__("uuid").uuid4().hex)',
        "one event comes four times, with a kill between",
    ),
    Removal(
        10,
        "a 429 stops everybody until its time",
        "services/budget.py",
        "pause = (after if after is not None else DEFAULT_PAUSE).total_seconds()",
        "pause = 0.0",
        f"GoDaddy says 429, to be asked again after {RETRY_AFTER} s",
    ),
)


@dataclass(frozen=True)
class Noticed:
    """What a trial said without the mechanism. ``faults`` empty: nothing, so it proves nothing."""

    removal: Removal
    faults: list[str]

    @property
    def survived(self) -> bool:
        """Whether the proof holds."""
        return bool(self.faults)


def without(removal: Removal, source: Path, target: Path) -> None:
    """Copy the package from one source folder to another, without the mechanism."""
    shutil.copytree(source / PACKAGE, target / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    file = target / PACKAGE / removal.file
    text = file.read_text()
    if text.count(removal.old) != 1:
        raise AssertionError(f"{removal.file} has the text of '{removal.mechanism}' {text.count(removal.old)} times")
    file.write_text(text.replace(removal.old, removal.new))


async def bite(
    ground: Ground,
    source: Path,
    trials: Sequence[Trial],
    removals: Sequence[Removal],
    tell: Callable[[Noticed], None],
    *,
    lanes: int,
    kept: Kept,
) -> list[Noticed]:
    """Play the trial of each removal without the mechanism, ``lanes`` side by side."""
    by_name = {trial.name: trial for trial in trials}
    noticed = [Noticed(removal, ["as before"]) for removal in removals if kept.reached(str(removal))]
    left = [(number, each) for number, each in enumerate(removals) if not kept.reached(str(each))]
    waiting = deque(reversed(left))  # the trial among many takes longest
    name = names("m")

    async def work() -> None:
        while waiting:
            number, removal = waiting.popleft()
            trial = by_name[removal.trial]
            with tempfile.TemporaryDirectory(prefix="devops-reconciler-without-") as folder:
                without(removal, source, Path(folder))
                variables = {**trial.variables, "PYTHONPATH": folder}
                async with AsyncExitStack() as stack:
                    lane = Lane(ground, f"m{number}", variables=variables, patience=IMPATIENCE)
                    await stack.enter_async_context(lane)
                    found = Noticed(removal, await play(lane, trial, name()))
            noticed.append(found)
            tell(found)
            if found.survived:
                kept.add(str(removal), reached=True)

    await asyncio.gather(*(work() for _ in range(lanes)))
    return noticed
