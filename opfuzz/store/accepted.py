"""Accepted findings: a YAML file that people review, to which `opfuzz accept` appends and which every run reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from opfuzz.core.comparison import ABSENT, EXPIRED, Accepted
from opfuzz.core.errors import OpfuzzError, SpecError, did_you_mean
from opfuzz.core.files.whole_file import write_bytes
from opfuzz.core.files.yaml_nodes import Items, Node, Scalar, Table, YamlSource, read
from opfuzz.core.files.yaml_scalars import misread, value_of
from opfuzz.core.findings import Finding, finding_id
from opfuzz.core.run import Run
from opfuzz.judge.gather import explanation

FILE = "accepted.yaml"  # in the folder of runs
WHAT = "file of accepted findings"
KEYS = tuple(field.name for field in fields(Accepted) if field.name != "status")
NEEDED = tuple(key for key in KEYS if key not in ("until", "link", "cause"))
START = """\
# Findings that are known and accepted: they are reported, and do not count for the exit code of opfuzz run.
# `opfuzz accept` appends here. Mend a reason, a date or a link by hand. A finding counts again when its entry is taken
# out, and after its day `until`.
"""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LINK = re.compile(r"https?://[^\s/]\S*")


def read_accepted(path: Path) -> list[Accepted]:
    """All entries of a file. Raises OpfuzzError, with its line, for each that says less than it must."""
    if _is_empty(path):
        return []
    source, node = read(path, WHAT, "id, op, subject, ... in each entry of a list")
    if not isinstance(node, Items):
        source.report(node.start, f"a {WHAT} is a list; each entry begins with '- id: '")
        raise SpecError(source.problems)
    found: dict[str, Accepted] = {}
    for item in node.items:
        entry = _entry(source, item)
        if entry is not None and entry.id in found:
            source.report(item.start, f"{entry.id} is accepted twice; keep one entry")
        elif entry is not None:
            found[entry.id] = entry
    if source.problems:
        raise SpecError(source.problems)
    return list(found.values())


def _is_empty(path: Path) -> bool:
    """Whether a file holds nothing but comments: what is left when the last entry is taken out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise OpfuzzError(f"{path}: cannot be read: {error.strerror}") from None
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in lines)


def _entry(source: YamlSource, node: Node) -> Accepted | None:
    if not isinstance(node, Table):
        source.report(node.start, f"an entry has the keys {', '.join(KEYS)}")
        return None
    count = len(source.problems)
    texts: dict[str, str] = {}
    for key, value in node.entries.values():
        if key.text not in KEYS:
            source.report(
                key.start, f"unknown key '{key.text}'{did_you_mean(key.text, KEYS) or '; known: ' + ', '.join(KEYS)}"
            )
        elif not isinstance(value, Scalar) or not value.text.strip():
            source.report(value.start, f"{key.text} must be text")
        else:
            texts[key.text] = value.text
            if wrong := _wrong(key.text, value.text):
                source.report(value.start, wrong)
    for name in NEEDED:
        if name not in node.entries:
            source.report(node.start, f"missing key '{name}'")
    if len(source.problems) > count:
        return None
    entry = Accepted(**texts)
    own = finding_id(signature(entry))
    if own != entry.id:
        said = "verdict and relation" if entry.cause is None else "verdict, relation and cause"
        source.report(node.start, f"id is '{entry.id}', but op, subject, format, {said} are those of {own}")
        return None
    return entry


def _wrong(name: str, text: str) -> str:
    """What is wrong with a day or a link; "" if nothing is."""
    if name in ("date", "until"):
        try:
            day(text)
        except ValueError as error:
            return str(error)
    if name == "link" and not _LINK.fullmatch(text):
        return f"'{text:.40}' is no link; write https://..."
    return ""


def day(text: str) -> date:
    """A date as 2026-12-31. Raises ValueError for anything else."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"'{text:.40}' is no date; write 2026-12-31")


def signature(entry: Accepted) -> tuple[str, ...]:
    """What its finding is deduplicated by."""
    own = (entry.op, entry.subject, entry.format, entry.verdict, entry.relation)
    return own if entry.cause is None else (*own, entry.cause)


def entry_of(finding: Mapping[str, Any], reason: str, today: date, until: str | None, link: str | None) -> Accepted:
    """The entry for a finding as its finding.json has it. Raises OpfuzzError for what may not stand in it."""
    if not reason.strip():
        raise OpfuzzError("the reason is empty; say why the finding is accepted with --reason")
    for name, text in (("until", until), ("link", link)):
        if text is not None and (wrong := _wrong(name, text)):
            raise OpfuzzError(f"--{name} {wrong}")
    if until is not None and day(until) < today:
        raise OpfuzzError(f"--until {until} is past, today is {today}; an entry counts up to that day")
    place = {name: str(finding[name]) for name in ("op", "subject", "format", "verdict", "relation")}
    entry = Accepted("", **place, reason=reason.strip(), date=f"{today}", until=until, link=link)
    told = list(finding.get("signature") or [])
    if len(told) > len(signature(entry)):
        entry = replace(entry, cause=told[-1])
    return replace(entry, id=finding_id(signature(entry)))


def accept(path: Path, entry: Accepted) -> None:
    """Append an entry to a file, which is begun if it is not there; what it holds stays as it is, to the byte.

    Raises OpfuzzError if the finding is there already, or the file cannot be read or written.
    """
    old = b""
    if path.exists():
        if any(known.id == entry.id for known in read_accepted(path)):
            raise OpfuzzError(f"{path}: {entry.id} is accepted already; mend its entry, or take it out, by hand")
        old = path.read_bytes()
    begun = old if not old or old.endswith(b"\n") else old + b"\n"
    text = "".join(
        f"{'- ' if name == 'id' else '  '}{name}: {quoted(value)}\n"
        for name in KEYS
        if (value := getattr(entry, name)) is not None
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OpfuzzError(f"{path.parent}: cannot be made: {error.strerror}") from None
    draft = path.with_name(path.name + ".new")
    write_bytes(draft, (begun or START.encode()) + text.encode())
    try:
        if read_accepted(draft)[-1:] != [entry]:
            raise OpfuzzError("")
        draft.replace(path)
    except (OpfuzzError, OSError):
        draft.unlink(missing_ok=True)
        remedy = "its list is not written with '- ' at the beginning of lines, or it is full; add the entry by hand:"
        raise OpfuzzError(f"{path}: nothing can be appended; {remedy}\n{text}") from None


def quoted(text: str) -> str:
    """YAML for a text: plain where that is safe and easy to read, else in double quotes, on one line."""
    plain = Scalar(text, None, 0, 0)
    is_word = re.fullmatch(r"[A-Za-z][\w./:-]*\w", text, re.ASCII) and value_of(plain) == text and not misread(plain)
    if is_word or _DAY.fullmatch(text):
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def considered(entries: Sequence[Accepted], run: Run, today: date) -> tuple[Accepted, ...]:
    """The entries whose op, subject and format a run tried, each with what became of it.

    An entry is for the finding with its id. Other cases may show the same verdict by another promise: where a run has
    not that id, the entry is for the finding with its verdict that no entry names, and gets that one's id. Which of two
    causes is the first is a matter of the cases: the entry of a second one is for that cause alone.
    """
    tried = {(row.op, row.subject, row.format) for row in run.ranking}
    found = {finding.id: finding for finding in run.findings}
    named = {entry.id for entry in entries}
    others: dict[tuple[str, ...], Finding] = {}
    for id, finding in found.items():
        if id not in named:
            own = explanation(finding)
            others |= {(*finding.signature[:4], own.identity): finding}
            others |= {finding.signature[:4]: finding} if not finding.is_by_cause else {}
    return tuple(
        _become(entry, found.get(entry.id) or others.get(_loosely(entry)), today)
        for entry in entries
        if (entry.op, entry.subject, entry.format) in tried
    )


def _loosely(entry: Accepted) -> tuple[str, ...]:
    cause = () if entry.cause is None else (entry.cause,)
    return (*signature(entry)[:4], *cause)


def _become(entry: Accepted, finding: Finding | None, today: date) -> Accepted:
    if finding is None:
        return replace(entry, status=ABSENT)
    is_past = entry.until is not None and day(entry.until) < today
    return replace(entry, id=finding.id, relation=finding.relation, status=EXPIRED if is_past else entry.status)
