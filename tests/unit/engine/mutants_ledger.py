"""The ledger with one thing wrong at a time."""

from __future__ import annotations

from .mutant import mutants_of

LEDGER = mutants_of(
    "ledger",
    (
        "the same key at another place is the same thing",
        "return (kind, key, *(str(value.get(name)) for name in place))",
        "return (kind, key)",
    ),
    (
        "what was another's counts as applied by us",
        'fresh = {"digest": "", ',
        "fresh = {",
    ),
    (
        "what two have is inherited twice",
        "if entry.state in CLOSED or which(entry) in known:",
        "if entry.state in CLOSED:",
    ),
    (
        "what was made twice was made by the first attempt",
        "and (again or self.doubted_at is not None)",
        "and again",
    ),
    (
        "what is made again is in no doubt",
        "and (again or self.doubted_at is not None)",
        "and False",
    ),
    (
        "what was perhaps made is forgotten",
        "attempted = entry.seen or entry.intent is not None or entry.made_elsewhere",
        "attempted = entry.seen",
    ),
    (
        "what has another name now is forgotten",
        "            self.retire(entry)\n            entry = None\n",
        "            self.entries.remove(entry)\n            entry = None\n",
    ),
    ("what is wanted again begins from nothing", "self._take_back(step, resource) or Entry(", "Entry("),
    ("removed in the order of making", "for entry in reversed(self.entries) if", "for entry in self.entries if"),
    ("the lowest rank goes first", "key=lambda entry: -entry.rank)", "key=lambda entry: entry.rank)"),
    (
        "an intent outlives its end",
        "        self.doubt(self.intent, again=False)\n        self.intent = None\n",
        "        self.doubt(self.intent, again=False)\n",
    ),
    (
        "an absence outlives its end",
        "        self.intent = None\n        self.absent_since = None\n",
        "        self.intent = None\n",
    ),
    ("a clock that is ahead makes time negative", "max(timedelta(0), now - since)", "now - since"),
    (
        "what is cleaned is removed again",
        "[entry for entry in reversed(self.entries) if entry.state not in CLOSED]",
        "list(reversed(self.entries))",
    ),
    ("the value is not kept", "        self.value = value\n", "        pass\n"),
    (
        "what another version did not know has changed",
        "            self._translate(resource, leaves=leaves)\n",
        "            pass\n",
    ),
    (
        "what another version did not know is written over what is to be left",
        "        if leaves:\n",
        "        if False:\n",
    ),
    ("what another version did not know is never written", "        if leaves:\n", "        if True:\n"),
    ("a null of before passes for unknown", "(null if self.nulls is None else field in self.nulls)", "False"),
    (
        "what nobody has noted as null is unknown",
        "(null if self.nulls is None else field in self.nulls)",
        "field in (self.nulls or ())",
    ),
    (
        "a field that came later passes for null",
        "(null if self.nulls is None else field in self.nulls)",
        "null",
    ),
    ("nulls are kept for nobody", "resource.nulls() if leaves else None", "resource.nulls()"),
    ("the digest of another value is taken for this one's", "        if self.digest == was:\n", "        if True:\n"),
    (
        "the attempt of another version was for another value",
        "        if self.intent is not None and self.intent.digest == was:\n",
        "        if False:\n",
    ),
    (
        "a value that cannot be recalled ends the pass",
        "        except ValueError:  # nobody",
        "        except KeyError:  # nobody",
    ),
)
