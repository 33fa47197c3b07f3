"""Environments of Python made in no time, with packages of a version and nothing in them, and findings to try there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.numpy import save

from opfuzz.engine.drivers.elsewhere import Interpreter

BASE = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"

HERE = Interpreter(BASE, sys.version_info[:2])

# A reproducer that ends as the number in the package says: its version is what decides.
PROGRAM = '''"""Shows it from version {since} of demo."""

import sys

try:
    import demo
except ImportError as error:
    print(f"cannot tell: ImportError: {{error}}")
    sys.exit(2)

print("computed", demo.NUMBER)
sys.exit({end})
'''


def environment(place: Path, **packages: str) -> Path:
    """The Python of an environment with these packages; the module of one holds its version as a list of numbers."""
    site = place / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (place / "bin").mkdir()
    (place / "bin" / "python").symlink_to(BASE)
    (place / "pyvenv.cfg").write_text(f"home = {BASE.parent}\ninclude-system-site-packages = false\n")
    for name, version in packages.items():
        numbers = [int(part) for part in version.split(".")]
        (site / f"{name}.py").write_text(f"NUMBER = {numbers}\n")
        (site / f"{name}-{version}.dist-info").mkdir()
        (site / f"{name}-{version}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    return place / "bin" / "python"


def finding(
    place: Path, program: str | None = None, since: str = "[1, 3]", verdict: str = "wrong", kind: str = "told"
) -> Path:
    """A folder with what another Python needs of a finding; shown by every version of demo from `since` on."""
    place.mkdir(parents=True)
    if program is None:
        program = PROGRAM.format(since=since, end=f"int(demo.NUMBER >= {since})")
    cause = {"kind": kind, "name": "", "relation": None, "figures": {}}
    (place / "finding.json").write_text(
        json.dumps({"id": place.name, "op": "double", "verdict": verdict, "cause": cause})
    )
    (place / "repro.py").write_text(program)
    (place / "inputs.safetensors").write_bytes(save({}))
    (place / "upstream.md").write_text("# demo: wrong result\n\n```python\ndemo.double(x)\n```\n\nFound with opfuzz.\n")
    return place


UV = '''#!{python} -IS
"""In place of uv: makes environments of `environment`, with packages of the versions that are known."""

import os, pathlib, subprocess, sys

known, told = {known!r}, {told!r}
if sys.argv[1] == "venv":
    place = pathlib.Path(sys.argv[-1])
    site = place / "lib" / f"python3.{{sys.version_info[1]}}" / "site-packages"
    site.mkdir(parents=True)
    (place / "bin").mkdir()
    (place / "bin" / "python").symlink_to({python!r})
    settings = "home = " + os.path.dirname({python!r}), "include-system-site-packages = false"
    (place / "pyvenv.cfg").write_text("\\n".join(settings))
else:
    words = sys.argv[sys.argv.index(":all:") + 1 :]
    with open({log!r}, "a") as log:
        print(*words, file=log)
    site = next(pathlib.Path(sys.argv[sys.argv.index("--python") + 1]).parents[1].glob("lib/*/site-packages"))
    for word in words:
        name, _, version = word.partition("==")
        if version not in known.get(name, ()):
            print(told or f"error: there is no {{word}}", file=sys.stderr)
            sys.exit(1)
        numbers = [int(part) for part in version.split(".")]
        (site / f"{{name}}.py").write_text(f"NUMBER = {{numbers}}\\n")
        (site / f"{{name}}-{{version}}.dist-info").mkdir()
        (site / f"{{name}}-{{version}}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: {{version}}\\n"
        )
'''


def uv(folder: Path, told: str = "", **known: tuple[str, ...]) -> Path:
    """A program that stands for uv in a folder, and knows versions of packages alone; the file of what it installed.

    `told` is what it says in place of its own words where it knows none.
    """
    folder.mkdir(exist_ok=True)
    log = folder / "installed"
    log.touch()
    (folder / "uv").write_text(UV.format(python=str(BASE), known=known, told=told, log=str(log)))
    (folder / "uv").chmod(0o755)
    return log
