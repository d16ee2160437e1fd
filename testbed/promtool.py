"""promtool, which tests the alert rules: from PATH, else out of Debian's package `prometheus`, which is not installed.

``python -m testbed.promtool`` fetches it where it is missing; without apt it says what to do, and exits 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from testbed.build import cache_folder

FETCHED = "promtool"
ADVICE = "promtool is missing: apt-get install prometheus, or put promtool on PATH; the alert rules are not tested"


def find() -> Path | None:
    """The program, or None."""
    found = shutil.which("promtool")
    fetched = cache_folder() / FETCHED
    return Path(found) if found else fetched if fetched.exists() else None


def fetch() -> None:
    """Take it out of the package. Raises subprocess.CalledProcessError or FileNotFoundError where apt cannot."""
    with tempfile.TemporaryDirectory(prefix="promtool-") as folder:
        subprocess.run(["apt-get", "-qq", "download", "prometheus"], cwd=folder, check=True, capture_output=True)
        (package,) = Path(folder).glob("prometheus_*.deb")
        subprocess.run(["dpkg", "-x", str(package), folder], check=True, capture_output=True)
        cache_folder().mkdir(parents=True, exist_ok=True)
        shutil.move(Path(folder) / "usr" / "bin" / "promtool", cache_folder() / FETCHED)


def main() -> int:
    if find() is None:
        try:
            fetch()
        except (OSError, subprocess.CalledProcessError):
            sys.stderr.write(f"setup: {ADVICE}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
