"""What a run takes from earlier probes: only from those of this machine and of the versions that are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opfuzz.backends import Backend, Subject
from opfuzz.core.probed import Barred, Probed, barred_by
from opfuzz.engine.machines import machine
from opfuzz.engine.probe.session import versions_of
from opfuzz.store.probes import read_probe


@dataclass(frozen=True, slots=True)
class KnownProbes:
    """What is not to be tried, and a line on each probe that says so, or is not used."""

    barred: tuple[Barred, ...]
    lines: tuple[str, ...]


def known_of(subjects: Sequence[str], backends: Mapping[str, Backend]) -> KnownProbes:
    """What the probes of these subjects say; of a subject with an implementation, that of the subject."""
    barred: list[Barred] = []
    lines = []
    for text in dict.fromkeys(text.partition("/")[0] for text in subjects):
        probed = read_probe(text)
        if probed is None:
            continue
        if reason := _stale(probed, backends[Subject.parse(text).backend]):
            remedy = f"a new one: opfuzz doctor --probe {text}"
            lines.append(f"{text}: the probe of {probed.made[:16]} is not used: {reason}; {remedy}")
            continue
        found = barred_by(probed)
        barred += found
        if found:
            lines.append(f"{text}: {len(found)} things are not tried, as the probe of {probed.made[:16]} met them")
    return KnownProbes(tuple(barred), tuple(lines))


def _stale(probed: Probed, backend: Backend) -> str:
    """What has changed since a probe was made; "" where nothing has."""
    now = {**versions_of(backend), **machine()}
    then = {**probed.versions, **probed.machine}
    for name in {**then, **now}:
        if then.get(name) != now.get(name):
            return f"{name} was {then.get(name, 'absent')} and is {now.get(name, 'absent')}"
    return ""
