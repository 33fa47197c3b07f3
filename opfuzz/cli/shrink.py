"""`opfuzz shrink`: make the call of a finding smaller, for longer than a run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from opfuzz.backends import Backend, Subject
from opfuzz.cli.bundle_folder import REPORTS, RUN, bundle_folder
from opfuzz.cli.group import CountRange, Paths, plugin_option
from opfuzz.cli.settings.command import SettledCommand
from opfuzz.core.call import Recipe
from opfuzz.engine.calls import Asked
from opfuzz.engine.machines import machine, versions
from opfuzz.engine.plan import vocabulary
from opfuzz.engine.triage.minimize import Smaller, Target, smaller
from opfuzz.engine.triage.publish import publish
from opfuzz.engine.triage.replay import answer_steps, subject_of, told_apart
from opfuzz.report.finding.upstream import trigger_words
from opfuzz.report.progress import Counted
from opfuzz.report.text import plain
from opfuzz.store.bundle import Bundle, keep_first, read_bundle
from opfuzz.store.write import to_json

ATTEMPTS = 4000
SECONDS = 600.0  # for smaller calls, and again for the condition


@click.command("shrink", cls=SettledCommand)
@click.argument("finding", metavar="DIR|FINDING")
@click.option("--attempts", type=CountRange(min=1), default=ATTEMPTS, help=f"Calls to try at most; default {ATTEMPTS}.")
@RUN
@REPORTS
@plugin_option
def shrink_command(
    finding: str, attempts: int, run: str, reports: Path, plugins: Paths, backends: Mapping[str, Backend]
) -> int:
    """Make the call of a finding smaller, and find out under which condition it fails.

    DIR is its bundle, findings/<id> of a run; FINDING its id or that of its cause, or the beginning of one. The bundle
    is written anew with the smaller call; its files as they first were stay in its folder `before`.
    """
    bundle = read_bundle(bundle_folder(finding, run, reports), vocabulary(backends))
    subject = subject_of(bundle, None, backends)
    asked = Asked(bundle.call, bundle.cause.relation, bundle.switch, apart=told_apart(bundle), lacking=bundle.lacking)
    target = Target(subject, bundle.spec, asked, bundle.element, bundle.finding["verdict"])
    with Counted("calls tried") as shown:
        found = answer_steps(
            bundle,
            subject,
            smaller(target, attempts=attempts, seconds=SECONDS),
            plugins,
            backends,
            lambda done: shown.watch(done, 2 * attempts),
        )
    click.echo(plain(_rewritten(bundle, asked, found, backends)))
    return 0


def _rewritten(bundle: Bundle, asked: Asked, found: Smaller, backends: Mapping[str, Backend]) -> str:
    """What became of the bundle, in one line."""
    minimal = found.minimal
    if not minimal.is_shown:
        return f"{bundle.place}: {minimal.note}"
    finding: dict[str, Any] = {**bundle.finding, "minimal": to_json(minimal)}
    element = bundle.element
    if found.judged is not None:
        decided = found.judged.deciding
        finding["witness"] = to_json(decided and replace(decided, case=finding.get("case", "")))
        element = decided.mark.element if decided else None
    words = "; ".join(part for part in (trigger_words(finding), minimal.note) if part)
    known = bundle.finding.get("minimal") or {}
    is_told = trigger_words(finding) in ("", trigger_words(bundle.finding))
    if known and is_told and minimal.call is asked.call:
        return f"{bundle.place}: nothing smaller found than its {minimal.elements} elements"
    keep_first(bundle.place)
    name = Subject.parse(bundle.subject).backend
    publish(
        bundle.place,
        finding,
        bundle.spec,
        Recipe(bundle.case, minimal.call, bundle.cause.relation, switch=minimal.switch, lacking=bundle.lacking).about(
            element
        ),
        backends,
        versions({name: backends[name]}),
        machine(),
    )
    return f"{bundle.place}: {minimal.before} elements before, {minimal.elements} now{'; ' * bool(words)}{words}"
