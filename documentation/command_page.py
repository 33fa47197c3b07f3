"""The page of the command line: every command with its arguments and options, as `--help` has them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from documentation.tables import code, page, table
from opfuzz.cli import cli

INTRODUCTION = """
Every command and every option. `opfuzz COMMAND --help` prints the same; [the front page](README.md) has the commands
by task.

| exit code | meaning |
|---|---|
| 0 | nothing to report |
| 1 | faults: findings, or the verdicts that `--fail-on` names; with `--baseline` only what the software made worse |
| 2 | wrong usage, a file that is not what it should be, or something that is not here: one line says what, where, and the remedy |
| 3 | an error of opfuzz itself, with a traceback |
| 130, 143 | ended by Ctrl-C, by SIGTERM; what was found until then is kept |
"""  # noqa: E501, a row of a table is one line


def command_page() -> str:
    """Markdown: a section a command, with a table of its options."""
    with click.Context(cli, info_name="opfuzz") as context:
        sections = list(_sections(cli, context))
    return page("Command line", "python -m documentation", INTRODUCTION, *sections)


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        with click.Context(command, info_name=name, parent=context) as inner:
            if isinstance(command, click.Group):
                yield from _sections(command, inner)
            else:
                yield _section(command, inner)


def _section(command: click.Command, context: click.Context) -> str:
    path = context.command_path
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    options = [
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
    ]
    rows = [[code(names), said] for names, said in filter(None, options)]
    told = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    parts = [f"## {path}", f"```text\n{usage}\n```", told]
    return "\n\n".join([*parts, *([table(["option", "meaning"], rows)] if rows else [])])
