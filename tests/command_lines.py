"""Commands as documents and workflows have them, and whether opfuzz takes them: they are read, and never run."""

from __future__ import annotations

import re
import shlex

import click

from opfuzz.cli import cli

ENDS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "2>", "("})  # of one command


def commands(text: str) -> list[list[str]]:
    """The words of each `opfuzz ...` in the lines of a shell, with or without a prompt."""
    found = []
    for line in re.sub(r"\\\n\s*", "", text).split("\n"):
        bare = re.sub(r"^\s*(\$ )?", "", line)
        if "opfuzz " not in bare or bare.startswith("#"):
            continue
        lexer = shlex.shlex(bare, posix=True, punctuation_chars="();<>|&")
        lexer.commenters = "#"
        lexer.whitespace_split = True
        found += _split(list(lexer))
    return found


def _split(words: list[str]) -> list[list[str]]:
    """The commands of one line that are opfuzz's, without its name."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ENDS:
            parts.append([])
        else:
            parts[-1].append(word)
    return [part[1:] for part in parts if part and part[0].rsplit("/")[-1] == "opfuzz"]


def refusal(words: list[str], group: click.Group = cli) -> str:
    """What opfuzz has against a command; "" if it takes it."""
    name, *rest = words
    with click.Context(group) as context:
        command = group.get_command(context, name)
    if command is None:
        return "" if name in ("--help", "--version") else f"no command {name}"
    if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        return refusal(rest, command)
    try:
        command.make_context(name, rest)
    except click.exceptions.Exit:  # --help
        return ""
    except click.ClickException as error:
        return error.format_message()
    return ""
