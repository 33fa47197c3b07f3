"""What a run's figures depend on besides its cases: the software of a framework, the machine, and what judges them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.run import Run

PLUGIN = "plugin "  # before the name of a plugin's file, among the versions of a run
PROFILE = "profile "  # before the name of a profile
PROCESSOR = ("system", "processor")  # of a machine: on another one, honest arithmetic has other bits
MACHINE = ("python", *PROCESSOR)
ABSENT = "none"

Changed = dict[str, tuple[str, str]]  # by name, then and now


def plugin_versions(plugins: Iterable[Path]) -> dict[str, str]:
    """Digests of plugins, which may put anything in the place of any op. Raises OpfuzzError for one not to be read."""
    found: dict[str, str] = {}
    for path in plugins:
        name = f"{PLUGIN}{path.name}"
        try:
            digest = blake2b(path.read_bytes(), digest_size=4).hexdigest()
        except OSError as error:
            raise OpfuzzError(f"{path}: cannot be read: {error.strerror}") from None
        found[f"{PLUGIN}{path}" if name in found else name] = digest
    return found


def profile_version(profile: object, name: str) -> dict[str, str]:
    """The digest of a profile, which is edited under the same name; `profile` is a record of plain values."""
    return {f"{PROFILE}{name}": blake2b(repr(profile).encode(), digest_size=4).hexdigest()}


def profile_of(run: Run) -> tuple[str, ...]:
    """The name and the digest of a run's profile."""
    return (run.profile or "", *(text for name, text in run.versions.items() if name.startswith(PROFILE)))


def software(versions: Mapping[str, str], framework: str) -> dict[str, str]:
    """What may change the results of a framework: its own version, and any plugin."""
    return {name: text for name, text in versions.items() if name == framework or name.startswith(PLUGIN)}


def software_changed(before: Run, after: Run, framework: str) -> Changed:
    """What of it is another in a later run."""
    then, now = (software(run.versions, framework) for run in (before, after))
    return {
        name: (then.get(name, ABSENT), now.get(name, ABSENT))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    }


def machine_changed(before: Run, after: Run) -> Changed:
    """What of the processor and its system is another."""
    return _changed(before.machine, after.machine, PROCESSOR)


def all_changed(before: Run, after: Run) -> Changed:
    """All of it. A backend that only one of the runs has changed no figure of both; a plugin may have."""
    plugins = {name for name in {*before.versions, *after.versions} if name.startswith(PLUGIN)}
    names = [*sorted((before.versions.keys() & after.versions.keys()) - plugins), *sorted(plugins)]
    return {
        **_changed(before.versions, after.versions, names),
        **_changed(before.machine, after.machine, [name for name in MACHINE if {name} <= before.machine.keys()]),
    }


def word_changed(changed: Mapping[str, tuple[str, str]]) -> str:
    """`torch 2.12 then, 2.13 now; ...`."""
    return "; ".join(f"{name} {then} then, {now} now" for name, (then, now) in changed.items())


def _changed(then: Mapping[str, str], now: Mapping[str, str], names: Iterable[str]) -> Changed:
    pairs = {name: (then.get(name, ABSENT), now.get(name, ABSENT)) for name in names}
    return {name: (a, b) for name, (a, b) in pairs.items() if a != b}
