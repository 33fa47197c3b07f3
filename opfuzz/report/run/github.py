"""A run as annotations of GitHub Actions: workflow commands on standard output, a line each."""

from __future__ import annotations

from pathlib import Path

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.run import Run
from opfuzz.report.causes import title
from opfuzz.report.causes.figures import counted
from opfuzz.report.run.cause_lines import faulty, headline, reach_words, smallest_words, with_causes, worst_words
from opfuzz.report.run.places import place_of
from opfuzz.report.text import effort, plain
from opfuzz.store.baseline import counting

# See GitHub's "Workflow commands": in a message three characters have another meaning, in a property two more.
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}
SHOWN = 10  # annotations of a kind that GitHub takes of one step


def render(run: Run, folder: Path) -> str:
    """One annotation for each cause of faults: an error if it makes the run fail, else a warning; and a notice.

    It stands at the call in the spec, if that lies below where the run was made. The gravest come first, since GitHub
    shows ten of a kind.
    """
    run = with_causes(run)
    failing, causes = {*counting(run)}, faulty(run)
    lines = [_annotation(common, run, folder, bool(failing.intersection(common.findings))) for common in causes]
    failed = sum(bool(failing.intersection(common.findings)) for common in causes)
    hidden = max(failed - SHOWN, 0) + max(len(causes) - failed - SHOWN, 0)  # of errors, and of warnings
    told = {id for common in causes for id in common.findings}
    if beside := len(failing - told):
        words = f"{counted(beside, 'finding')} beside these, of no cause among them: see the report"
        lines.append(_command("error", words, title="opfuzz"))
    more = f"; {counted(hidden, 'more cause')} in the report" if hidden else ""
    lines.append(_command("notice", f"{headline(run)}{more}; {effort(run)}", title="opfuzz"))
    return "\n".join(lines) + "\n"


def _annotation(common: CommonCause, run: Run, folder: Path, is_failing: bool) -> str:
    finding = next((each for each in run.findings if each.id == common.findings[0]), None)
    place = finding and place_of(run, finding, folder)
    where = {"file": Path(place.path).as_posix(), "line": str(place.line)} if place and place.is_near else {}
    ops = ", ".join(common.ops[:5]) + (f" and {len(common.ops) - 5} more" if len(common.ops) > 5 else "")
    message = "\n".join(
        [
            f"{ops} on {', '.join(common.subjects)} in {', '.join(common.formats)}; reach: {reach_words(common)}; "
            f"worst: {worst_words(common)}",
            smallest_words(common, run),
            f"opfuzz show {common.id}",
        ]
    )
    return _command(
        "error" if is_failing else "warning", message, **where, title=f"{common.framework}: {title(common)}"
    )


def _command(name: str, message: str, **properties: str) -> str:
    """`::error file=specs/exp.yaml,line=9,title=...::message`."""
    given = ",".join(f"{key}={_escaped(value, _PROPERTY)}" for key, value in properties.items())
    return f"::{name} {given}::{_escaped(message, _DATA)}"


def _escaped(text: str, meaning: dict[str, str]) -> str:
    lines = "\n".join(plain(line) for line in text.split("\n"))
    return "".join(meaning.get(character, character) for character in lines)
