"""The command line: a file a command."""

from __future__ import annotations

import errno
import os
import sys

import click

from opfuzz.cli.commands import cli
from opfuzz.cli.group import INTERNAL, SHOWN, USAGE, ending
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.signals import heeding_sigterm
from opfuzz.report.text import plain


def main() -> None:
    """Entry point: a user's mistake is one line and exit 2, an error of opfuzz is a traceback and exit 3."""
    with heeding_sigterm():
        code = _run()
    sys.exit(code or 0)


def _run() -> int | None:
    """The exit code of the command that the arguments name."""
    code: int | None
    try:
        os.getcwd()
    except FileNotFoundError:
        click.echo("the working directory is no longer there; change to one that is", err=True)
        return USAGE
    try:
        code = cli.main(prog_name="opfuzz", standalone_mode=False)
    except click.exceptions.Abort:
        code = ending()
    except click.ClickException as error:
        click.echo(_usage(error), err=True)
        code = USAGE
    except OpfuzzError as error:
        click.echo("\n".join(plain(line) for line in str(error).splitlines()), err=True)
        code = USAGE
    except KeyboardInterrupt:
        code = ending()
    except BrokenPipeError:  # the reader of a pipe has gone; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        # At whatever look at the disk comes first: a name has 255 bytes at most, and nobody asks before.
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            name = str(error.filename)
            words = f"'{name[:SHOWN]}...' has {len(name)} letters, too many for a file; write a shorter path"
            click.echo(plain(words), err=True)
            return USAGE
        import traceback

        traceback.print_exc()
        code = INTERNAL
    return code


def _usage(error: click.ClickException) -> str:
    """What is wrong with a command, in one line; the help where there is no command."""
    words = error.format_message()
    if words.startswith("Usage:"):
        return words
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "opfuzz"
    return f"{command}: {plain(words.rstrip('.'))}; see '{command} --help'"
