"""Hooks of mkdocs: pages that lie outside of docs/ are pages of the site as well, and links to them lead there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere."""
    for path, name in config["extra"]["elsewhere"].items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_with_links(text, path, config)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The text of a page of docs/, with links to pages that lie elsewhere."""
    if page.file.src_uri in config["extra"]["elsewhere"].values():
        return markdown
    return _with_links(markdown, f"docs/{page.file.src_uri}", config)


def _titles(entries: list[Any]) -> Iterator[tuple[str, str]]:
    """Of each page, by its file, what it is called in the navigation."""
    for title, entry in (item for each in entries for item in each.items()):
        if isinstance(entry, list):
            yield from _titles(entry)
        else:
            yield entry, title


def _with_links(text: str, path: str, config: Any) -> str:
    """The text of the file `path` with links as pages of the site have them, which is flat.

    A page that is called by its file's name is called by its title. What is a file of the repository and no page is
    named and not linked.
    """
    titles, elsewhere = dict(_titles(config["nav"])), config["extra"]["elsewhere"]

    def of_site(match: re.Match[str]) -> str:
        words, name, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        if target not in elsewhere and not target.startswith("docs/"):
            return words if (ROOT / target).exists() else match[0]
        page = elsewhere.get(target, target.removeprefix("docs/"))
        called = titles.get(page, words) if words in (name, target) else words
        return f"[{called}]({page}{anchor})"

    return _LINK.sub(of_site, text)
