"""`opfuzz history`: how the ops went from run to run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from opfuzz.cli.group import USAGE, CountRange, words
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.floats import FORMATS
from opfuzz.report.history.overview import causes_overview, detail, overview
from opfuzz.report.text import plain
from opfuzz.store.history import NAME, ops, rebuild, trends
from opfuzz.store.lives import past
from opfuzz.store.write import to_json

REBUILD = "rebuild"


@click.command("history", cls=SettledCommand)
@click.argument("op", required=False)
@click.option("--subject", "subjects", type=words(), metavar="LIST", help="Only these subjects.")
@click.option("--format", "formats", type=words(*FORMATS), metavar="LIST", help="Only these formats.")
@click.option("--limit", type=CountRange(min=1), default=20, help="How many runs to go back; default 20.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page that stands alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), help="Folder of runs.")
def history_command(
    op: str | None,
    subjects: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    limit: int,
    html: Path | None,
    as_json: bool,
    reports: Path,
) -> int:
    """Show since when the causes of faults are known, and how the error of each op went; of one OP, every run.

    --html writes it as one page that needs no network: each cause from first seen to fixed, what changed in the
    software along the way, and the errors of the cases that every run makes, as lines over time.

    opfuzz history rebuild makes the history anew from the run.json of all runs in --reports; exits with 2 if one of
    them cannot be read, which is then left out.
    """
    path = reports / NAME
    if op == REBUILD:
        return _rebuild(path)
    found = trends(path, op, subjects or (), formats or (), limit)
    if not found:
        known = ops(path)
        unknown = op is not None and op not in known
        remedy = did_you_mean(op or "", known) or f"; known: {', '.join(known) or 'none'}" if unknown else ""
        raise OpfuzzError(f"{path}: no run {f'of {op!r:.60} ' if op else ''}like that{remedy}")
    told = past(path, op, subjects or (), formats or (), limit)
    if html is not None:
        from opfuzz.report.history.html import render_history

        kept_to = ", ".join([*([op] if op else []), *(subjects or ()), *(formats or ())])
        write_text(html, render_history(told, found, kept_to))
    if as_json:
        document = {"runs": told.nights, "causes": told.lives, "unmet": told.unmet, "trends": found}
        click.echo(json.dumps(to_json(document), allow_nan=False))
    elif html is not None:
        click.echo(plain(str(html)))
    elif op is None:
        click.echo("\n\n".join([*([causes_overview(told)] if told.lives else []), overview(found)]))
    else:
        click.echo("\n\n".join(detail(trend) for trend in found))
    return 0


def _rebuild(path: Path) -> int:
    if not path.parent.is_dir():
        raise OpfuzzError(f"{path.parent}: no such folder; give the folder of runs with --reports")
    count, complaints = rebuild(path)
    for line in complaints:
        click.echo(plain(f"left out: {line}"), err=True)
    click.echo(plain(f"{path}: {count} {'run' if count == 1 else 'runs'}"))
    return USAGE if complaints else 0
