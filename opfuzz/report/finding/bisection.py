"""Between which versions a finding came, or went: in words, as a document, and in the report for a tracker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from opfuzz.core.retrial import ABSENT, THERE, Bisection, TriedVersion
from opfuzz.report.finding.upstream import readable
from opfuzz.report.text import plain

WORDS = {ABSENT: "right", THERE: "wrong"}
UNTOLD_SHOWN = 4  # versions that could not be tried, of which each is told why
_SECTION = re.compile(r"^## Since which version of ", re.MULTILINE)


def trial_words(trial: TriedVersion) -> str:
    """What came of one version: `right: computed 0.1`, or why nothing can be told."""
    known = WORDS.get(trial.retrial.answer)
    return plain(f"{known}: {trial.retrial.words}" if known else f"stepped over: {trial.retrial.words}")


def bisection_lines(found: Bisection) -> list[str]:
    """The answer, one line and what weakens it."""
    old, new = found.below.version, found.above.version
    if found.is_fix:
        lines = [f"{found.package} {old} is the last bad version, {new} the first good one"]
    else:
        lines = [f"{found.package} {old} is the last good version, {new} the first bad one"]
    if found.between:
        many = f", and {len(found.between) - UNTOLD_SHOWN} more" if len(found.between) > UNTOLD_SHOWN else ""
        told = "; ".join(f"{each.version}: {each.retrial.words}" for each in found.between[:UNTOLD_SHOWN])
        lines.append(f"between them, it is not known of {told}{many}")
    lines += [
        f"{name} differs as well: {before or 'none'} with {old}, {after or 'none'} with {new}"
        for name, (before, after) in found.companions.items()
    ]
    return [plain(line) for line in [*lines, f"{len(found.trials)} of {found.versions} versions were tried"]]


def bisection_document(found: Bisection) -> dict[str, Any]:
    """The same as JSON: of a fix, the last bad and the first good version."""
    old, new = found.below.version, found.above.version
    names = ("last_bad", "first_good") if found.is_fix else ("last_good", "first_bad")
    return {
        "package": found.package,
        "check": found.check,
        "change": "fixed" if found.is_fix else "broken",
        **dict.fromkeys(("last_good", "first_bad", "last_bad", "first_good")),
        **dict(zip(names, (old, new), strict=True)),
        "not_known": [each.version for each in found.between],
        "differ_as_well": {name: list(pair) for name, pair in found.companions.items()},
        "tried": [
            {
                "version": each.version,
                "answer": each.retrial.answer,
                "words": each.retrial.words,
                "versions": dict(each.retrial.versions),
                "seconds": round(each.seconds, 3),
            }
            for each in found.trials
        ],
        "of": found.versions,
    }


def with_bisection(text: str, found: Bisection) -> str:
    """A report for a tracker with a section on the versions at its end, in place of one on the same package."""
    last = text.rfind("```") + 3 if "```" in text else 0  # no line of code is a heading
    begins = [last + match.start() for match in _SECTION.finditer(text[last:])]
    sections = [text[start:end].strip() for start, end in pairwise([*begins, len(text)])]
    heading = f"## Since which version of {found.package}"
    kept = [section for section in sections if section.partition("\n")[0] != heading]
    before = text[: begins[0]] if begins else text
    own = f"{heading}\n\n{_paragraph(found)}"
    return "\n\n".join([before.strip(), *kept, own]) + "\n"


def _paragraph(found: Bisection) -> str:
    """In sentences, with the versions of all that was there."""
    lines = [f"- {readable(line)}" for line in bisection_lines(found)]
    asked = [] if found.check is None else [f"- as told by the command {readable(found.check)}"]
    return "\n".join([*lines, *asked, *(_with(each) for each in (found.below, found.above))])


def _with(trial: TriedVersion) -> str:
    versions: Mapping[str, str] = trial.retrial.versions
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"- {readable(f'{trial.version}: {trial_words(trial)} ({told})' if told else trial_words(trial))}"
