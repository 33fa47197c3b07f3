"""What to do next with a run: the commands for its worst cause."""

from __future__ import annotations

import shlex
from pathlib import Path

from opfuzz.core.run import Run
from opfuzz.report.run.cause_lines import faulty
from opfuzz.report.text import plain

USUAL = Path("reports")


def next_commands(run: Run, folder: Path) -> list[str]:
    """Lines with three commands: show the worst cause, run its reproducer, report or accept it; none without one."""
    if not (found := faulty(run)):
        return []
    common, reports = found[0], folder.parent
    elsewhere = [] if reports == USUAL else ["--reports", str(reports)]
    place = folder / common.path
    commands = {
        ("opfuzz", "show", common.id, *elsewhere): "what is wrong, and where",
        ("python", str(place / "repro.py")): "its smallest call, without opfuzz",
        ("opfuzz", "accept", common.id, "--reason", "...", *elsewhere): "if it may stay; else report it upstream:",
    }
    told = [
        (shlex.join(words), why) for words, why in commands.items() if words[0] == "opfuzz" or Path(words[1]).is_file()
    ]
    width = max(len(command) for command, _ in told)
    lines = [f"  {plain(command):{width}}  {why}" for command, why in told]
    text = place / "upstream.md"
    return ["next, for the worst cause:", *lines, *([f"  {plain(str(text))}"] if text.is_file() else [])]
