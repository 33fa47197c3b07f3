"""`opfuzz bisect`: between which two versions of a package a finding came, or went."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import click
from packaging.version import InvalidVersion, Version

from opfuzz.backends import Backend
from opfuzz.cli.bundle_folder import REPORTS, RUN, bundle_folder
from opfuzz.cli.group import Paths, duration, ending, plugin_option, words
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.retrial import Bisection, TriedVersion
from opfuzz.engine.drivers.bisect_question import asked_of, by_name, versions_between
from opfuzz.engine.drivers.bisection import Record, bisect
from opfuzz.engine.drivers.elsewhere import SECONDS, interpreter
from opfuzz.engine.drivers.environments import find_installer
from opfuzz.report.finding.bisection import bisection_document, bisection_lines, trial_words, with_bisection
from opfuzz.report.text import plain
from opfuzz.store.bundle import FINDING, UPSTREAM


def version(text: str) -> str:
    """A version of a package, as it is written."""
    try:
        Version(text)
    except InvalidVersion:
        raise click.BadParameter(f"'{text:.40}' is no version; write 2.10.0 or 2.10.0rc1") from None
    return text.strip()


def versions(text: str) -> tuple[str, ...]:
    """Versions with commas between them."""
    return tuple(version(word) for word in words()(text))


@click.command("bisect", cls=SettledCommand)
@click.argument("finding")
@click.option("--package", required=True, metavar="NAME", help="Such as torch, mlx or numpy.")
@click.option("--from", "low", type=version, metavar="VERSION", help="One end.")
@click.option("--to", "high", type=version, metavar="VERSION", help="The other.")
@click.option(
    "--versions", "named", type=versions, metavar="LIST", help="Only these; default: all releases that there are."
)
@click.option("--pre", "with_previews", is_flag=True, help="Versions before their release as well.")
@click.option(
    "--check",
    metavar="COMMAND",
    help="In place of the reproducer: exits with 0 if all is well, with 125 if it cannot tell.",
)
@click.option("--with", "others", multiple=True, metavar="REQUIREMENT", help="To be installed too, such as 'numpy<2'.")
@click.option(
    "--python", type=click.Path(path_type=Path), help="For the environments; default: the one that runs this."
)
@click.option(
    "--case-time", type=duration, metavar="TIME", default=f"{SECONDS:g}s", help="For one version; default 300s."
)
@click.option("--again", is_flag=True, help="Forget what an earlier search has found.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@RUN
@REPORTS
@plugin_option
def bisect_command(
    finding: str,
    package: str,
    low: str | None,
    high: str | None,
    named: tuple[str, ...] | None,
    with_previews: bool,
    check: str | None,
    others: tuple[str, ...],
    python: Path | None,
    case_time: float,
    again: bool,
    as_json: bool,
    run: str,
    reports: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Find two neighbouring versions of a package of which one shows FINDING and the other does not.

    FINDING is a folder findings/<id>, or the id of a finding or a cause of a run, or the beginning of one. Its
    reproducer is run, or the command of --check, in environments that uv makes, or pip, and that are kept in the cache.
    Both ends are tried first. What was tried is kept: a search that was ended goes on where it was.
    """
    _check_ends(low, high, named)
    place = _place(finding, run, reports)
    base = interpreter(python or Path(sys.executable))
    installer = find_installer()
    requirements = by_name(text for backend in backends.values() for text in backend.requirements)
    question = asked_of(place, package, base, requirements, others, check, case_time)
    if named is None:
        wants_previews = with_previews or any(Version(end).is_prerelease for end in (low, high) if end)
        listed = installer.versions(question.package, base, wants_previews)
        chosen = versions_between(listed, low, high, with_previews)
    else:
        chosen = versions_between([*named, *(end for end in (low, high) if end)], low, high)
    record = Record(question, again)
    if stored := [each for each in chosen if each in record.trials]:
        _say(f"Going on from {record.path}: {len(stored)} of {len(chosen)} versions were tried before.")
    try:
        with _Progress(question.package) as progress:
            found = bisect(question, chosen, installer, record, progress)
    except KeyboardInterrupt:
        _say("Interrupted; the same command goes on.")
        return ending()
    if as_json:
        click.echo(json.dumps({"finding": str(place), **bisection_document(found)}, allow_nan=False))
    else:
        click.echo("\n".join(bisection_lines(found)))
    _note(place, found)
    return 0


def _say(line: str) -> None:
    click.echo(line, err=True)


class _Progress:
    """A line a version: its name when it is begun, and what came of it; a context manager, which ends the last line."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.is_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_begun:
            _say("")

    def begin(self, version: str) -> None:
        self.is_begun = True
        click.echo(plain(f"{self.package} {version}: "), err=True, nl=False)

    def end(self, trial: TriedVersion, is_known: bool) -> None:
        self.is_begun = False
        _say(f"{trial_words(trial)} ({'tried before' if is_known else f'{trial.seconds:.1f} s'})")


def _check_ends(low: str | None, high: str | None, named: tuple[str, ...] | None) -> None:
    """Raises UsageError for ends between which nothing lies."""
    if named is None and (low is None or high is None):
        raise click.UsageError("give both --from and --to, or the --versions to try")
    if low is not None and high is not None and Version(low) == Version(high):
        raise click.UsageError(f"--from {low} --to {high}: these are the same version; give two")


def _place(text: str, run: str, reports: Path) -> Path:
    """The folder of the finding that a user means. Raises OpfuzzError if there is none."""
    place = bundle_folder(text, run, reports)
    if not (place / FINDING).is_file():
        raise OpfuzzError(f"{text}: no finding: it holds no {FINDING}; give findings/<id> of a run, or an id")
    return place


def _note(place: Path, found: Bisection) -> None:
    """Put it into the report for the framework's tracker."""
    path = place / UPSTREAM
    if path.is_symlink() or not path.is_file():
        _say(f"{path}: not there, so nothing is added to it")
        return
    write_text(path, with_bisection(path.read_text(encoding="utf-8", errors="replace"), found))
