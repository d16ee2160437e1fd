"""Known weaknesses of the packages that the operator runs on, by the Python package index: ``pip-audit``.

``python -m testbed.weaknesses`` fails where one is known. Where the index has no such list (a mirror, no network) it
says of how many packages nothing is known, and does not fail, so that the checks work there; with ``--strict`` it does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"


@dataclass(frozen=True)
class Report:
    """What is known of the packages: ``weak`` has a line each, ``unknown`` the names that could not be looked up."""

    asked: int
    weak: tuple[str, ...]
    unknown: tuple[str, ...]

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Report:
        """From the JSON of pip-audit (https://github.com/pypa/pip-audit, ``--format json``)."""
        found = answer["dependencies"]
        weak = [line for each in found for line in _weaknesses(each)]
        return cls(len(found), tuple(weak), tuple(each["name"] for each in found if "skip_reason" in each))

    def text(self) -> str:
        """For people: what to do comes first."""
        lines = [f"weaknesses: {line}" for line in self.weak]
        if self.unknown:
            lines.append(
                f"weaknesses: nothing is known of {len(self.unknown)} of {self.asked} packages: the package index has "
                f"no list for them ({', '.join(self.unknown[:3])}, ...). Ask again where it has one: make audit"
            )
        elif not self.weak:
            lines.append(f"weaknesses: none is known of {self.asked} packages")
        return "\n".join(lines)


def _weaknesses(package: dict[str, Any]) -> list[str]:
    return [
        f"{package['name']} {package['version']} has {each['id']}; "
        + (f"mended in {', '.join(each['fix_versions'])}: make lock" if each["fix_versions"] else "not mended yet")
        for each in package.get("vulns", ())
    ]


def look_up(requirements: Path = REQUIREMENTS) -> Report | str:
    """The report, or why there is none."""
    program = Path(sys.executable).parent / "pip-audit"
    flags = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    # Ends with 1 where something is found, and where nothing could be asked: only its output tells.
    done = subprocess.run(
        [program, *flags, "--requirement", requirements],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    try:
        return Report.read(json.loads(done.stdout))
    except (ValueError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        return f"weaknesses: nothing is known: pip-audit says: {last[0]}"


def main() -> int:
    """0: none is known; 1: one is, or (``--strict``) something is not known."""
    parser = argparse.ArgumentParser(prog="python -m testbed.weaknesses", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail also where nothing is known of a package")
    strict = parser.parse_args().strict
    found = look_up()
    sys.stdout.write(f"{found if isinstance(found, str) else found.text()}\n")
    if isinstance(found, str):
        return int(strict)
    return int(bool(found.weak or (strict and found.unknown)))


if __name__ == "__main__":
    sys.exit(main())
