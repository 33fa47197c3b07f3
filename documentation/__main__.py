"""`python -m documentation` writes the pages and pictures of docs/ that are made from code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from documentation.api_page import api_page
from documentation.command_page import command_page
from documentation.document_page import document_page
from documentation.pictures import pictures
from documentation.settings_page import settings_page
from documentation.spec_page import spec_page
from documentation.verdict_page import verdict_page

DOCS = Path(__file__).parents[1] / "docs"
PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": api_page,
    "cli.md": command_page,
    "documents.md": document_page,
    "settings.md": settings_page,
    "spec-keys.md": spec_page,
    "verdicts.md": verdict_page,
}


def main() -> None:
    """Write them all."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
    (DOCS / "pictures").mkdir(exist_ok=True)
    for name, drawn in pictures().items():
        (DOCS / "pictures" / name).write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
