"""Causes and relations in words: the only place that makes them, and nothing reads them back."""

from opfuzz.report.causes.sentences import (
    word_cause,
    word_diagnosis,
    word_finding,
    word_reason,
    word_relation,
    word_row,
)
from opfuzz.report.causes.titles import describe, title

__all__ = [
    "alike",
    "describe",
    "title",
    "word_cause",
    "word_diagnosis",
    "word_finding",
    "word_reason",
    "word_relation",
    "word_row",
]
