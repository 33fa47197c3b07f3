"""What a command complains about on standard error, whatever else a slow machine is told there."""

from __future__ import annotations

import re

HOW_FAR = re.compile(r"[\d,]+ (cases,|of [\d,]+) ")


def complaints(err: str) -> str:
    """The lines but for those that say how far the command is, which come after ten seconds."""
    return "".join(line for line in err.splitlines(keepends=True) if not HOW_FAR.match(line))
