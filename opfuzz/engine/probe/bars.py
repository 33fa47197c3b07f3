"""What a run leaves alone on a subject, looked up by the call that is about to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from opfuzz.backends import Subject
from opfuzz.core.probed import Barred
from opfuzz.spec import OpSpec


class Bars:
    """Barred calls, by subject and format."""

    def __init__(self, barred: Sequence[Barred]) -> None:
        self._by_place: dict[tuple[str, str], list[Barred]] = {}
        for each in barred:
            self._by_place.setdefault((each.subject, each.format), []).append(each)

    def against(self, spec: OpSpec, subject: Subject, format: str, layouts: Mapping[str, str]) -> str | None:
        """Why a call of an op with its inputs in these layouts is not made; None: nothing speaks against it."""
        if not self._by_place:  # nearly always
            return None
        own = (spec.op, spec.digest, subject.implementation)
        named = str(replace(subject, implementation=""))
        for each in self._by_place.get((named, format), ()):
            is_of_op = not each.op or (each.op, each.digest, each.implementation) == own
            if is_of_op and (not each.layout or each.layout in layouts.values()):
                return each.reason
        return None
