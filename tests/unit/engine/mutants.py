"""The engine with one thing wrong at a time. `mutation.py` tries each; something must notice."""

from __future__ import annotations

from .mutant import mutants_of
from .mutants_ledger import LEDGER

DECIDE = mutants_of(
    "decide",
    (
        "what is being deleted is used",
        '    if seen.deleting:\n        return Wait("it is',
        '    if False:\n        return Wait("it is',
    ),
    (
        "anybody's thing is ours",
        "    if memory.owned_by_mark and seen.owner != memory.me:\n        return _foreign",
        "    if False:\n        return _foreign",
    ),
    (
        "a failure by itself does not count",
        "    if seen.failed is not None:\n        return Fail",
        "    if False:\n        return Fail",
    ),
    ("what is under way is done", "    if not seen.ready:\n", "    if False:\n"),
    (
        "a value that cannot be read back is never new",
        "if memory.changed and memory.blind and not seen.attested else ()",
        "if False else ()",
    ),
    ("what another one has proven is written once more", " and not seen.attested else ()", " else ()"),
    (
        "what another one has proven hides drift",
        "    wanted = seen.drift or (",
        "    wanted = (not seen.attested and seen.drift) or (",
    ),
    (
        "a second one of ours stays",
        "if seen.surplus and ManagementPolicy.UPDATE in policy.management",
        "if False and ManagementPolicy.UPDATE in policy.management",
    ),
    (
        "a second one is removed against the policy",
        "if seen.surplus and ManagementPolicy.UPDATE in policy.management",
        "if seen.surplus",
    ),
    ("a once thing is repaired", "    if wanted and not memory.once:", "    if wanted:"),
    (
        "another value on its way is not watched",
        "and not tried.same and not memory.once and tried.age < memory.settle",
        "and not tried.same and not memory.once and False",
    ),
    (
        "absent soon after an attempt is made again",
        '    settling = _settling("create", memory)\n    if settling is not None:\n        return settling\n'
        "    if memory.once",
        "    if memory.once",
    ),
    (
        "what others make is made",
        "    if memory.made_elsewhere:\n        return Wait",
        "    if False:\n        return Wait",
    ),
    (
        "a build that has vanished is made again",
        "    if memory.once and memory.seen and not memory.repeatable:",
        "    if False:",
    ),
    ("a vanished build is never given up", "memory.absent_for is None or memory.absent_for < memory.settle", "True"),
    ("made though it may not be", "    if ManagementPolicy.CREATE not in policy.management:", "    if False:"),
    (
        "another's is adopted as if nobody's",
        "is Adoption.IF_UNOWNED and owner is None)",
        "is Adoption.IF_UNOWNED)",
    ),
    (
        "adopted though nothing may be changed",
        "    if may_adopt and ManagementPolicy.UPDATE in policy.management:",
        "    if may_adopt:",
    ),
    (
        "our mark that is about to show is taken for another's",
        '    settling = _settling("create", memory) or _settling("update", memory)\n'
        "    if settling is not None:\n        return settling\n    if seen.kept",
        "    if seen.kept",
    ),
    ("what no adoption takes is taken", "    if seen.kept:", "    if False:"),
    (
        "changed again before the change shows",
        '    settling = _settling("update", memory)\n    if settling is not None:\n        return settling\n',
        "",
    ),
    ("changed though it may not be", "    if ManagementPolicy.UPDATE not in policy.management:\n", "    if False:\n"),
    ("drift is repaired though it is only to be reported", "is DriftPolicy.REPORT and not memory.changed", "is None"),
    ("a new value is only reported", "is DriftPolicy.REPORT and not memory.changed", "is DriftPolicy.REPORT"),
    ("an attempt of another kind counts", "if tried is None or tried.op != op or", "if tried is None or"),
    ("an attempt counts for ever", "tried.op != op or tried.age >= window", "tried.op != op"),
    (
        "an absence is believed before an attempt can have arrived",
        "max(memory.settle, memory.arrival))",
        "memory.settle)",
    ),
    (
        "anybody's thing is removed",
        "    if memory.owned_by_mark and seen.owner != memory.me:\n        # Just",
        "    if False:\n        # Just",
    ),
    ("what is to stay is removed", "    if stays:\n        return Released(stays)\n", ""),
    (
        "deletionPolicy Orphan does not count",
        "    if policy.deletion is DeletionPolicy.ORPHAN:",
        "    if False:",
    ),
    ("removed though it may not be", "    if ManagementPolicy.DELETE not in policy.management:", "    if False:"),
    (
        "deleted again while it goes",
        "    if seen.deleting:\n        return Wait(seen.message or",
        "    if False:\n        return Wait(seen.message or",
    ),
    ("deleted again before it shows", 'return _settling("delete", memory) or Delete()', "return Delete()"),
    (
        "gone though it may be about to show",
        'None if memory.seen else _arriving("create", memory)',
        "None",
    ),
    (
        "gone though a first attempt may still arrive",
        "    if memory.doubt is not None and memory.doubt < memory.arrival:",
        "    if False:",
    ),
    ("gone though others have just made it", "    if memory.coming > timedelta(0):", "    if False:"),
    ("gone though it only hides", "    if may_show and not memory.ended and missing < grace:", "    if False:"),
    (
        "released though our mark may be about to show",
        'None if stays else _arriving("create", memory) or _arriving("update", memory)',
        "None",
    ),
)
PIPELINE = mutants_of(
    "pipeline",
    (
        "a thing is made before all that is known of it is saved",
        "                    await step.before()\n",
        "                    pass\n",
    ),
    (
        "what is so for now counts as proven",
        'entry.reached(seen, "" if seen.interim else digest, now)',
        "entry.reached(seen, digest, now)",
    ),
    ("an empty pipeline gives all up", "        if steps:  # no", "        if True:  # no"),
    (
        "the first of several intents is saved alone",
        "partial(self._intend, planned[index:])",
        "partial(self._intend, planned[:1])",
    ),
    (
        "the preimage is what a crash has left",
        "item.before.preimage if item.before is not None else item.seen.preimage",
        "item.seen.preimage",
    ),
    (
        "what was seen of the last one counts for the next",
        "                item.entry.seen, item.entry.absent_since = False, None\n",
        "                pass\n",
    ),
    (
        "a step does not wait for the one before",
        "            held = step.gate and not result.done and not writing\n",
        "            held = False\n",
    ),
    (
        "a step that is no gate holds up the rest",
        "            held = step.gate and not result.done and not writing\n",
        "            held = not result.done and not writing\n",
    ),
    (
        "a build that is done is looked at again",
        "            if resource.once and entry.state is EntryState.ACTIVE:",
        "            if False:",
    ),
    ("what is overdue is begun", "            planned.pop()  # what is given up is not begun", "            pass"),
    ("an answer tells of the time when it came", "self._me, looked.asked, decided,", "self._me, decided, decided,"),
    (
        "what comes by itself is not announced",
        "            if resource is not None:\n                _want(step, resource, ledger)\n",
        "",
    ),
    (
        "what the pipeline has no more is kept",
        "            ledger.follow([step.name for step in steps])\n",
        "            pass\n",
    ),
    (
        "what is wanted no more is kept",
        "                if entry is not None:\n                    ledger.retire(entry)\n",
        "",
    ),
    (
        "what was learned is not saved",
        "            learned = learned or (item.result.written and item.resource.blind and not creating)\n",
        "",
    ),
    ("what was corrected has no time of its own", "if step.anew and entry.value != value:", "if False:"),
    (
        "whatever is corrected gets more time",
        "if step.anew and entry.value != value:",
        "if entry.value != value:",
    ),
    ("what is not corrected gets more time", "if step.anew and entry.value != value:", "if step.anew:"),
    ("a deadline is no deadline", "spent is None or spent < deadline:", "True:"),
    (
        "an outage of the service leaves no more time",
        "step.outage is not None and isinstance(result.error, ExternalServiceError)",
        "False",
    ),
    ("the policy of removal is not kept", "    entry.policy = _policy_value(step.policy)\n", ""),
    (
        "what was not begun counts as tried",
        "item.gate and not item.result.written:\n                put_off(planned[index + 1 :])\n",
        "item.gate and not item.result.written:\n",
    ),
    (
        "what is no gate holds up the writes after it",
        "if item.gate and not item.result.written:",
        "if not item.result.written:",
    ),
    ("a failed gate holds up no write", "if item.gate and not item.result.written:", "if False:"),
)
WINDOW = mutants_of(
    "window",
    (
        "nothing is saved before the act",
        "            intend()\n            await self._save()\n",
        "            intend()\n",
    ),
    (
        "saved before the intent is in it",
        "            intend()\n            await self._save()\n",
        "            await self._save()\n            intend()\n",
    ),
    (
        "an old save counts as a new one",
        "self._since is not None and self._since.passed(self._clock) <= timedelta(seconds=ACT_WITHIN)",
        "self._since is not None",
    ),
    (
        "a slow save counts from its end",
        "            self._since = Instant.of(self._clock)\n            intend()\n            await self._save()\n",
        "            intend()\n            await self._save()\n            self._since = Instant.of(self._clock)\n",
    ),
    ("acts though saving is too slow", "            raise SavesTooSlow\n", "            return\n"),
)
MEMORY = mutants_of(
    "memory",
    ("what was as it had to be is left for good", " or entry.state is EntryState.ACTIVE", ""),
    (
        "a value of before passes for applied",
        '            applied = ""  # perhaps written, perhaps not',
        "            pass",
    ),
    (
        "each look begins the absence anew",
        "and entry.absent_since is None:\n        entry.absent_since = now",
        "and True:\n        entry.absent_since = now",
    ),
    (
        "the clock of another replica that is behind counts",
        "else min(max(timedelta(0), asked.wall - written), most)",
        "else max(timedelta(0), asked.wall - written)",
    ),
    (
        "the clock of another replica that is ahead counts",
        "return most if written > max(now.wall, before) else",
        "return",
    ),
    ("what our clock wrote before it was set back is another's", "max(now.wall, before)", "now.wall"),
    ("what is noted while an answer is under way is another's", "max(now.wall, before)", "asked.wall"),
    ("others have acted until now", "asked.monotonic - acting.monotonic", "now.monotonic - acting.monotonic"),
    ("an attempt is as old as its clock says", "since(intent.at)", "age(intent.at, asked.wall)"),
    ("a doubt is as old as its clock says", "since(entry.doubted_at)", "age(entry.doubted_at, asked.wall)"),
    ("an absence is as old as its clock says", "since(entry.absent_since)", "age(entry.absent_since, asked.wall)"),
)
OUTCOME = mutants_of(
    "outcome",
    (
        "a mistake of ours ends in a failure for good",
        "self.state, self.reason = StepState.WAITING, Reason.INTERNAL",
        "self.state, self.reason = StepState.FAILED, Reason.INTERNAL",
    ),
)
LIFECYCLE = mutants_of(
    "lifecycle",
    (
        "a write without reply is no attempt",
        "    if not maybe_applied(error) and (entry.intent is None or entry.intent.preimage is None):",
        "    if entry.intent is None or entry.intent.preimage is None:",
    ),
    (
        "a refused write is waited for",
        "    if not maybe_applied(error) and (entry.intent is None or entry.intent.preimage is None):",
        "    if False:",
    ),
    ("a refusal forgets the preimage", "and (entry.intent is None or entry.intent.preimage is None):", "and True:"),
    (
        "a written value that cannot be read is not remembered",
        "            attempt.entry.digest = attempt.resource.digest()\n",
        "            pass\n",
    ),
    (
        "what cannot be read is absent",
        "            _fail(removal.entry, removal.result, error)\n            return False\n",
        "            seen = Observation()\n",
    ),
    (
        "deleted without a save",
        "                await window.open(partial(self._intend, due[index:]))\n",
        "                pass\n",
    ),
    (
        "deleted and believed gone",
        "        self._settle(removal, again, asked, ledger)\n",
        "        entry.state, entry.intent = EntryState.CLEANED, None\n",
    ),
    (
        "what goes slowly holds up nothing",
        "                put_off(due[index + 1 :])\n                return\n",
        "                continue\n",
    ),
    (
        "what is on its way out holds up nothing",
        "            held = held or (result.state is StepState.RUNNING and not (due and due[-1] is removal))\n",
        "",
    ),
    (
        "one that cannot be deleted holds up the others",
        "                entry.intent = removal.before\n            return True\n",
        "                entry.intent = removal.before\n            return False\n",
    ),
    (
        "a refused deletion is waited for",
        "            if not maybe_applied(error):\n                entry.intent = removal.before\n",
        "",
    ),
    (
        "what is made elsewhere is given up while its maker is there",
        "            entry.absent_since = None  # something",
        "            pass  # something",
    ),
    (
        "the deletion forgets the preimage",
        'Intent(op="delete", at=self._clock.now(), preimage=preimage)',
        'Intent(op="delete", at=self._clock.now())',
    ),
    (
        "what was put off counts as deleted",
        "        change.entry.intent = change.before\n        if change.result.error",
        "        if change.result.error",
    ),
    ("only the current policy counts", "policies.get(entry.step) or policy_of(entry)", "policies[entry.step]"),
    ("what was only looked at is deleted", "            if not kind.removable:\n", "            if False:\n"),
    (
        "an answer before a removal tells of the time when it came",
        "self._me, asked, now, self._world)",
        "self._me, now, now, self._world)",
    ),
    (
        "a failed clean-up is not shown",
        "        entry.state, entry.note = EntryState.CLEANUP_FAILED, result.message\n",
        "        pass\n",
    ),
)
MUTANTS = (*DECIDE, *PIPELINE, *WINDOW, *MEMORY, *OUTCOME, *LIFECYCLE, *LEDGER)
