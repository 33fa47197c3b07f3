"""Findings gathered by their causes: one for each kind and name on a framework, over ops, formats and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from math import isnan

from opfuzz.core.cause import NOTHING, UNEXPLAINED, WORDED, Cause, Figure
from opfuzz.core.common_cause import EMPTY, OWN, REACHES, UNKNOWN, CommonCause, SmallestCall, WorstFigures
from opfuzz.core.findings import Finding
from opfuzz.core.results import Witness
from opfuzz.core.verdicts import FAULT, SEVERITIES
from opfuzz.judge.reach import reach_of

Key = tuple[str, ...]  # severity, framework, kind, name, and what else tells causes apart

FORMATS_FIRST = ("float32", "float16", "bfloat16", "float64")  # of findings that say the same
# What these say of an op is what it does there; why, they leave open: all of an op are one cause.
OPEN = frozenset({"", "unexplained", "rounds-argument", "special-at", "fails", "told", "undiagnosed"})
SEEN = frozenset({"", "unexplained", "special-at", "undiagnosed"})  # of these, what says nothing of why
BESIDE = frozenset({"depends-on", "bits", "unconfirmed", "at-call", "undiagnosed"})  # conditions of a special value
# What the name is, or says, is a matter of the op.
ONE_OP = frozenset({"depends-on", "leaks", "scales-gradient", "arranges-gradient", "mistakes-gradient"})
REPETITION = ("depends-on", "repetition")
SAME = {"formula": "is-variant"}  # kinds that differ in whether another meaning or only another error comes of it


def place_of_format(fmt: str) -> int:
    """Where a format stands among those that say the same; one that is not known, at the end."""
    return FORMATS_FIRST.index(fmt) if fmt in FORMATS_FIRST else len(FORMATS_FIRST)


def explanation(finding: Finding) -> Cause:
    """What explains a finding: its diagnosis; of a special value, why it was returned, if that is known."""
    return explanation_in(finding.causes or (finding.cause,))


def explanation_in(diagnosis: Sequence[Cause]) -> Cause:
    """The same of a diagnosis alone."""
    first, *rest = diagnosis
    if first.kind == "special-at":
        return next((cause for cause in rest if cause.kind not in BESIDE), first)
    return first


def gather(findings: Sequence[Finding]) -> tuple[CommonCause, ...]:
    """The causes behind findings, by severity, then reach, then whether they explain, then excess.

    Their smallest calls are not written yet.
    """
    groups: dict[Key, list[Finding]] = {}
    inherited: list[Finding] = []
    for finding in findings:
        if explanation(finding).kind == "inherits":
            inherited.append(finding)
        else:
            groups.setdefault(_key(finding), []).append(finding)
    groups = _gather_refusals(groups)
    own = dict(groups)  # before any finding is added that is not of its op
    links = {(_framework(each), each.op, each.format): explanation(each).name for each in inherited}
    for finding in inherited:
        key = _source(finding, own, links)
        groups.setdefault(key, []).append(finding)
    return tuple(sorted((_common(key, found) for key, found in groups.items()), key=_place))


def _gather_refusals(groups: Mapping[Key, list[Finding]]) -> dict[Key, list[Finding]]:
    """The same, with all exceptions of a framework that are raised only where a dim is 0 as one cause: it refuses that.

    In which op, and in what words, is a matter of the first step that meets the empty array.
    """
    found: dict[Key, list[Finding]] = {}
    for key, members in groups.items():
        reaches = {reach_of(each) for each in members if not _is_empty(each)}
        is_refusal = key[2] == "raises" and EMPTY in map(reach_of, members) and reaches <= {EMPTY}
        found.setdefault((*key[:3], EMPTY, "", "") if is_refusal else key, []).extend(members)
    return found


def _is_empty(finding: Finding) -> bool:
    """Whether a finding of which no more is known has a dim of 0."""
    case, minimal = finding.recipe.case, finding.minimal
    dims = minimal.call.dims if minimal is not None else case.dims if case is not None else {}
    return reach_of(finding) == UNKNOWN and 0 in dims.values()


def _framework(finding: Finding) -> str:
    return finding.subject.partition(":")[0]  # of a program that has no backend, its name


def _key(finding: Finding) -> Key:
    cause = explanation(finding)
    place = (finding.severity, _framework(finding))
    if cause.kind in OPEN:
        return (*place, UNEXPLAINED.kind, "", finding.op)
    name = OWN if cause.name == finding.format else cause.name
    kind, how = SAME.get(cause.kind, cause.kind), cause.figures.get("how")
    if isinstance(sets := cause.figures.get("sets"), tuple):  # whether a spec has a name for that value or not
        kind, name, how = "is-setting", str(sets[0]), ("value", sets[1])
    told = [_roughly(how), *(_roughly(cause.figures.get(figure)) for figure in ("bits", "output"))]
    if kind == "overflows-inside":  # x^2 or exp(x) beyond the format, in whatever op
        return (*place, kind, name, str(cause.figures.get("step", "")), "")
    more = cause.wording if cause.kind in WORDED else told
    return (*place, kind, name, repr(more), finding.op if kind in ONE_OP or "step" in cause.figures else "")


def _roughly(figure: Figure) -> Figure:
    """A figure that tells causes apart; of what was solved for, one digit, as the next may be another elsewhere."""
    if isinstance(figure, tuple):
        return tuple(map(_roughly, figure))
    return float(f"{figure:.1g}") if isinstance(figure, float) else figure


def _source(
    finding: Finding, groups: Mapping[Key, Sequence[Finding]], links: Mapping[tuple[str, str, str], str]
) -> Key:
    """The cause of the primitive that a finding inherits from; one of its own where none was found at fault.

    `links` say of a framework, op and format from which primitive that op inherits.
    """
    framework, op, seen = _framework(finding), explanation(finding).name, {finding.op}
    while (further := links.get((framework, op, finding.format))) is not None and op not in seen:
        seen.add(op)
        op = further
    found = {
        key: [each for each in members if each.op == op]
        for key, members in groups.items()
        if key[0] == FAULT and key[1] == framework
    }
    known = {key: members for key, members in found.items() if members}
    if not known:
        return finding.severity, framework, "inherits", op, "", ""

    def weight(key: Key) -> tuple[bool, int, Key]:
        return all(each.format != finding.format for each in known[key]), -len(known[key]), key

    return min(known, key=weight)


def _common(key: Key, found: Sequence[Finding]) -> CommonCause:
    reaches = {finding.id: reach_of(finding) for finding in found}

    def order(finding: Finding) -> tuple[object, ...]:
        """The widest reach first, of what is known; then what says more than what is seen, and shows it simplest."""
        reach, minimal, own = reaches[finding.id], finding.minimal, explanation(finding)
        kind = own.kind
        is_inherited = kind == "inherits" and key[2] != "inherits"
        size = minimal.elements if minimal is not None and minimal.is_shown else float("inf")
        place = place_of_format(finding.format)
        # Of calls that differ from one another, equal ones made at once can be shown alone.
        comes_and_goes = (kind, own.name) == REPETITION and own.relation is None
        rank = (is_inherited, comes_and_goes, reach == UNKNOWN, REACHES.index(reach))
        # A number that is wrong shows what is computed; an infinity, of what little is left of it.
        shown = (kind in SEEN, finding.verdict == "special", place, size)
        return *rank, *shown, finding.op, finding.id

    first, *_ = members = sorted(found, key=order)
    # Of an exception that calls without an empty array raise as well, empty ones say nothing.
    unsaid = {UNKNOWN, EMPTY} if key[2] == "raises" and key[3] != EMPTY else {UNKNOWN}
    known = [reaches[finding.id] for finding in members if reaches[finding.id] not in unsaid]
    cause = explanation(first)
    is_open = key[2] == UNEXPLAINED.kind
    return CommonCause(
        id=blake2b("\0".join(key).encode(), digest_size=6).hexdigest(),
        kind=cause.kind if not is_open or cause != NOTHING else UNEXPLAINED.kind,
        name=OWN if key[3] == OWN else cause.name,
        framework=key[1],
        severity=key[0],
        reach=min(known, key=REACHES.index) if known else UNKNOWN,
        cause=cause,
        subjects=tuple(dict.fromkeys(finding.subject for finding in members)),
        ops=_by_count(members, first.op),
        formats=tuple(fmt for fmt in FORMATS_FIRST if any(finding.format == fmt for finding in members)),
        worst=WorstFigures(_largest(each.ulp for each in members), _largest(each.excess for each in members)),
        smallest=_smallest(first.witness),
        trigger=first.minimal.trigger if first.minimal is not None else None,
        findings=tuple(finding.id for finding in members),
        path=f"findings/{first.id}",
    )


def _smallest(witness: Witness | None) -> SmallestCall:
    if witness is None:
        return SmallestCall("", None, None)
    mark = witness.mark
    element = str(mark.element) if mark.output or any(mark.index) else ""
    return SmallestCall("", mark.computed, mark.exact, element, mark.ends)


def _by_count(members: Sequence[Finding], first: str) -> tuple[str, ...]:
    counts = Counter(finding.op for finding in members)
    return tuple(sorted(counts, key=lambda op: (op != first, -counts[op], op)))


def _largest(figures: Iterable[float]) -> float:
    found = list(figures)
    return float("nan") if any(map(isnan, found)) else max(found, default=0.0)


def _place(common: CommonCause) -> tuple[object, ...]:
    excess, is_open = common.worst.excess, common.kind in OPEN
    return (
        SEVERITIES.index(common.severity),
        # Of what is not explained, and was not asked, nobody knows that it touches ordinary values.
        len(REACHES) if is_open and common.reach == UNKNOWN else REACHES.index(common.reach),
        is_open,  # what is known helps more than what is not, which is often the same
        -(float("inf") if isnan(excess) else excess),
        common.framework,
        common.ops,
        common.id,
    )
