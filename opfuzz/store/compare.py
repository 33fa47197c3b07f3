"""One run against an earlier one: which findings are new, which rows are worse on the cases that both made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isnan

from opfuzz.core.comparison import (
    BETTER,
    FIXED,
    GONE,
    NEW,
    STATUSES,
    STILL,
    WORSE,
    Change,
    Comparison,
    Remark,
    Shift,
)
from opfuzz.core.findings import Finding, Standing
from opfuzz.core.run import Core, Row, Run
from opfuzz.core.verdicts import FAULT, NOTE, SEVERITIES, SEVERITY, VERDICTS
from opfuzz.judge.gather import explanation
from opfuzz.store.cause_changes import Elder, Tried, cause_changes, is_not_asked
from opfuzz.store.software import all_changed, machine_changed, profile_of, word_changed

# Subjects are deterministic, so on the same cases a figure that changed is a library that changed; a change of less
# than SLIGHT is not worth a word. Another order of a sum is honest too, and moves an error: what is told of a fault is
# more than NEWS times the error.
SLIGHT = 1.05
NEWS = 4.0  # of the excess
CORPUS = "corpus"  # what knows a finding
FLICKERING = frozenset({"unstable", "timeout", "out-of-memory"})  # verdicts that come and go

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class KnownBefore:
    """What runs before the earlier one say: who knows a finding, a cause, and this software of a framework."""

    findings: Mapping[tuple[str, ...], str] = field(default_factory=dict)  # by op, subject, format and verdict
    causes: Mapping[str, str] = field(default_factory=dict)  # by id
    software: Tried = field(default_factory=dict)


NOTHING_KNOWN = KnownBefore()


def compare(
    before: Run | None, after: Run, known: KnownBefore = NOTHING_KNOWN, elder: Elder = is_not_asked
) -> Comparison:
    """What changed from one run to a later one; without an earlier one, all is new.

    `elder` makes the smallest call of a cause again with the software of then, where that decides something.
    """
    if before is None:
        return Comparison("", after.run, "", {}, tuple(_sorted([_change(NEW, finding) for finding in after.findings])))
    differ = difference(before, after)
    rows = {_place(row): row for row in before.ranking}
    pairs = [(rows[_place(row)], row) for row in after.ranking if _place(row) in rows]
    common = [(then, now, _common(then, now, differ, before, after)) for then, now in pairs]
    turned = {_place(now): _turned(*_steady(then.core, now.core)) for then, now, both in common if both[0].numbers}
    changes = _sorted(_Findings(before, after, differ, known, turned).changes())
    is_elsewhere = bool(machine_changed(before, after))
    shifts = [_shift(then, now, both, is_elsewhere, bool(turned.get(_place(now)))) for then, now, both in common]
    moved = [shift for shift in shifts if shift is not None]
    causes, as_before = cause_changes(before, after, changes, known.causes, known.software, elder)
    return Comparison(
        before.run,
        after.run,
        differ,
        all_changed(before, after),
        tuple(changes),
        tuple(sorted(moved, key=lambda s: (STATUSES.index(s.status), SEVERITIES.index(s.severity), _place(s)))),
        len(shifts) - len(moved),
        causes,
        as_before,
        sum(len(both[0].numbers) for *_, both in common) if differ else 0,
    )


def difference(before: Run, after: Run) -> str:
    """Why two runs did not try the same cases; "" if they did."""
    if before.seed != after.seed:
        return f"seed {before.seed} then, {after.seed} now"
    if before.profile != after.profile:
        return f"profile {before.profile or 'none'} then, {after.profile or 'none'} now"
    if profile_of(before) != profile_of(after):
        return f"the profile {after.profile} changed"
    if before.interrupted or after.interrupted:
        return f"the {'earlier' if before.interrupted else 'later'} run was interrupted"
    if before.planned is None or after.planned is None:
        return "as many as time allowed; --cases makes them the same"
    if before.planned != after.planned:
        return f"{before.planned} of each op then, {after.planned} now"
    if changed := sorted(op for op in before.specs.keys() & after.specs.keys() if before.specs[op] != after.specs[op]):
        return f"the {'spec' if len(changed) == 1 else 'specs'} of {', '.join(changed)} changed"
    if before.versions.get("opfuzz") != after.versions.get("opfuzz"):
        return "opfuzz itself changed"
    return ""


def _place(item: Row | Finding | Shift | Change) -> Place:
    return item.op, item.subject, item.format


def _sorted(changes: list[Change]) -> list[Change]:
    return sorted(
        changes,
        key=lambda c: (STATUSES.index(c.status), SEVERITIES.index(c.severity), VERDICTS.index(c.verdict), _place(c)),
    )


def _change(status: str, finding: Finding, remark: Remark | None = None) -> Change:
    return Change(status, finding.id, *_place(finding), finding.verdict, finding.severity, remark or Remark())


def is_other_judge(before: Run, after: Run, op: str) -> bool:
    """Whether opfuzz or the spec of an op is another, so that equal numbers are not equal cases."""
    runs = (before, after)
    specs = {run.specs[op] for run in runs if op in run.specs}
    return len(specs) > 1 or len({(profile_of(run), run.versions.get("opfuzz")) for run in runs}) > 1


def _common(then: Row, now: Row, differ: str, before: Run, after: Run) -> tuple[Core, Core]:
    """What both runs made of the same cases: of all that were drawn, or of those of the core that both came to.

    A case that hung, or was unstable, may do so or not on a busy machine: it says nothing.
    """
    if differ and is_other_judge(before, after, now.op):
        return Core(), Core()
    return _steady(then.core, now.core) if differ else _steady(then.drawn, now.drawn)


def _steady(*cores: Core) -> tuple[Core, Core]:
    """The cases of two that are in both, and are steady in both."""
    steady = [{n for n, verdict in zip(c.numbers, c.verdicts, strict=True) if verdict not in FLICKERING} for c in cores]
    numbers = steady[0] & steady[1]
    return cores[0].of(numbers), cores[1].of(numbers)


def _turned(then: Core, now: Core) -> frozenset[str]:
    """Verdicts of the faults of cases that were right, and have an error that no other order of a sum would make."""
    pairs = zip(then.verdicts, now.verdicts, then.excesses, now.excesses, strict=True)
    return frozenset(
        verdict
        for was, verdict, before, after in pairs
        if SEVERITY[was] != FAULT and SEVERITY[verdict] == FAULT and (not after > 0 or _step(before, after, NEWS))
    )


@dataclass(frozen=True)
class _Findings:
    """The findings of two runs."""

    before: Run
    after: Run
    differ: str
    known: KnownBefore
    turned: Mapping[Place, frozenset[str]]  # verdicts of cases of the core that were right

    def changes(self) -> list[Change]:
        """What became of each; one that was not met again, on other cases, is left out."""
        earlier = {finding.signature: finding for finding in self.before.findings}
        later = {finding.signature: finding for finding in self.after.findings}
        # A verdict is one finding of its row, told by the simplest case that has it. On other cases that is another
        # one, which may break another promise.
        loose = {signature[:4] for signature in earlier} if self.differ else set()
        still_open = (s for s in self.after.replayed if s.status == "open")
        elsewhere = {(s.op, s.subject, s.format, s.verdict): CORPUS for s in still_open} | dict(self.known.findings)
        # Which of two causes is the first is a matter of the cases, too.
        told = {_by_cause(finding) for finding in self.before.findings}
        found = []
        for signature, finding in later.items():
            if signature in earlier or (finding.is_by_cause and _by_cause(finding) in told):
                found.append(_change(STILL, finding))
            elif finding.is_by_cause:
                found.append(_change(NEW, finding, self._rests_on(finding)))
            elif signature[:4] in loose:
                found.append(_change(STILL, finding, Remark("other-relation", finding.relation)))
            elif signature[:4] in elsewhere:
                found.append(_change(STILL, finding, Remark("known-elsewhere", elsewhere[signature[:4]])))
            else:
                found.append(_change(NEW, finding, self._rests_on(finding)))
        seen = {signature[:4] for signature in later} if self.differ else set()
        ended = (f for signature, f in earlier.items() if signature not in later and signature[:4] not in seen)
        return [*found, *(change for finding in ended for change in self._ended(finding))]

    def _rests_on(self, finding: Finding) -> Remark:
        """What is known of a finding that the earlier run has not."""
        place = _place(finding)
        row = next((row for row in self.before.ranking if _place(row) == place), None)
        if row is None:
            return Remark("not-tried")
        if is_other_judge(self.before, self.after, finding.op):
            return Remark("other-judge")
        is_back = any(s.status == "back" and _is_of(s, finding) for s in self.after.replayed)
        # A call of the corpus is none that the earlier run made.
        is_drawn = not self.differ and finding.number >= 0
        is_turned = (is_drawn and row.severity != FAULT) or finding.verdict in self.turned.get(place, ())
        if finding.verdict in FLICKERING or not (is_back or is_turned):
            return Remark()
        if machine := machine_changed(self.before, self.after):
            return Remark("other-machine", word_changed(machine))
        return Remark("back" if is_back else "same-case")

    def _ended(self, finding: Finding) -> Iterator[Change]:
        """What became of a finding that the later run does not have, where that is known."""
        row = next((row for row in self.after.ranking if _place(row) == _place(finding)), None)
        if row is None or row.verdict == "unsupported":
            remark = Remark("not-tried-any-more") if row is None else Remark("not-supported", cause=row.cause)
            yield _change(GONE, finding, remark)
        elif any(s.id == finding.id and s.status == "fixed" for s in self.after.replayed):
            yield _change(FIXED, finding, Remark("made-again"))
        elif (
            not self.differ
            and finding.apart is None  # else it is told where there is time
            and finding.verdict not in FLICKERING
            and (finding.severity, row.severity) != (NOTE, FAULT)
        ):
            yield _change(FIXED, finding)


def _by_cause(finding: Finding) -> tuple[str, ...]:
    return *finding.signature[:4], explanation(finding).identity


def _is_of(standing: Standing, finding: Finding) -> bool:
    """Whether what was made again is this finding, or the one that stands for it: of its row, with its verdict."""
    told = (standing.op, standing.subject, standing.format, standing.verdict)
    return standing.id == finding.id or (not finding.is_by_cause and told == finding.signature[:4])


def _shift(before: Row, after: Row, common: tuple[Core, Core], is_elsewhere: bool, has_turned: bool) -> Shift | None:
    """Whether a row is worse or better on the same cases: by its verdict, else by a figure that changed.

    On another machine, `is_elsewhere`, that is no news. It is where cases of the core `has_turned` from right to wrong.
    """
    then, now = common
    if not then.numbers:
        return None
    ranks = [VERDICTS.index(core.verdict) for core in common]
    figures = {"excess": (then.excess, now.excess), "max_ulp": (then.ulp, now.ulp)}
    if ranks[0] != ranks[1]:
        steps = {"verdict": 1 if ranks[1] < ranks[0] else -1}
    else:
        steps = {name: _step(*pair, SLIGHT) for name, pair in figures.items()}
    figure, step = next(((name, step) for name, step in steps.items() if step), ("cases", int(has_turned)))
    if not step:
        return None
    severities = [SEVERITY[core.verdict] for core in common]
    is_much = bool(_step(*figures["excess"], NEWS)) or not max(figures["excess"]) > 0  # of a crash there is none
    is_news = FAULT in severities and (is_much or severities[0] != severities[1] or has_turned) and not is_elsewhere
    return Shift(
        WORSE if step > 0 else BETTER,
        *_place(after),
        verdicts=(then.verdict, now.verdict),
        severity=severities[1],
        max_ulp=figures["max_ulp"],
        excess=figures["excess"],
        finding=after.finding,
        figure=figure,
        is_news=is_news,
    )


def _step(before: float, after: float, factor: float) -> int:
    """1 if a figure rose by more than a factor, -1 if it fell so, else 0. NaN, an error without a size, is largest."""
    then, now = (inf if isnan(value) else value for value in (before, after))
    if now > then * factor:
        return 1
    return -1 if then > now * factor else 0
