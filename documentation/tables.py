"""Markdown that pages have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar or a line break in a cell would end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Text as code, in one line; nothing for nothing."""
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page(title: str, command: str, introduction: str, *sections: str) -> str:
    """A page that says what wrote it."""
    head = f"# {title}\n\n<!-- Written by `{command}`: change what it is made of. -->\n\n{introduction.strip()}"
    return "\n\n".join([head, *(section.strip() for section in sections)]) + "\n"
