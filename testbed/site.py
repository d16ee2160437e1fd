"""What the site of the documents needs beyond their folder: hooks of mkdocs, which `mkdocs.yml` names."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

CHANGES = "changes.md"
CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The changelog, which stands at the root of the repository, is a page too."""
    files.append(File.generated(config, CHANGES, content=CHANGELOG.read_text().replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to the changelog lead to its page."""
    up = "../" * page.file.src_uri.count("/")
    return markdown.replace(f"]({up}../CHANGELOG.md)", f"]({up}{CHANGES})")
