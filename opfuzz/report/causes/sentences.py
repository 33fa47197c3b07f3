"""Sentences of causes: of one, of a diagnosis, of a row, of a finding."""

from __future__ import annotations

from collections.abc import Sequence

from opfuzz.core.cause import Cause
from opfuzz.core.findings import ExportedGraph, Finding
from opfuzz.core.relation import DISTURBED, REPEATED, Relation
from opfuzz.core.run import Row
from opfuzz.report.causes.kinds import WORDS

NODES = 8  # of an exported graph, that are named
# Kinds that stand beside a cause, as opposed to explaining why a special value was returned.
BESIDE = frozenset({"depends-on", "bits", "natural-nan", "unconfirmed", "at-call", "undiagnosed"})


def word_relation(relation: Relation) -> str:
    """Words that complete `wrong ...`."""
    match relation.kind:
        case "contiguous":
            return "with every input contiguous"
        case "view":
            return f"with {relation.name} as a view ({relation.layout})"
        case "rows":
            return f"when the rows of {relation.name} are called one by one"
        case "reversed":
            return f"when the rows of {relation.name} come in reverse order"
        case "shifted":
            left_out = f"element of {relation.name} is" if relation.by == 1 else _many_left_out(relation)
            return f"when the first {left_out} left out"
        case "disturbed":
            return "after a call with other values"
        case "eager":
            return "in eager mode"
        case "alone":
            return f"when the gradient by {relation.name} is asked for alone"
        case _:
            return "when it is called twice"


def _many_left_out(relation: Relation) -> str:
    return f"{relation.by} elements{f' of {relation.name}' if relation.name else ''} are"


def word_cause(cause: Cause) -> str:
    """One cause in words, with the relation that showed it."""
    words = WORDS[cause.kind](cause)
    if cause.figures.get("ordinary"):
        words = f"on ordinary values {words}"
    if cause.figures.get("wider"):
        words = f"on a larger call {words}"
    if cause.relation is None or cause.relation.kind == REPEATED:
        return words
    relation = word_relation(cause.relation)
    if (only := cause.figures.get("only")) is not None:
        return f"{words} {'only' if only else 'but not'} {relation}"
    is_disturbed = cause.relation.kind == DISTURBED and cause.kind == "depends-on"
    return f"{words} {relation}" if is_disturbed else f"{relation}: {words}"


def word_diagnosis(causes: Sequence[Cause]) -> str:
    """A diagnosis in one sentence."""
    if not causes:
        return ""
    first, *rest = causes
    words = word_cause(first).rstrip(".")
    for place, cause in enumerate(rest):
        is_why = cause.kind not in BESIDE or (cause.kind == "depends-on" and cause.name == "values")
        joint = ": " if place == 0 and first.kind == "special-at" and is_why else "; "
        words += joint + word_cause(cause)
    return words


def word_row(row: Row) -> str:
    """Why a row of the ranking has its verdict."""
    return _counted(row.cause, row.alike, row.verdicts.get(row.verdict, 0))


def word_reason(finding: Finding) -> str:
    """Why a finding has its verdict, as judging has it."""
    return in_output(finding, _counted(finding.cause, finding.alike, finding.cases))


def word_finding(finding: Finding) -> str:
    """What is known of the cause of a finding."""
    return word_looked_into(finding) or word_reason(finding)


def word_looked_into(finding: Finding) -> str:
    """The diagnosis of a finding, and the graph that its call was exported as; "" where it has neither."""
    words = in_output(finding, word_diagnosis(finding.causes))
    return "; ".join(filter(None, (words, word_graph(finding.graph))))


def word_graph(graph: ExportedGraph | None) -> str:
    """What another program made of the call, and whether that is to blame; "" where none did."""
    if graph is None:
        return ""
    left_out = len(graph.nodes) - NODES
    words = f"exported graph: {', '.join(graph.nodes[:NODES])}{f' and {left_out} more' if left_out > 0 else ''}"
    if graph.is_wrong is None:
        return words
    told = "makes the same wrong result" if graph.is_wrong else "makes the right result"
    return f"{words}, of which a reference evaluator {told}"


def in_output(finding: Finding, words: str) -> str:
    """The words, and which of several outputs they are about, where an element of one decided."""
    output = finding.witness.mark.output if finding.witness else ""
    return f"in {output}: {words}" if output and words else words


def _counted(cause: Cause, alike: int, cases: int) -> str:
    words = word_cause(cause)
    return f"{words} ({alike} of {cases} cases)" if words and alike < cases else words
