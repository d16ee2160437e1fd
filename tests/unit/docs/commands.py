"""Which commands the documents tell their readers to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROGRAMS = ("devops-reconciler", "make", "kubectl", "helm", "python")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_VARIABLE = re.compile(r"[A-Z_]+=\S*")
_PLACEHOLDER = re.compile(r"\s*\[[A-Z][^\]]*\]")
"""What a table of commands writes for an argument that may be left out."""


@dataclass(frozen=True)
class Command:
    """One command of a page, as a shell reads it."""

    page: str
    text: str
    in_block: bool

    @property
    def words(self) -> list[str]:
        """Program and arguments, without variables before them; the program without its folder."""
        words = shlex.split(self.text, comments=True)
        while words and _VARIABLE.fullmatch(words[0]):
            words.pop(0)
        return [words[0].removeprefix(".venv/bin/"), *words[1:]] if words else []

    @property
    def program(self) -> str:
        return self.words[0] if self.words else ""


def commands(page: Path) -> list[Command]:
    """The commands of a page that begin with one of our programs: of its blocks, and of code in its sentences."""
    name, text = str(page.relative_to(ROOT)), page.read_text()
    blocks = [Command(name, line, True) for _, block in _BLOCK.findall(text) for line in lines(block)]
    rest = _BLOCK.sub("", text)
    inline = [Command(name, _PLACEHOLDER.sub("", code), False) for code in _CODE.findall(rest) if " " in code.strip()]
    return [each for each in (*blocks, *inline) if _starts(each.text) and each.program in PROGRAMS]


def lines(block: str) -> Iterator[str]:
    """What is typed: the lines after a prompt where there are any, each line otherwise; continued ones as one."""
    joined = re.sub(r"\\\n\s*", "", block).splitlines()
    typed = [line.removeprefix("$ ") for line in joined if line.startswith("$ ")] or joined
    for line in typed:
        yield from line.split("; ") if line.startswith(". ") else [line]


def inner(command: Command) -> Command:
    """What `kubectl exec` runs in a container; any other command as it is."""
    if command.program == "kubectl" and " -- " in command.text:
        return Command(command.page, command.text.partition(" -- ")[2], command.in_block)
    return command


def _starts(text: str) -> bool:
    return re.match(rf"(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?(?:{'|'.join(PROGRAMS)}) ", text) is not None
