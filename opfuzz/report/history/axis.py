"""The axis of time: where a run stands on it, which runs lie too far apart for a line, and what changed when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from statistics import median

from opfuzz.store.lives import Night
from opfuzz.store.software import ABSENT, MACHINE, PLUGIN

PAD = 2.0  # percent at both ends, where marks need room
FAR = 1.5  # times the usual distance between runs, beyond which one did not run
REGULAR = 2 / 3  # of the distances are near the usual one, or else there is none
LEAST = 3  # distances that make a rhythm
TICKS = 6  # at most
DAY = 86400.0
SECONDS = (60, 300, 900, 1800, 3600, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY)  # between ticks
MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 600, 6000, 60000)
MONDAY = 4 * DAY  # 5 January 1970: from there weeks are counted


@dataclass(frozen=True, slots=True)
class Axis:
    """Time from the first run to the last. Places are percent of a picture's width."""

    first: float  # seconds since 1970
    last: float
    usual: float | None  # seconds between runs; None: they follow no rhythm, so that none can be missing

    @classmethod
    def of(cls, times: Sequence[float]) -> Axis:
        """The axis of runs at these times, in order."""
        return cls(times[0], times[-1], _usual(times)) if times else cls(0.0, 0.0, None)

    def x(self, at: float) -> float:
        """The place of a time; 50 where all runs are of one."""
        if self.last <= self.first:
            return 50.0
        share = (at - self.first) / (self.last - self.first)
        return PAD + (100 - 2 * PAD) * min(max(share, 0.0), 1.0)

    def is_gap(self, then: float, now: float) -> bool:
        """Whether a run is missing between two."""
        return self.usual is not None and now - then > FAR * self.usual

    def when(self, at: float) -> str:
        """A time in UTC: the day, and the hour where all runs lie within a few days."""
        time = _utc(at)
        day = f"{time.day} {time:%b} {time.year}"
        return day if self.last - self.first > 3 * DAY else f"{day} {time:%H:%M}"

    def ticks(self) -> list[tuple[float, str]]:
        """Places of round times, and their names."""
        return [(self.x(at), name) for at, name in _ticks(self.first, self.last)]


def _usual(times: Sequence[float]) -> float | None:
    """The distance that most runs keep, or else most days that had runs: a second run a night is no rhythm."""
    days = {int(at // DAY): at for at in reversed(times)}  # the first run of each
    for each in (times, sorted(days.values())):
        distances = [now - then for then, now in pairwise(each)]
        if len(distances) < LEAST:
            continue
        usual = median(distances)
        near = sum(usual / FAR <= distance <= usual * FAR for distance in distances)
        if usual > 0 and near >= REGULAR * len(distances):
            return usual
    return None


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _ticks(first: float, last: float) -> list[tuple[float, str]]:
    """At most TICKS round times in between, as close as that allows, and their names."""
    for step in SECONDS:
        start = first - (first - MONDAY) % step
        if start + (TICKS + 1) * step > last:
            found = [at for n in range(TICKS + 2) if first <= (at := start + n * step) <= last]
            if len(found) <= TICKS:
                return [(at, _name(_utc(at))) for at in found]
    for months in MONTHS:
        times = list(islice(_months(_utc(first), _utc(last), months), TICKS + 1))
        if len(times) <= TICKS:
            break
    return [(time.timestamp(), f"{time:%b}" if time.month > 1 else f"{time.year}") for time in times[:TICKS]]


def _name(time: datetime) -> str:
    return f"{time:%H:%M}" if (time.hour, time.minute) != (0, 0) else f"{time.day} {time:%b}"


def _months(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    month = first.year * 12 + first.month - 1
    for each in range(month - month % step or step, last.year * 12 + last.month, step):
        time = datetime(each // 12, each % 12 + 1, 1, tzinfo=UTC)
        if first <= time <= last:
            yield time


@dataclass(frozen=True, slots=True)
class Turn:
    """What was another in a run than in those before it: versions, plugins, the machine."""

    night: Night
    changed: tuple[tuple[str, str, str], ...]  # name, then, now

    @property
    def words(self) -> str:
        """`mlx 0.31 → 0.32; python 3.11 → 3.12`."""
        return "; ".join(f"{name} {then} → {now}" for name, then, now in self.changed)


def turns(nights: Sequence[Night]) -> list[Turn]:
    """Where versions, plugins or the machine changed, the oldest first.

    A version is held against the last run that had one, for a run need not try every framework. A plugin that comes or
    goes is told between runs of the same subjects.
    """
    known: dict[str, str] = {}
    before: dict[tuple[str, ...], Night] = {}
    found = []
    for night in nights:
        versions = {**night.versions, **{name: night.machine[name] for name in MACHINE if name in night.machine}}
        changed = {name: (known[name], now) for name, now in versions.items() if known.get(name, now) != now}
        if (like := before.get(night.subjects)) is not None:
            for name in sorted({*like.versions} ^ {*night.versions}):
                if name.startswith(PLUGIN):
                    changed[name] = (like.versions.get(name, ABSENT), night.versions.get(name, ABSENT))
        if changed:
            found.append(Turn(night, tuple((name, *pair) for name, pair in changed.items())))
        known |= versions
        before[night.subjects] = night
    return found
