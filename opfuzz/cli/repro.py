"""`opfuzz repro`: make the call of a finding again, and say whether the fault is still there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from opfuzz.backends import Backend, Subject
from opfuzz.cli.bundle_folder import REPORTS, RUN, bundle_folder
from opfuzz.cli.group import FINDINGS, USAGE, CountRange, Paths, plugin_option
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import strict
from opfuzz.core.results import Mark
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.machines import versions
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.triage.diagnose import seen_of
from opfuzz.engine.triage.replay import Replayed, replay, subject_of
from opfuzz.report.causes import word_cause, word_relation
from opfuzz.report.causes.figures import right
from opfuzz.report.text import plain, quantity
from opfuzz.store.bundle import Bundle, bundles_in, read_bundle

ELEMENT = ("output", "computed", "exact", "ends", "ulp")


@click.command("repro", cls=SettledCommand)
@click.argument("finding", metavar="DIR|FINDING")
@click.option("--subject", metavar="SUBJECT", help="Another one than the bundle's, such as mlx:cpu.")
@click.option("--jobs", type=CountRange(min=1), help="Worker processes; default: the number of cores.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
@RUN
@REPORTS
@plugin_option
def repro_command(
    finding: str,
    subject: str | None,
    jobs: int | None,
    as_json: bool,
    run: str,
    reports: Path,
    plugins: Paths,
    backends: Mapping[str, Backend],
) -> int:
    """Make the call of a finding again, in a process of its own.

    DIR is a bundle, findings/<id> of a run, or a folder of runs: then every bundle in it. FINDING is an id as the
    report lists it, or that of a cause, or the beginning of one. Exits with 1 while a fault is there, with 0 when all
    are gone, with 2 if a bundle is damaged or cannot be tried here.
    """
    folder = bundle_folder(finding, run, reports)
    places = bundles_in(folder)
    words = vocabulary(backends)
    tasks: list[tuple[Bundle, str]] = []
    failed = 0
    for place in places:
        try:
            bundle = read_bundle(place, words)
            tasks.append((bundle, subject_of(bundle, subject, backends)))
        except OpfuzzError as error:
            failed += _complain(error)
    found: list[Replayed] = []

    def tell(answer: Replayed | OpfuzzError) -> None:
        nonlocal failed
        if isinstance(answer, OpfuzzError):
            failed += _complain(answer)
            return
        found.append(answer)
        if not as_json:
            click.echo(_lines(answer, backends) if places == [folder] else _line(answer, folder))

    if tasks:
        replay(tasks, tell, plugins, backends, jobs or os.cpu_count() or 1)
    if as_json:
        click.echo(json.dumps({"bundles": [_document(each, backends) for each in found]}, allow_nan=False))
    if failed:
        return USAGE
    return FINDINGS if any(each.is_there for each in found) else 0


def _complain(error: OpfuzzError) -> int:
    click.echo(plain(str(error).replace("\n", "; ")), err=True)
    return 1


def _line(found: Replayed, folder: Path) -> str:
    """One bundle of those in a folder, and its run where these are runs."""
    finding, score = found.bundle.finding, found.judged.score
    words = "there" if found.is_there else "gone " if _is_own(found) else "none "
    title = f"{finding['op']} on {found.subject} in {finding['format']}"
    place = found.bundle.place
    name = place.name if place.parent in (folder, folder / "findings") else place.relative_to(folder)
    return plain(f"{words}  {name}  {title}: {finding['verdict']} then, {score.verdict} now")


def _lines(found: Replayed, backends: Mapping[str, Backend]) -> str:
    finding, score = found.bundle.finding, found.judged.score
    then = finding.get("witness")
    lines = [
        f"{finding['op']} on {found.subject} in {finding['format']}",
        f"  then      {finding['verdict']}: {_then(found.bundle)}".rstrip(": "),
        *([_element(then)] if then else []),
        f"  now       {score.verdict}: {_seen(score.verdict, score.cause)}".rstrip(": "),
        *([_element({name: getattr(now, name) for name in ELEMENT})] if (now := _mark(found)) else []),
        *(
            f"  version   {name} {before or 'none'} then, {after or 'none'} now"
            for name, (before, after) in _changed(found, backends).items()
        ),
        _end(found),
    ]
    if finding["severity"] != "fault":
        lines[-1] = lines[-1].replace("fault", "note")
    return "\n".join(map(plain, lines))


def _is_own(found: Replayed) -> bool:
    """Whether the finding is of who made the call now."""
    return bool(found.bundle.finding["subject"] == found.subject)


def _end(found: Replayed) -> str:
    if _is_own(found):
        return "the fault is there" if found.is_there else "the fault is gone"
    return f"{found.subject} has the fault as well" if found.is_there else f"{found.subject} does not have the fault"


def _then(bundle: Bundle) -> str:
    """What the run said of it: its diagnosis, where it made one."""
    return str(bundle.finding.get("diagnosis") or _seen(bundle.finding["verdict"], bundle.cause))


def _seen(verdict: str, cause: Cause) -> str:
    """What is seen. Why is a matter of a diagnosis, which is made of more than one call."""
    if SEVERITY[verdict] != FAULT:
        return word_cause(cause)
    seen = [word_cause(each) for each in seen_of(verdict, cause)]
    return "; ".join(seen) or (word_relation(cause.relation) if cause.relation is not None else "")


def _mark(found: Replayed) -> Mark | None:
    shown = found.judged.deciding or found.judged.largest
    return shown.mark if shown else None


def _element(element: Mapping[str, Any]) -> str:
    place = f"in {element['output']}: " if element["output"] else ""
    exact = right(element["exact"], element["ends"], None)
    return f"            {place}computed {element['computed']!r}, exact {exact}, {quantity(element['ulp'])} ulp"


def _changed(found: Replayed, backends: Mapping[str, Backend]) -> dict[str, tuple[str, str]]:
    """Versions then and now, where they differ."""
    then, name = found.bundle.versions, Subject.parse(found.subject).backend
    if not then or not _is_own(found):  # of a recorded program that did not say; or of another subject
        return {}
    now = versions({name: backends[name]})
    return {n: (then.get(n, ""), now.get(n, "")) for n in {**then, **now} if then.get(n) != now.get(n)}


def _document(found: Replayed, backends: Mapping[str, Backend]) -> dict[str, Any]:
    finding, now, then = found.bundle.finding, _mark(found), found.bundle.finding.get("witness") or {}
    document: dict[str, Any] = {
        "path": str(found.bundle.place),
        "id": finding["id"],
        "op": finding["op"],
        "subject": found.subject,
        "format": finding["format"],
        "there": found.is_there,
        "then": {
            "verdict": finding["verdict"],
            "reason": _then(found.bundle),
            **{name: then.get(name) for name in ELEMENT},
        },
        "now": {
            "verdict": found.judged.score.verdict,
            "reason": _seen(found.judged.score.verdict, found.judged.score.cause),
            **{name: getattr(now, name, None) for name in ELEMENT},
        },
        "versions": {
            name: {"then": then or None, "now": now or None} for name, (then, now) in _changed(found, backends).items()
        },
    }
    return dict(strict(document))
