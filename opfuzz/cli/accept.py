"""`opfuzz accept`: put a finding on the list of those that are known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from opfuzz.cli.settings.command import SettledCommand
from opfuzz.report.run.cause_lines import findings_of
from opfuzz.report.text import plain
from opfuzz.store.accepted import FILE, accept, entry_of, read_accepted
from opfuzz.store.bundle.files import FINDING, damaged, document
from opfuzz.store.read import LATEST, find_run, read_run
from opfuzz.store.write import to_json


@click.command("accept", cls=SettledCommand)
@click.argument("finding")
@click.option("--reason", required=True, help="Why it is accepted.")
@click.option("--until", metavar="DATE", help="The last day, such as 2026-12-31; then it counts again.")
@click.option("--link", metavar="URL", help="Where it is discussed.")
@click.option("--run", default=LATEST, metavar="RUN", help="The run that has it; default: the newest.")
@click.option(
    "--file", "path", type=click.Path(path_type=Path), help=f"The list, to be reviewed; default: {FILE} in --reports."
)
@click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), help="Folder of runs.")
def accept_command(
    finding: str, reason: str, until: str | None, link: str | None, run: str, path: Path | None, reports: Path
) -> int:
    """Append FINDING to the list of those that are known, so that it does not count for the exit code of opfuzz run.

    FINDING is the id of a cause of a run, which stands for all its findings, the id of a finding, the beginning of
    either, or a folder findings/<id>.
    """
    path = path or reports / FILE
    today = datetime.now().astimezone().date()
    entries = [entry_of(each, reason, today, until, link) for each in _findings(finding, run, reports)]
    known = {entry.id for entry in read_accepted(path)} if path.exists() and len(entries) > 1 else set()
    for entry in entries:
        if entry.id in known:  # of a cause, what is new
            continue
        accept(path, entry)
        until_words = f" until {entry.until}" if entry.until else ""
        place = f"{entry.op} on {entry.subject} in {entry.format}, {entry.verdict}"
        click.echo(plain(f"{path}: accepted{until_words}: {entry.id}: {place}"))
    return 0


def _findings(text: str, run: str, reports: Path) -> list[Mapping[str, Any]]:
    """What a user means, each as its finding.json has it: all findings of a cause that are faults, or the one finding.

    Raises OpfuzzError as `findings_of` does.
    """
    if (Path(text) / FINDING).is_file():
        found = document(Path(text), FINDING)
        for name in ("op", "subject", "format", "verdict", "relation"):
            if not isinstance(found.get(name), str):
                raise damaged(Path(text), FINDING, f"{name} is {found.get(name)!r:.40}, not text")
        return [found]
    chosen = read_run(find_run(run, reports))
    ids = {finding.id: finding for finding in chosen.findings}
    return [to_json(ids[id]) for id in findings_of(chosen, text)]
