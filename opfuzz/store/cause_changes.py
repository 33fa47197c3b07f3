"""What became of the causes of faults from one run to a later one: what the software brought, and what the draw met."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opfuzz.core.common_cause import CommonCause
from opfuzz.core.comparison import (
    CAUSE_STATUSES,
    DISCOVERED,
    FIXED,
    NEW,
    REGRESSION,
    UNDECIDED,
    WIDER,
    CauseChange,
    Change,
    Remark,
)
from opfuzz.core.run import Run
from opfuzz.core.verdicts import FAULT
from opfuzz.store.software import PLUGIN, software, software_changed, word_changed

SETTLED = ("not-tried", "other-judge")  # of one that the earlier run can say nothing of
Elder = Callable[[CommonCause], Remark]  # right-then, wrong-then, not-told, or not-asked
State = tuple[tuple[str, str], ...]  # the software of a framework, see `state`
Tried = Mapping[State, Mapping[tuple[str, str], str]]  # the run that tried an op in a format with it


def is_not_asked(common: CommonCause) -> Remark:
    """Of the software of then, where there is none to ask."""
    return Remark("not-asked")


def is_turned(change: Change) -> bool:
    """Whether a call that was right in the earlier run is at fault now."""
    return change.remark.kind in ("same-case", "back")


def state(versions: Mapping[str, str], framework: str) -> State:
    """The software of a framework among the versions of a run, with its name."""
    return (("framework", framework), *sorted(software(versions, framework).items()))


def cause_changes(
    before: Run,
    after: Run,
    changes: Sequence[Change],
    known: Mapping[str, str],
    tried: Tried,
    elder: Elder,
) -> tuple[tuple[CauseChange, ...], int]:
    """The causes that are not as they were, the most important first, and how many are; `changes` are the findings'.

    `known`: runs that know a cause, by its id.
    """
    told = _Causes(before, after, {change.id: change for change in changes}, known, tried, elder)
    found = [change for common in _faults(after).values() if (change := told.now(common)) is not None]
    as_before = len(_faults(after)) - len(found)
    found += told.ended()
    return tuple(sorted(found, key=lambda change: CAUSE_STATUSES.index(change.status))), as_before


def _faults(run: Run) -> dict[str, CommonCause]:
    return {common.id: common for common in run.causes if common.severity == FAULT}


def _others(seen: Iterable[str], known: Collection[str] | None) -> tuple[str, ...]:
    """Those that are not known; none where nothing is."""
    return tuple(dict.fromkeys(each for each in seen if known is not None and each not in known))


@dataclass(frozen=True)
class _Causes:
    before: Run
    after: Run
    changes: Mapping[str, Change]  # of findings, by id
    known: Mapping[str, str]
    tried: Tried
    elder: Elder

    def now(self, common: CommonCause) -> CauseChange | None:
        """What is new about a cause; None if nothing is.

        One that goes by another name now, with findings that were there before, is not new.
        """
        fresh = [self.changes[id] for id in common.findings if self._is_new(id)]
        if not fresh:
            return None
        ids = tuple(each.id for each in fresh)
        earlier = _faults(self.before).get(common.id)
        more = _others((each.op for each in fresh), earlier.ops if earlier else None)
        formats = _others((each.format for each in fresh), earlier.formats if earlier else None)
        if (turned := next(filter(is_turned, fresh), None)) is not None:
            if (run := self._tried_in(common, fresh)) is not None:  # and there the same calls were at fault
                return CauseChange(DISCOVERED, common, more, formats, ids, Remark("tried-before", run))
            return CauseChange(REGRESSION, common, more, formats, ids, turned.remark)
        if earlier is not None or common.id in self.known or len(fresh) < len(common.findings):
            return CauseChange(WIDER, common, more, formats, ids) if more or formats else None
        status, remark = self._origin(common, fresh)
        return CauseChange(status, common, findings=ids, remark=remark)

    def _is_new(self, id: str) -> bool:
        return id in self.changes and self.changes[id].status == NEW

    def _tried_in(self, common: CommonCause, fresh: Sequence[Change]) -> str | None:
        """A run before the earlier one that tried all of this with the software of now, which is another than then."""
        if not software_changed(self.before, self.after, common.framework):
            return None
        known = self.tried.get(state(self.after.versions, common.framework), {})
        runs = [known.get((each.op, each.format)) for each in fresh]
        return None if None in runs else runs[0]

    def _origin(self, common: CommonCause, fresh: Sequence[Change]) -> tuple[str, Remark]:
        """Whether the software or the draw brought a cause that no run knows, and what says so."""
        remarks = [each.remark for each in fresh if each.remark.kind]
        if all(each.remark.kind in SETTLED for each in fresh):
            return DISCOVERED, remarks[0]
        if not (changed := software_changed(self.before, self.after, common.framework)):
            return DISCOVERED, remarks[0] if remarks else Remark("same-software")
        # A reproducer calls the plugin of today, whatever Python it is run with.
        is_plugin = any(name.startswith(PLUGIN) for name in changed)
        answer = Remark("not-told") if is_plugin else self.elder(common)
        if answer.kind in ("right-then", "wrong-then"):
            return REGRESSION if answer.kind == "right-then" else DISCOVERED, answer
        if (run := self._tried_in(common, fresh)) is not None:
            return DISCOVERED, Remark("tried-before", run)
        return UNDECIDED, Remark(answer.kind, f"{word_changed(changed)}{f': {answer.about}' if answer.about else ''}")

    def ended(self) -> Iterator[CauseChange]:
        """The causes of which all that was made again is right now."""
        earlier, later = _faults(self.before), _faults(self.after)
        made: dict[str, set[str]] = {}
        for standing in self.after.replayed:
            made.setdefault(standing.id, set()).add(standing.status)
        # One finding may show two causes; what is at fault still by one that was known is no sign of the other.
        others = {each for id, common in later.items() if id in earlier for each in common.findings}
        for id, common in earlier.items():
            changes = {self.changes[each].status for each in common.findings if each in self.changes}
            told = [made[each] for each in common.findings if each in made and each not in others]
            is_right = {"fixed"} in told and all("fixed" in each for each in told)
            if id not in later and (is_right or changes == {FIXED}):
                is_changed = software_changed(self.before, self.after, common.framework)
                yield CauseChange(FIXED, common, remark=Remark("" if is_changed else "same-software"))
