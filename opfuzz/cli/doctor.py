"""`opfuzz backends` and `opfuzz doctor`: what is here, what works, what is missing and how to get it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from tabulate import tabulate

from opfuzz.backends import Backend, discover
from opfuzz.cli.group import FINDINGS, CountRange, Paths, bundled_specs, ending, plugin_option
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.engine.doctor import ABSENT, BROKEN, OK, Fact, examine, standings, works
from opfuzz.engine.machines import here
from opfuzz.engine.plan import load_specs
from opfuzz.engine.probe.session import probe
from opfuzz.report.probe import render
from opfuzz.report.progress import Counted
from opfuzz.report.text import plain
from opfuzz.store.probes import write_probe

HEADERS = ("subject", "dialect", "version", "", "formats, or why not")
ALL = "all"  # subjects to probe
MARKS = {OK: "ok", ABSENT: "--", BROKEN: "!!"}


@click.command("backends")
@plugin_option
def backends_command(plugins: Paths, backends: Mapping[str, Backend]) -> int:
    """List what is here, with versions and devices, and why the rest is absent."""
    rows = []
    for each in standings(backends):
        words = plain(each.absent or ", ".join(each.formats))
        rows.append([each.subject, each.dialect, each.version, "absent" if each.absent else "here", words])
    click.echo(tabulate(rows, HEADERS, tablefmt="simple", disable_numparse=True))
    return 0


@click.command("doctor", cls=SettledCommand)
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Python file with a list BACKENDS."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for runs.")
@click.option(
    "--probe",
    "probed",
    is_flag=False,
    flag_value=ALL,
    metavar="[SUBJECT]",
    help="Find out in a minute what a device cannot do; without a name, each of torch, MLX and plugins.",
)
@click.option("--jobs", type=CountRange(min=1), help="Processes of a probe; default: the number of cores.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def doctor_command(specs: Paths, plugins: Paths, out: Path, probed: str | None, jobs: int | None, as_json: bool) -> int:
    """Look at this machine: packages, backends and devices, each tried in a process of its own, tools, disk, SPECS.

    Exits with 0 if at least one backend computes, else with 1. With --probe it tries every format, layout and op of
    SPECS on one device instead, prints what fails as a text for an issue, and keeps it: a run leaves those calls alone.
    """
    if probed is not None:
        return _probe(probed, specs, plugins, jobs or os.cpu_count() or 1, as_json)
    facts = examine(plugins, specs, out)
    works_here = works(facts)
    if as_json:
        click.echo(json.dumps({"works": works_here, "facts": [asdict(fact) for fact in facts]}, indent=1))
    else:
        click.echo("\n".join(_lines(facts, works_here)))
    return 0 if works_here else FINDINGS


def _probe(text: str, specs: Paths, plugins: Paths, jobs: int, as_json: bool) -> int:
    """Probe one subject, or all; 1 if none gives an answer."""
    backends = discover(plugins)
    chosen = here(backends).subjects(() if text == ALL else (text,), backends)
    loaded = load_specs(specs or (bundled_specs(),), backends)
    found = []
    for subject in chosen:
        try:
            with Counted(f"trials of {subject}") as bar:
                found.append(probe(subject, loaded, backends, jobs, plugins, bar.watch))
        except KeyboardInterrupt:
            click.echo(f"{subject}: interrupted; nothing of it is kept", err=True)
            return ending()
        path = write_probe(found[-1])
        if not as_json:
            click.echo(render(found[-1]))
        click.echo(plain(f"kept in {path}: opfuzz run --subjects {subject} uses it"), err=True)
    if as_json:
        click.echo(json.dumps({"probes": [asdict(each) for each in found]}, indent=1))
    return 0 if any(each.slowest_op for each in found) else FINDINGS


def _lines(facts: list[Fact], works_here: bool) -> list[str]:
    lines = []
    width = max(len(plain(fact.name)) for fact in facts if len(fact.name) < 30)
    for topic, group in groupby(facts, key=lambda fact: fact.topic):
        lines.append(topic)
        for fact in group:
            lines.append(f"  {MARKS[fact.state]}  {plain(fact.name):{width}}  {plain(fact.words)}")
            if fact.remedy:
                lines.append(f"      {'':{width}}  -> {plain(fact.remedy)}")
    broken = sum(fact.state == BROKEN for fact in facts)
    lines.append("")
    if not works_here:
        lines.append("no backend computes: opfuzz can do nothing here; see '!!' above")
    else:
        told = f"; {broken} to mend, see '!!' above" if broken else ""
        lines.append(f"opfuzz works here{told} ('--' is not here and not needed for the rest)")
    return lines
