"""`opfuzz report`: what a run on disk says, as a page, as Markdown, for CI and code hosts, or for a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click

from opfuzz.cli.group import words
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_bytes, write_text
from opfuzz.core.run import Run
from opfuzz.report.run import github, junit, sarif, summary
from opfuzz.report.text import plain
from opfuzz.store import history
from opfuzz.store.read import FILE, LATEST, find_run, read_run

NIGHTS = 60  # runs in a trend
NAMES: Mapping[str, str] = {
    "html": "report.html",
    "md": "summary.md",
    "junit": "junit.xml",
    "sarif": "report.sarif",
    "github": "",  # is printed
    "json": "report.json",
}


@click.command("report", cls=SettledCommand)
@click.argument("run", metavar="[RUN]", default=LATEST)
@click.option(
    "--format",
    "formats",
    type=words(*NAMES),
    metavar="LIST",
    default="html,md",
    show_default=True,
    help=f"Of {', '.join(NAMES)}.",
)
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), help="Folder of runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the files; default: that of the run.")
def report_command(run: str, formats: tuple[str, ...], reports: Path, out: Path | None) -> int:
    """Write the report of RUN in one or more formats, and print the paths.

    RUN is a run's folder or its run.json, a name in the folder of runs, or latest. html is one page that needs no
    network, md a summary below 60 KB for a CI job or an issue, junit has the faults as failed tests, sarif the findings
    at the calls in the specs, for code hosts and editors; github is not written but printed: annotations of GitHub
    Actions, at the calls as well. json is a copy of run.json, which holds all that the others show. Exits with 0
    whatever the run found.
    """
    place = find_run(run, reports)
    found = read_run(place)
    folder = place.parent if place.is_file() else place
    target = _made(out) if out else folder
    for name in dict.fromkeys(formats):
        if not NAMES[name]:
            click.echo(github.render(found, folder), nl=False)
            continue
        path = target / NAMES[name]
        if name == "json":
            write_bytes(path, (place if place.is_file() else place / FILE).read_bytes())
        else:
            write_text(path, _WRITERS[name](found, folder))
        click.echo(plain(str(path)))
    return 0


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OpfuzzError(f"{folder}: cannot be made: {error.strerror}; choose another folder with --out") from None
    return folder


def page_of(run: Run, folder: Path) -> str:
    """The page, with the trends of the history beside the run."""
    from opfuzz.report.run import html

    past = folder.parent / history.NAME
    try:
        trends = history.trends(past, limit=NIGHTS) if past.is_file() else []
    except OpfuzzError as error:  # a page without trends is better than none
        click.echo(plain(str(error)), err=True)
        trends = []
    return html.render(run, folder, trends)


_WRITERS: Mapping[str, Callable[[Run, Path], str]] = {
    "html": page_of,
    "md": lambda run, _: summary.render(run),
    "junit": junit.render,
    "sarif": sarif.render,
}
