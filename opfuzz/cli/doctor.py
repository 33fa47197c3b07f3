"""`opfuzz backends` and `opfuzz doctor`: what is here, what works, what is missing and how to get it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from tabulate import tabulate

from opfuzz.backends import Backend
from opfuzz.cli.group import FINDINGS, Paths, plugin_option
from opfuzz.engine.doctor import ABSENT, BROKEN, OK, Fact, examine, standings, works
from opfuzz.report.text import plain

HEADERS = ("subject", "dialect", "version", "", "formats, or why not")
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


@click.command("doctor")
@click.argument("specs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Python file with a list BACKENDS."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports"), help="Folder for runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def doctor_command(specs: Paths, plugins: Paths, out: Path, as_json: bool) -> int:
    """Look at this machine: packages, backends and devices, each tried in a process of its own, tools, disk, SPECS.

    Exits with 0 if at least one backend computes, else with 1.
    """
    facts = examine(plugins, specs, out)
    works_here = works(facts)
    if as_json:
        click.echo(json.dumps({"works": works_here, "facts": [asdict(fact) for fact in facts]}, indent=1))
    else:
        click.echo("\n".join(_lines(facts, works_here)))
    return 0 if works_here else FINDINGS


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
