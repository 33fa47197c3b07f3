"""Which commands there are, in the order in which `opfuzz --help` lists them, and where each is.

The file of a command is imported when the command is asked for: `opfuzz history` needs no oracle, and the list nothing.
"""

from __future__ import annotations

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from opfuzz.cli import completion

COMMANDS = {  # where each is, and what is said of it among the others
    "run": ("run.run_command", "Try ops on subjects, judge the results, and rank the ops."),
    "report": ("report.report_command", "Show a run as a page, as Markdown, JUnit XML, SARIF, annotations or JSON."),
    "show": ("show.show_command", "Print a cause or a finding, with a picture of where it errs."),
    "open": ("show.open_command", "Open the page of a run in a browser."),
    "compare": ("compare.compare_command", "Say what changed from one run to another."),
    "history": ("history.history_command", "Show how the error of each op went from run to run."),
    "accept": (
        "accept.accept_command",
        "Put a finding, or all of a cause, on the reviewed list of those that are known.",
    ),
    "repro": ("repro.repro_command", "Make the call of a finding again, and say whether the fault is still there."),
    "shrink": ("shrink.shrink_command", "Make the call of a finding smaller, for longer than a run does."),
    "bisect": ("bisect.bisect_command", "Find the version of a package with which a finding came, or went."),
    "sweep": ("sweep.sweep_command", "Measure every input of elementwise ops."),
    "accuracy": ("accuracy.accuracy_command", "Make a table of the largest errors of all functions of one number."),
    "climb": ("climb.climb_command", "Search for the worst input of ops."),
    "localize": (
        "network.localize.localize_command",
        "Say which op, or which wrong reading, makes a network's output drift.",
    ),
    "profile": ("network.profile.profile_command", "Record where a network calls its ops, for `opfuzz run --profile`."),
    "trace": ("network.trace.trace_command", "Find the first module in which two real models differ."),
    "dump": ("network.dump.dump_command", "Write the outputs of every module of a model to a file, in order."),
    "diff": ("network.diff.diff_command", "Compare tensors that two programs saved."),
    "cases": ("cases.cases_group", "Cases for other programs and machines, and their outputs judged."),
    "check": ("check.check", "Check spec files."),
    "schema": ("check.schema", "Print a JSON Schema: of a spec, of settings, or of run.json."),
    "config": ("settings.config.config_command", "Print the settings that hold, and where each is said."),
    "new": ("new.new_group", "Write a new spec, or a new backend, to fill in."),
    "backends": ("doctor.backends_command", "List backends and devices, and why some are absent."),
    "doctor": ("doctor.doctor_command", "Say what is installed, what works, and how to get the rest."),
    "completion": ("completion.completion_command", "Print the script that makes a shell complete."),
    "selftest": ("selftest.selftest_command", "Plant known faults in torch, and count what is found."),
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
        module, function = COMMANDS[cmd_name][0].rsplit(".", 1)
        command: click.Command = getattr(import_module(f"opfuzz.cli.{module}"), function)
        completion.complete(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them; click would import the file of each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Those that begin so, and the options of opfuzz itself."""
        begun = [CompletionItem(name, help=said) for name, (_, said) in COMMANDS.items() if name.startswith(incomplete)]
        return begun + click.Command.shell_complete(self, ctx, incomplete)


EXITS = (  # of every command
    "Exit codes: 0 nothing to report, 1 findings, 2 wrong usage or an invalid file, 3 an error of opfuzz itself, "
    "130 interrupted, 143 terminated."
)


@click.group(cls=Commands, epilog=EXITS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opfuzz")
def cli() -> None:
    """Find which operator makes two implementations of a network disagree, by how much, and why."""
