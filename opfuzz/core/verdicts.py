"""The verdicts, worst first, and how grave each is."""

from __future__ import annotations

from collections.abc import Mapping

FAULT, NOTE, CLEAN = "fault", "note", "clean"

# Worst first: a row of the ranking has the first verdict that any of its cases has.
SEVERITY: Mapping[str, str] = {
    "crash": FAULT,
    "timeout": FAULT,
    "out-of-memory": FAULT,
    "unstable": FAULT,
    "special": FAULT,
    "wrong": FAULT,
    "imprecise": FAULT,
    "narrow": NOTE,
    "normwise": NOTE,
    "unresolved": NOTE,
    "ill-conditioned": NOTE,
    "unsupported": NOTE,
    "stable": CLEAN,
    "faithful": CLEAN,
    "exact": CLEAN,
}
VERDICTS = tuple(SEVERITY)
SEVERITIES = (FAULT, NOTE, CLEAN)
