"""`opfuzz compare`: what changed from one run to another."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click
from tabulate import tabulate

from opfuzz.cli.group import FINDINGS
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.report.run.cause_lines import with_causes
from opfuzz.report.run.changes import accepted_ids, sections, unexplained
from opfuzz.report.run.news import news, news_lines
from opfuzz.store.accepted import FILE as ACCEPTED
from opfuzz.store.accepted import read_accepted
from opfuzz.store.baseline import counting, with_accepted, with_comparison
from opfuzz.store.read import find_run, read_run
from opfuzz.store.write import to_json


@click.command("compare", cls=SettledCommand)
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@click.option(
    "--accepted",
    "listed",
    type=click.Path(path_type=Path),
    help=f"Accepted findings, which do not count; default: {ACCEPTED} in --reports.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), help="Folder of runs.")
def compare_command(before: str, after: str, listed: Path | None, as_json: bool, reports: Path) -> int:
    """Say what changed from the first RUN to the second: regressions, what was discovered, what is fixed.

    RUN is a run's name in --reports or the beginning of it, latest, a run's folder or its run.json. Exits with 1 if a
    fault is a regression, or may be one, and is not accepted; without a list, those count as accepted that were when
    the second run ended.
    """
    earlier, later = (read_run(find_run(text, reports)) for text in (before, after))
    path = listed or reports / ACCEPTED
    if listed or path.exists():
        later = with_accepted(later, read_accepted(path), datetime.now().astimezone().date())
    run = with_comparison(with_causes(later), with_causes(earlier))
    assert run.comparison is not None
    if as_json:
        click.echo(json.dumps(to_json(run.comparison), allow_nan=False))
    else:
        tables = [
            f"{title}\n{tabulate(cells, columns, tablefmt='simple', disable_numparse=True)}"
            for title, columns, cells in sections(run.comparison, accepted_ids(run))
        ]
        click.echo("\n\n".join([*tables, "\n".join([*news(run), *news_lines(run), *unexplained(run.comparison)])]))
    return FINDINGS if counting(run) else 0
