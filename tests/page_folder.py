"""A folder with the files that the commands of a page name, made of what the pages themselves print."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from page_commands import EXAMPLE_RUN, ROOT, TEXTS
from safetensors.numpy import load_file, save_file

A_SPEC = """\
op: logsumexp_dx
summary: The gradient of logsumexp.
formats: [float32]
dims: {batch: 1.., n: 1..}
batch: [batch]
inputs: {x: {shape: [batch, n]}}
output: {shape: [batch, n]}
calls: {torch: mylib.logsumexp_dx(x)}
reference: softmax(x, axis=-1)
"""


def block(page: str, language: str, containing: str) -> str:
    """The first block of a page of docs/ in a language that contains some words."""
    found = re.findall(rf"^```{language}\n(.*?)^```", TEXTS[ROOT / "docs" / f"{page}.md"], re.DOTALL | re.MULTILINE)
    return next(text for text in found if containing in text)


def populate(folder: Path, page: str, dump: Callable[[Path, str], None]) -> None:
    """Everything that a command of the page may read; `dump` writes the tensors of a side of `pair.py` there."""
    for name in ("specs", "examples", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "reports" / "example", folder / "reports" / EXAMPLE_RUN)
    (folder / "docs").mkdir()
    (folder / "my_specs").mkdir()
    for name in ("my_specs/swiglu.yaml", "swiglu.yaml"):
        (folder / name).write_text(block("new-op", "yaml", "op: swiglu"), encoding="utf-8")
    if page == "new-op":  # which makes it
        (folder / "my_specs" / "swiglu.yaml").unlink()
        (folder / "specs").unlink()
    (folder / "dx.yaml").write_text(A_SPEC, encoding="utf-8")
    files = {
        "pair.py": block("trace", "python", "class Port"),
        "model.py": block("localize", "python", "nn.Sequential"),
        "my_pipeline.py": block("localize", "python", "def pipeline"),
        "grad.py": block("new-op", "python", "logsumexp_dx"),
        "mine.py": block("new-backend", "python", "derive("),
    }
    if page == "selftest":
        files["mine.py"] = block("selftest", "python", "MUTANTS")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in {"localize": ["my.yaml"], "README": ["p.yaml"]}.get(page, ()):  # which would take long to record
        shutil.copy(ROOT / "profiles" / "decoder.yaml", folder / name)
    if page == "configure":
        (folder / "pyproject.toml").write_text(block("configure", "toml", "tool.opfuzz"), encoding="utf-8")
    if any(f"{name}.safetensors" in TEXTS[_path(page)] for name in ("a", "py", "port", "output_of_the_port")):
        _tensors(folder, dump)


def _path(page: str) -> Path:
    return next(path for path in TEXTS if path.stem == page)


def _tensors(folder: Path, dump: Callable[[Path, str], None]) -> None:
    """What both sides of the pair give, under the names that pages use."""
    for side, names in {"a": ("py",), "b": ("swift", "port", "output_of_the_port")}.items():
        dump(folder, side)
        for name in names:
            shutil.copy(folder / f"{side}.safetensors", folder / f"{name}.safetensors")
    tensors = load_file(folder / "b.safetensors")
    output = np.ascontiguousarray(tensors["output"])
    for name in ("port", "output_of_the_port"):
        save_file({"output": output}, folder / f"{name}.safetensors")
    (folder / "order.json").write_text(json.dumps(sorted(tensors)), encoding="utf-8")
