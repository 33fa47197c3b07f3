"""Which commands there are, in the order in which `opfuzz --help` lists them, and where each is.

The file of a command is imported when the command is asked for: `opfuzz history` needs no oracle.
"""

from __future__ import annotations

from importlib import import_module

import click

from opfuzz.cli import completion

COMMANDS = {
    "run": "run.run_command",
    "report": "report.report_command",
    "compare": "compare.compare_command",
    "history": "history.history_command",
    "accept": "accept.accept_command",
    "repro": "repro.repro_command",
    "shrink": "shrink.shrink_command",
    "bisect": "bisect.bisect_command",
    "sweep": "sweep.sweep_command",
    "climb": "climb.climb_command",
    "localize": "localize.localize_command",
    "profile": "profile.profile_command",
    "trace": "trace.trace_command",
    "dump": "dump.dump_command",
    "diff": "diff.diff_command",
    "cases": "cases.cases_group",
    "check": "check.check",
    "schema": "check.schema",
    "new": "new.new_group",
    "backends": "backends.backends_command",
    "doctor": "doctor.doctor_command",
    "completion": "completion.completion_command",
    "selftest": "selftest.selftest_command",
}


class Commands(click.Group):
    """The group of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The one of this name, from its file, with what completes its parameters."""
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name].split(".")
        command: click.Command = getattr(import_module(f"opfuzz.cli.{module}"), function)
        completion.complete(command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opfuzz")
def cli() -> None:
    """Find which operator makes two implementations of a network disagree, by how much, and why."""
