"""Each command in the documents is one that its program takes: names, options and values.

Those of kubectl and helm are run in `tests/apiserver/test_installation.py` and `tests/apiserver/test_documents.py`.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import typer

from devops_reconciler.cli import app

from .commands import PAGES, ROOT, Command, commands, inner

COMMANDS = [inner(each) for page in PAGES for each in commands(page)]
MAKEFILE = (ROOT / "Makefile").read_text()
INCOMPLETE = {"devops-reconciler send", "devops-reconciler dead-letters show"}
"""Names of commands in sentences, without what they cannot do without."""


def of(program: str) -> list[Command]:
    return [each for each in COMMANDS if each.program == program]


def parse(words: list[str]) -> int:
    """Exit code of the command line of ours, whose commands do nothing here but read their options and arguments."""
    whole: Any = typer.main.get_command(app)
    names = [whole]
    while names:
        command = names.pop()
        names += getattr(command, "commands", {}).values()
        command.callback = (lambda **_: None) if command.callback else None
    with pytest.raises(SystemExit) as ended:
        whole(args=words[1:], prog_name=words[0])
    return int(ended.value.code or 0)


def targets() -> set[str]:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    return set(phony.split())


@cache
def help_of(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", of("devops-reconciler"), ids=lambda each: f"{each.page}: {each.text}")
def test_a_command_of_ours_is_taken(command: Command) -> None:
    assert (parse(command.words) == 0) is (command.text not in INCOMPLETE)


@pytest.mark.parametrize("command", of("make"), ids=lambda each: f"{each.page}: {each.text}")
def test_a_target_of_make_is_there_with_its_variables(command: Command) -> None:
    given = [word for word in command.words[1:] if "=" in word]
    assert [word for word in command.words[1:] if "=" not in word and word not in targets()] == []
    assert [word for word in given if not re.search(rf"^{word.partition('=')[0]} \?=", MAKEFILE, re.MULTILINE)] == []


@pytest.mark.parametrize("command", of("python"), ids=lambda each: f"{each.page}: {each.text}")
def test_a_module_is_there_and_knows_its_options(command: Command) -> None:
    assert command.words[1] == "-m"
    module, options = command.words[2], [word for word in command.words[3:] if word.startswith("--")]
    assert importlib.util.find_spec(module) is not None
    assert [option for option in options if option not in help_of(module)] == []


def test_each_program_is_found_in_blocks_and_in_sentences() -> None:
    found = {(each.program, each.in_block) for each in COMMANDS}
    assert {(name, where) for name in ("devops-reconciler", "make", "kubectl") for where in (True, False)} <= found
    assert len(COMMANDS) > 100


@pytest.mark.parametrize(
    "text",
    [
        "devops-reconciler send reconcil shop",
        "devops-reconciler send reconcile shop --enviroment pr-7",
        "devops-reconciler watch shop --deployment",
        "devops-reconciler config shows",
    ],
)
def test_a_command_that_is_none_is_noticed(text: str) -> None:
    assert parse(text.split()) == 2
