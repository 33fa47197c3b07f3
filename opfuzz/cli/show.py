"""`opfuzz show` and `opfuzz open`: a finding in the terminal, and the page of a run in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

import click

from opfuzz.cli.bundle_folder import REPORTS, RUN
from opfuzz.cli.report import NAMES, page_of
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.report.finding.shown import show_cause, show_finding
from opfuzz.report.run.cause_lines import findings_of, with_causes
from opfuzz.report.text import plain
from opfuzz.store.read import FILE, LATEST, find_run, read_run


@click.command("show", cls=SettledCommand)
@click.argument("finding", metavar="CAUSE|FINDING")
@RUN
@REPORTS
def show_command(finding: str, run: str, reports: Path) -> int:
    """Print a cause of a run, or one of its findings, with a picture of where the errors are.

    CAUSE and FINDING are ids as the report lists them, or their beginnings. The picture has the ulp error of all
    elements that were tried upwards, and the size of the exact result to the right.
    """
    place = find_run(run, reports)
    found = with_causes(read_run(place))
    folder = place.parent if place.is_file() else place
    first, *_ = findings_of(found, finding)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if first.startswith(finding):
        (chosen,) = (each for each in found.findings if each.id == first)
        click.echo(show_finding(chosen, found, folder, colour), nl=False)
    else:
        common = next(each for each in found.causes if each.id.startswith(finding))
        click.echo(show_cause(common, found, folder, colour), nl=False)
    return 0


@click.command("open", cls=SettledCommand)
@click.argument("run", metavar="[RUN]", default=LATEST)
@click.option("--print", "is_printed", is_flag=True, help="Print the path of the page, and open no browser.")
@REPORTS
def open_command(run: str, is_printed: bool, reports: Path) -> int:
    """Open the page of RUN in a browser; it is made if it is not there, or older than the run.

    RUN is a run's folder or its run.json, a name in the folder of runs, or latest. Where there is no browser, --print
    prints the path.
    """
    place = find_run(run, reports)
    folder = place.parent if place.is_file() else place
    path, source = folder / NAMES["html"], place if place.is_file() else place / FILE
    if not path.is_file() or path.stat().st_mtime < source.stat().st_mtime:
        write_text(path, page_of(read_run(place), folder))
    if is_printed:
        click.echo(plain(str(path)))
        return 0
    try:
        is_open = webbrowser.open(path.absolute().as_uri())
    except webbrowser.Error:
        is_open = False
    if not is_open:
        raise OpfuzzError(f"{path}: there is no browser here that could be opened; opfuzz open --print prints the path")
    click.echo(plain(str(path)))
    return 0
