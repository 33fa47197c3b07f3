"""The folder of a finding, however a user names it: by its path, by its id, or by that of its cause."""

from __future__ import annotations

from pathlib import Path

import click

from opfuzz.core.errors import OpfuzzError
from opfuzz.report.run.cause_lines import findings_of
from opfuzz.store.bundle import FINDING
from opfuzz.store.read import LATEST, find_run, read_run

RUN = click.option("--run", default=LATEST, metavar="RUN", help="The run that has it; default: the newest.")
REPORTS = click.option("--reports", type=click.Path(path_type=Path), default=Path("reports"), help="Folder of runs.")


def bundle_folder(text: str, run: str, reports: Path) -> Path:
    """The folder of a path as it is; else that of the finding of a run whose id, or its cause's, begins so.

    Raises OpfuzzError if there is none.
    """
    if Path(text).exists() or len(Path(text).parts) > 1:
        return Path(text)
    path = find_run(run, reports)
    chosen = read_run(path)
    place = (path.parent if path.is_file() else path) / "findings" / findings_of(chosen, text)[0]
    if not (place / FINDING).is_file():
        raise OpfuzzError(
            f"{place}: no such folder, though run {chosen.run} has this finding; take it from there again"
        )
    return place
