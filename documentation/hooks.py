"""Hooks of mkdocs: pages that lie outside of docs/ are pages of the site as well, and links to them lead there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ELSEWHERE = {  # where each lies, and what it is called on the site
    "specs/README.md": "spec-language.md",
    "CONTRIBUTING.md": "contributing.md",
    "ARCHITECTURE.md": "architecture.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=[#)])")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere."""
    for path, name in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_with_links(text, path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The text of a page of docs/, with links to pages that lie elsewhere."""
    if page.file.src_uri in ELSEWHERE.values():
        return markdown
    return _with_links(markdown, f"docs/{page.file.src_uri}")


def _with_links(text: str, path: str) -> str:
    """The text of the file `path` with links as pages of the site have them; the site is flat."""

    def of_site(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[1]))
        return ELSEWHERE.get(target, target.removeprefix("docs/") if target.startswith("docs/") else match[1])

    return _LINK.sub(of_site, text)
