"""The documents build as a site: every link and anchor leads somewhere, and every page is what its author meant."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def build(root: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """`mkdocs build --strict` of the documents below `root`; its outcome, whatever it is."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)]
    environment = os.environ | {"PYTHONPATH": str(root), "NO_MKDOCS_2_WARNING": "true"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    into = tmp_path_factory.mktemp("site")
    done = build(ROOT, into)
    assert done.returncode == 0, done.stderr
    return into


def article(page: Path) -> str:
    """The text of a page between its head and its foot, without its code."""
    text = page.read_text()
    return re.sub(r"<pre.*?</pre>", "", text[text.index("<article") : text.index("</article>")], flags=re.DOTALL)


def test_each_document_is_a_page_and_the_changelog_too(site: Path) -> None:
    wanted = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")}
    found = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    assert found - {"404.html"} == wanted | {"changes.html"}


def test_tables_and_lists_are_not_left_as_text(site: Path) -> None:
    left = [
        f"{page.name}: {part[:60]}"
        for page in sorted(site.rglob("*.html"))
        if page.name != "404.html"
        for part in re.findall(r"<p>(.*?)</p>", article(page), re.DOTALL)
        if re.search(r"^(- |\d\. |\||```)", part, re.MULTILINE)
    ]
    assert left == []


def test_a_diagram_is_drawn_where_possible_and_is_text_otherwise(site: Path) -> None:
    assert re.search(r'<pre class="mermaid"><code>flowchart', (site / "architecture.html").read_text())


def test_links_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    broken = ("absent.md", "limits.md#no-such-heading", "/demo.md")
    for name in ("docs", "testbed"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.writelines(f"\n[somewhere]({link})\n" for link in broken)

    done = build(tmp_path, tmp_path / "site")

    assert done.returncode == 1
    assert [link for link in broken if link not in done.stderr] == []
