"""The commands of the pages: which there are, and how each is made small enough to be run by a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from command_lines import commands

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "specs/README.md")]
TEXTS = {path: path.read_text(encoding="utf-8") for path in (*TOP, *PAGES)}
OMITTED = re.compile(r"\.\.\.|[<>…]|\b[A-Z]{2,}\b")  # what stands for something else in a command

EXAMPLE_RUN, EXAMPLE_FINDING = "20261129-171300-s0", "f0eea74195ad"  # of reports/example
_RUN = re.compile(r"\b\d{8}-\d{6}-s\d+\b|(?<=reports/)\*(?=/)")
_FINDING = re.compile(r"\b[0-9a-f]{12}\b")

# What no test runs here, and why; the beginning of a command, or an option in it.
ELSEWHERE = {
    "bisect": "installs packages; tests/cli/test_bisect_command.py has environments of its own",
    "--resume": "needs a run that was interrupted; tests/engine/test_resume.py makes one",
    "--executor": "needs a cluster with certificates; tests/engine/test_cluster_run.py makes one",
    "--baseline-python": "needs a second environment; tests/engine/test_baseline_python.py has one",
    "--probe": "takes a minute; tests/engine/probe/test_probe.py has it",
    "--weights": "needs a checkpoint of the decoder; tests/engine/drivers/test_localization.py makes one",
    "decoder": "runs a network hundreds of times; tests/engine/drivers/test_localization.py runs a smaller one",
    "selftest": "plants some hundred faults; tests/engine/selftest plants a few",
    "cases judge": "needs outputs of another program; tests/test_cases_clients.py has them",
    "cases run": "needs Apple's GPU",
    "--json": "prints what the same command without it prints as a table",
}
SMALL = {  # options that stand in place of those of a command, and how many words follow each
    "run": ["--cases", "1", "--shrink", "0", "--jobs", "1"],
    "climb": ["--evaluations", "512", "--jobs", "1"],  # as everywhere: a pool of its own would load the frameworks anew
    "localize": ["--jobs", "1"],
    "sweep": ["--jobs", "1"],
    "shrink": ["--attempts", "20"],
    "cases export": ["--cases", "1"],
    "accept": ["--run", EXAMPLE_RUN],
    "show": ["--run", EXAMPLE_RUN],
    "open": ["--print"],
    "accuracy": ["--format", "float16", "--jobs", "1"],
}
OTHERS = {"output_of_the_port": "port", "layer_norm": "relu"}  # words that stand for something which the folder has
DROPPED = ("--cases", "--time", "--evaluations", "--attempts", "--sample", "--shrink", "--jobs")
MANY = ("run", "climb", "sweep", "accuracy")  # commands that take all ops where none is named
HERE = {"torch:mps", "mlx:gpu", "jax:cpu", "onnxruntime:cpu", "openvino:cpu"}  # subjects that are on few machines


@dataclass(frozen=True)
class PageCommand:
    """A command as a page has it, and as a test runs it; `skipped` says why none does."""

    page: str
    written: tuple[str, ...]
    run: tuple[str, ...]
    skipped: str = ""


def typed(text: str) -> list[list[str]]:
    """The commands of a page that are written out: in blocks, indented, and in the middle of a sentence."""
    joined = re.sub(r"\\\n\s*", "", text)
    fence = r"^```\w*\n(.*?)^```"
    fenced = "".join(re.findall(fence, joined, re.DOTALL | re.MULTILINE))
    prose = re.sub(fence, "", joined, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^(?:\$ )?opfuzz .*|^\$ .*opfuzz .*", fenced, re.MULTILINE)
    found += re.findall(r"^    opfuzz .*", prose, re.MULTILINE)
    found += re.findall(r"`(opfuzz [^`\n]*)`", prose)
    written = [(words, OMITTED.search(line.split(" #")[0])) for line in found for words in commands(line)]
    return [words[:1] if omitted else words for words, omitted in written if words and not OMITTED.search(words[0])]


def page_commands() -> Iterator[PageCommand]:
    """Each command once, on the first page that has it."""
    seen = set()
    for path, text in TEXTS.items():
        for words in typed(text):
            small = tuple(_small(words))
            if len(words) > 1 and small not in seen:
                seen.add(small)
                yield PageCommand(path.stem, tuple(words), small, _skipped(words))


def stand_in(word: str) -> str:
    """A word of a command with the run and finding that are there in place of those of the page."""
    return _FINDING.sub(EXAMPLE_FINDING, _RUN.sub(EXAMPLE_RUN, word))


def _skipped(words: list[str]) -> str:
    line = " ".join(words)
    return next((why for what, why in ELSEWHERE.items() if what in words or line.startswith(what)), "")


def _small(words: list[str]) -> list[str]:
    name = next((name for name in SMALL if " ".join(words).startswith(name)), words[0])
    kept, rest = [], iter(words)
    for word in rest:
        if word in DROPPED:
            next(rest)
        elif word == "--op":
            kept += [word, next(rest).split(",")[0]]
        elif word in ("--subjects", "--subject"):
            here = [each for each in next(rest).split(",") if each not in HERE]
            kept += [word, ",".join(here or ["torch:cpu"])]
        elif name in ("history", "localize") and word.partition(".")[0] in OTHERS:
            stem, dot, ending = word.partition(".")
            kept.append(OTHERS[stem] + dot + ending)
        else:
            kept.append(stand_in(word))
    if "--profile" in kept:
        kept += ["--op", "linear"]
    elif name in MANY and "--op" not in kept and not any(word.endswith((".yaml", ".py")) for word in kept):
        kept += ["--op", "exp" if "specs/elementary" in kept else "relu"]
    if name == "run" and "--format" not in kept:
        kept += ["--format", "float32"]
    if name in ("sweep", "accuracy"):
        kept += ["--sample", "2048"] if name == "sweep" and "float32" in kept and "--range" not in kept else []
    return [*kept, *SMALL.get(name, [])]
