"""What a dump has written, in a few lines."""

from __future__ import annotations

from collections import Counter

from opfuzz.network.dump.dump import Dump
from opfuzz.report.text import plain

NAMES = 3  # shown of the values that were left out for one reason


def render(dump: Dump) -> str:
    """How many tensors of how many modules, how large, and what was left out and why."""
    lines = [f"{dump.path}: {dump.tensors} tensors of {dump.modules} modules, {dump.bytes / 1e6:.4g} MB"]
    for why, count in Counter(dump.left_out.values()).items():
        names = [name for name, reason in dump.left_out.items() if reason == why]
        some = ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")
        lines.append(f"left out, {why}: {count} ({some})")
    return "\n".join(plain(line) for line in lines) + "\n"
