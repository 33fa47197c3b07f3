"""What is asked of the versions of a package: does a finding show with it, or a check of the user's own fail?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.engine.drivers.elsewhere import Interpreter, packages_of, reproducer_of
from opfuzz.store.bundle import CALL
from opfuzz.store.bundle.files import document


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked of every version of a package."""

    place: Path  # the finding's folder
    package: str
    python: Interpreter  # for the environments
    requirement: str  # of the package, without its version
    beside: tuple[tuple[str, ...], ...]  # other requirements, see Wanted
    check: str | None  # the user's own command in place of the reproducer
    seconds: float  # that a trial may take


def asked_of(
    place: Path,
    package: str,
    python: Interpreter,
    extras: Mapping[str, str],
    others: Sequence[str],
    check: str | None,
    seconds: float,
) -> Inquiry:
    """The question that a finding asks of a package.

    `extras` are packages that have to be asked for by more than their name; `others` are requirements of the user's.
    Raises OpfuzzError if the finding has no reproducer, and no check stands for it, or if it does not use the package.
    """
    try:
        name = canonicalize_name(package, validate=True)
    except InvalidName:
        raise OpfuzzError(f"--package '{package:.60}' is no name of a package; write torch or numpy") from None
    needed = _needed(place, check)
    own = _own(others)
    if check is None and name not in {*needed, *own, *_required(needed)}:
        uses = ", ".join(needed)
        raise OpfuzzError(
            f"{place}: its reproducer uses {uses}, and no '{package:.60}'{did_you_mean(name, {*needed, *own})}"
        )
    loose = {each: extras.get(each, each) for each in needed if each != name} | own
    then = _versions_then(place) if (place / CALL).exists() else {}
    fixed = {
        each: f"{text}=={then[each]}" if each in then.keys() - own.keys() else text for each, text in loose.items()
    }
    beside = dict.fromkeys((tuple(fixed.values()), tuple(loose.values())))
    return Inquiry(place, name, python, extras.get(name, name), tuple(beside), check, seconds)


def _versions_then(place: Path) -> dict[str, str]:
    """The versions with which a finding was made, of packages that have one."""
    told = document(place, CALL).get("versions")
    found: dict[str, str] = {}
    for name, text in told.items() if isinstance(told, dict) else ():
        with suppress(InvalidVersion, TypeError):
            found[canonicalize_name(name)] = str(Version(text))
    return found


def _needed(place: Path, check: str | None) -> tuple[str, ...]:
    try:
        return packages_of(reproducer_of(place))
    except OpfuzzError:
        if check is None:
            raise
        return ()


def _own(requirements: Iterable[str]) -> dict[str, str]:
    """Requirements of the user's, by the names of their packages. Raises OpfuzzError for what is none."""
    found: dict[str, str] = {}
    for text in requirements:
        try:
            found |= by_name([text])
        except InvalidRequirement:
            remedy = "write it as 'numpy<2' or scipy==1.14.1"
            raise OpfuzzError(f"--with '{text:.80}' is no requirement of a package; {remedy}") from None
    return found


def by_name(requirements: Iterable[str]) -> dict[str, str]:
    """Requirements by the names of their packages. Raises InvalidRequirement for what is none."""
    return {canonicalize_name(Requirement(text).name): text for text in requirements}


def _required(packages: Iterable[str]) -> set[str]:
    """Packages that are installed here since one of these wants them, at any remove."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        try:
            texts = metadata.distribution(waiting.pop()).requires or []
        except metadata.PackageNotFoundError:
            continue
        wanted = [each for each in map(Requirement, texts) if not each.marker or each.marker.evaluate({"extra": ""})]
        fresh = {canonicalize_name(each.name) for each in wanted} - found
        found |= fresh
        waiting += fresh
    return found


def versions_between(
    known: Iterable[str], low: str | None, high: str | None, with_previews: bool = True
) -> tuple[str, ...]:
    """The versions from `low` to `high`, both among them, oldest first, each once.

    Raises OpfuzzError if an end is none of them, or fewer than two are left.
    """
    by_version = {Version(text): text for text in known}
    ends = [Version(text) for text in (low, high) if text is not None]
    for end in ends:
        if end not in by_version:
            near = sorted(by_version, key=lambda each: abs(_rank(each, by_version) - _rank(end, by_version)))[:4]
            there = ", ".join(by_version[each] for each in sorted(near))
            raise OpfuzzError(f"no version {end} is to be had for this Python; the nearest are {there or 'none'}")
    first, last = (min(ends), max(ends)) if len(ends) == 2 else (ends[0] if low else None, ends[0] if high else None)
    chosen = [
        version
        for version in sorted(by_version)
        if (first is None or version >= first) and (last is None or version <= last)
        if with_previews or version in ends or not version.is_prerelease
    ]
    if len(chosen) < 2:
        only = f"only {by_version[chosen[0]]}" if chosen else "no version"
        raise OpfuzzError(f"{only} to try: give two versions at least, such as --from 2.0.0 --to 2.3.5")
    return tuple(by_version[version] for version in chosen)


def _rank(version: Version, known: Iterable[Version]) -> int:
    return sum(each < version for each in known)
