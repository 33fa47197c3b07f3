"""Causes and relations in words: the only place that makes them, and nothing reads them back."""

from opfuzz.report.causes.sentences import (
    describe,
    word_cause,
    word_diagnosis,
    word_finding,
    word_reason,
    word_relation,
    word_row,
)

__all__ = [
    "describe",
    "word_cause",
    "word_diagnosis",
    "word_finding",
    "word_reason",
    "word_relation",
    "word_row",
]
