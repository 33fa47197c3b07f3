"""What programs made of exported cases: a tensor or a word for each, from files that nobody has checked."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from opfuzz.backends import unlike_spec, wrong_shape
from opfuzz.core.cause import Cause
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.files import plain_file
from opfuzz.core.floats import FORMATS
from opfuzz.core.results import Outcome
from opfuzz.spec import OpSpec
from opfuzz.store.bundle.tensors import Place, places_in, read_tensor
from opfuzz.store.exchange.export import Export, ExportedCase, output_name
from opfuzz.store.exchange.files import (
    ABOUT,
    ABOUT_LIMIT,
    FILES_LIMIT,
    NAME,
    OUTPUT_HEADER,
    OUTPUT_LIMIT,
    OUTPUTS,
    STATUS,
    STATUS_LIMIT,
    SUFFIX,
    check_folder,
    unusable,
)

OK, UNSTABLE = "ok", "unstable"
WORDS = ("unsupported", "crash", "timeout", "out-of-memory", UNSTABLE)  # the last one beside an output
WORDS_LIMIT = 400  # characters of a version, or of what is said of a machine
FIELDS = ("subject", "versions", "machine")


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """What there is of one case: tensors, a word on it, or both."""

    status: str
    message: str = ""
    tensors: Mapping[str, tuple[Path, Place]] = field(default_factory=dict)  # by output


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """All that one program, the subject, wrote."""

    place: Path
    subject: str  # as reports name it
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    told: Mapping[
        str, Mapping[str, RecordedAnswer]
    ]  # by the id of the case, then by implementation; '' where there is one

    def name(self, implementation: str) -> str:
        """The subject with one of its implementations."""
        return f"{self.subject}/{implementation}" if implementation else self.subject


def folder_of(text: str) -> str:
    """The folder of a subject: `mlx-gpu` for `mlx:gpu`, since not every file system has colons."""
    return text.replace(":", "-")


def recorded_names(export: Export) -> list[str]:
    """The folders of all programs that wrote outputs."""
    place = export.place / OUTPUTS
    if not place.exists():
        return []
    check_folder(place)
    return sorted(entry.name for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def read_recorded(export: Export, text: str) -> Recorded:
    """What is in the folder of a program, named as the folder or as the subject; outputs are not read yet.

    Raises OpfuzzError, in one line, if it is not there, damaged, or tells two things of one case.
    """
    known = recorded_names(export)
    name = folder_of(text)
    if not NAME.fullmatch(name):
        raise OpfuzzError(f"'{text:.80}' is no name; write letters, digits and any of . _ - + : after the first letter")
    if name not in known:
        remedy = did_you_mean(name, known) or f"; there is {', '.join(known) or 'none'}"
        raise OpfuzzError(f"{export.place / OUTPUTS}: no outputs of '{text:.80}'{remedy}")
    place = export.place / OUTPUTS / name
    check_folder(place)
    about = _about(place)
    specs = {entry.case.id: export.specs[entry.case.op] for entry in export.entries}
    told: dict[str, dict[str, RecordedAnswer]] = {}
    for path in _tensor_files(place):
        for tensor, where in _places(path).items():
            case, implementation, output = _named(tensor, specs, path)
            held = told.setdefault(case, {}).setdefault(implementation, RecordedAnswer(OK))
            if output in held.tensors:
                raise unusable(path, f"tensor {tensor!r:.60} is in another file as well")
            told[case][implementation] = replace(held, tensors={**held.tensors, output: (path, where)})
    for at, tensor, status, message in _lines(place / STATUS):
        case, implementation = _case(tensor, specs, place / STATUS)
        before = told.setdefault(case, {}).get(implementation)
        if (before is not None) != (status == UNSTABLE) or (before is not None and before.status != OK):
            there = "no output" if before is None else "an output, or another word, already"
            raise unusable(place / STATUS, f"line {at}: {status} for {tensor!r:.60}, which has {there}")
        told[case][implementation] = RecordedAnswer(status, message, before.tensors if before else {})
    subject = about.get("subject", text if ":" in text else name)
    return Recorded(place, subject, about.get("versions", {}), about.get("machine", {}), told)


def missing(export: Export, recorded: Recorded) -> tuple[str, ...]:
    """The cases of which there is nothing, each named; of an op with several implementations, for each of them."""
    known: dict[str, set[str]] = {}
    for entry in export.entries:
        known.setdefault(entry.case.op, set()).update(recorded.told.get(entry.case.id, ()))
    return tuple(
        f"{entry}{f' by {implementation}' if implementation else ''}"
        for entry in export.entries
        for implementation in sorted(known[entry.case.op] or {""})
        if implementation not in recorded.told.get(entry.case.id, ())
    )


def outcome(spec: OpSpec, entry: ExportedCase, subject: str, told: RecordedAnswer) -> Outcome:
    """What a program did on a case, as a backend tells it: other outputs than the spec says are a crash.

    `subject` is its name, with the implementation. Raises OpfuzzError if its file was changed meanwhile.
    """
    case = entry.case
    if not told.tensors:
        return Outcome(subject, told.status, cause=Cause("fails", figures={"words": told.message}))
    outputs, dtype = [], FORMATS[case.format].dtype
    for name, shape in spec.output_shapes(case.dims, case.params).items():
        if name not in told.tensors:
            missing = wrong_shape("count", f"returned {', '.join(told.tensors)}, and no output {name}", name)
            return Outcome(subject, "crash", cause=missing)
        path, place = told.tensors[name]
        cause = unlike_spec(name, (place.words, place.shape), (dtype.name, shape))
        if cause is not None:
            return Outcome(subject, "crash", cause=cause)
        complain = partial(unusable, path)
        with plain_file.opened(path, OUTPUT_LIMIT, complain) as (file, _):
            try:
                outputs.append(read_tensor(file, output_name(case.id, "", name), place))
            except ValueError as error:
                raise complain(str(error)) from None
    repeated = (False,) * len(outputs) if told.status == UNSTABLE else None
    return Outcome(subject, OK, tuple(outputs), repeated=repeated)


def _named(tensor: str, specs: Mapping[str, OpSpec], path: Path) -> tuple[str, str, str]:
    """The case that a tensor is of, the implementation and the output."""
    spec = specs.get(tensor.partition("/")[0])
    names = [output.name for output in spec.outputs] if spec is not None else [""]
    if names == [""]:
        return *_case(tensor, specs, path), ""
    rest, _, output = tensor.rpartition("/")
    if output not in names:
        raise unusable(path, f"{tensor!r:.60} does not end with '/' and the name of an output: {', '.join(names)}")
    return *_case(rest, specs, path), output


def _case(tensor: str, cases: Collection[str], path: Path) -> tuple[str, str]:
    """The case that a tensor or a line is of, and the implementation."""
    case, slash, implementation = tensor.partition("/")
    if case not in cases:
        raise unusable(path, f"{tensor!r:.60} is no case of this folder")
    if slash and not NAME.fullmatch(implementation):
        raise unusable(path, f"{tensor!r:.60} has no name of an implementation after the '/'")
    return case, implementation


def _tensor_files(place: Path) -> list[Path]:
    found = sorted(path for path in place.iterdir() if path.name.endswith(SUFFIX))
    if len(found) > FILES_LIMIT:
        raise unusable(place, f"{len(found)} files, the limit is {FILES_LIMIT}")
    return found


def _places(path: Path) -> dict[str, Place]:
    complain = partial(unusable, path)
    with plain_file.opened(path, OUTPUT_LIMIT, complain) as (file, size):
        try:
            return places_in(file, size, OUTPUT_HEADER)
        except ValueError as error:
            raise complain(str(error)) from None


def _lines(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Number, case, word and message of each line of a status file, which may be missing or empty."""
    if not os.path.lexists(path) or (path.is_file() and not path.stat().st_size):
        return
    complain = partial(unusable, path)
    with plain_file.opened(path, STATUS_LIMIT, complain) as (file, size):
        text = file.read(size).decode(errors="replace")  # a message may be of any program
    for at, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        tensor, status, message = (*line.strip().split(maxsplit=2), "", "")[:3]
        if status not in WORDS:
            remedy = did_you_mean(status[:40], WORDS) or f"; known: {', '.join(WORDS)}"
            raise complain(f"line {at}: unknown status {status!r:.40}{remedy}")
        yield at, tensor, status, message or "the program says no more"


def _about(place: Path) -> dict[str, Any]:
    """What the program says of itself, where it does."""
    path = place / ABOUT
    if not os.path.lexists(path):
        return {}
    complain = partial(unusable, path)
    found = plain_file.document(path, ABOUT_LIMIT, complain)
    for name, value in found.items():
        if name not in FIELDS:
            raise complain(f"unknown key {name!r:.40}{did_you_mean(name[:40], FIELDS)}")
        if name == "subject":
            if not isinstance(value, str) or not NAME.fullmatch(folder_of(value)):
                raise complain(f"subject is {value!r:.40}, not a name such as mlx:gpu")
        elif not isinstance(value, dict) or not all(_is_words(word) for pair in value.items() for word in pair):
            raise complain(f"{name} is {value!r:.40}, not an object with a line of text by name")
    return found


def _is_words(value: object) -> bool:
    """Whether it is text that any file and terminal takes."""
    return isinstance(value, str) and value.isprintable() and len(value) <= WORDS_LIMIT
