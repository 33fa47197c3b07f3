"""Trees of YAML files: the same whichever of PyYAML's parsers reads them."""

from __future__ import annotations

from pathlib import Path

import yaml

from opfuzz.core.errors import SpecError
from opfuzz.core.files.yaml_nodes import read

ROOT = Path(__file__).parents[3]
FILES = sorted(path for folder in ("profiles", "specs", "tests") for path in (ROOT / folder).rglob("*.yaml"))
# Where the parser written in C takes what the other refuses, or has another place for it.
DISPUTED = (
    *(
        "a\t: 1",
        "a: [1?]",
        "a: {b: , c: 1}",
        "a: [!b]",
        "\ufeff\ufeffa: 1",
        "a: [1,\t2]",
        "a: 'b\\",
        'a: "\\U00ffffff"',
    ),
)


def reading(path: Path) -> object:
    """The tree of a file and what is wrong in it, or why there is no tree."""
    try:
        source, root = read(path)
    except SpecError as error:
        return error.problems
    return root, source.problems


def test_both_parsers_give_the_same_tree_and_the_same_complaints(tmp_path, monkeypatch):
    for number, text in enumerate(DISPUTED):
        (tmp_path / f"{number}.yaml").write_text(text)
    paths = [*FILES, *sorted(tmp_path.iterdir())]
    fast = [reading(path) for path in paths]
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert fast == [reading(path) for path in paths]
    assert len(FILES) > 150
