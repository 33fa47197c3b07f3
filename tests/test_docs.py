"""The documents: their commands are ones that opfuzz takes, their links lead somewhere, their files are sound."""

from __future__ import annotations

import re
import tomllib

import pytest
from command_lines import refusal
from commands import opfuzz
from page_commands import PAGES, ROOT, TEXTS, typed

from opfuzz.backends import discover
from opfuzz.engine.plan import load_specs
from opfuzz.engine.selftest.mutant import read_mutants
from opfuzz.pytest_plugin import SETTINGS

BY_PAGE = pytest.mark.parametrize("path", TEXTS, ids=lambda path: f"{path.parent.name}-{path.stem}")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@BY_PAGE
def test_every_command_is_one_that_opfuzz_takes(path):
    for words in typed(TEXTS[path]):
        if len(words) == 1:  # the name of a command, as one speaks of it
            words = [*words, "--help"]
        assert refusal(words) == "", words


def test_commands_are_found_in_all_ways_of_writing_them():
    text = (
        "```console\n$ opfuzz run \\\n  --cases 3\n```\n\n    opfuzz check\n\n`opfuzz backends` or `opfuzz run FILE`\n"
    )
    assert typed(text) == [["run", "--cases", "3"], ["check"], ["backends"], ["run"]]
    assert sum(len(typed(page)) for page in TEXTS.values()) > 60


@BY_PAGE
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[path]):
        if target.startswith("https://"):
            continue
        if target.startswith("pictures/"):
            target = target.partition("#")[0]  # what follows says in which mode it is shown
        name, _, anchor = target.partition("#")
        page = (path.parent / name).resolve() if name else path
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], target


def test_the_index_has_every_page():
    listed = re.findall(r"\]\((\w[\w-]*\.md)\)", TEXTS[ROOT / "docs" / "README.md"])
    assert {*listed, "README.md"} == {path.name for path in PAGES}


@BY_PAGE
def test_python_and_settings_are_sound(path):
    for text in blocks(TEXTS[path], "python"):
        compile(text, path.name, "exec")
    for text in blocks(TEXTS[path], "toml"):
        assert tomllib.loads(text)


def test_the_spec_and_the_mutants_are_sound(tmp_path):
    for place, spec in enumerate(blocks(TEXTS[ROOT / "docs" / "new-op.md"], "yaml")):
        (tmp_path / f"{place}.yaml").write_text(spec, encoding="utf-8")
    assert [each.op for each in load_specs([tmp_path], discover())] == ["swiglu", "centred"]
    (mutants,) = blocks(TEXTS[ROOT / "docs" / "selftest.md"], "python")
    (tmp_path / "mine.py").write_text(mutants, encoding="utf-8")
    assert [each.kind for each in read_mutants(tmp_path / "mine.py")] == ["fault", "honest"]


def test_the_page_of_ops_is_what_check_prints():
    done = opfuzz("check", "--page", cwd=ROOT)
    assert done.status == 0, done.err
    assert done.out == TEXTS[ROOT / "docs" / "ops.md"], "write it anew: opfuzz check --page > docs/ops.md"
    rows = re.findall(r"^\| `(\w+)` \| \S", done.out, re.MULTILINE)
    files = sorted((ROOT / "specs").rglob("*.yaml"))
    assert sorted(rows) == sorted(file.stem for file in files)
    (gelu,) = re.findall(r"^\| `gelu_tanh` .*", done.out, re.MULTILINE)
    assert "`torch.nn.functional.gelu(x, approximate='tanh')`" in gelu
    assert "`nn.gelu_approx(x)`" in gelu


def test_the_page_of_accuracies_has_every_function_of_one_number():
    found = re.findall(r"^\| `(\w+)`", TEXTS[ROOT / "docs" / "accuracy.md"].split("## Answers")[0], re.MULTILINE)
    specs = load_specs([ROOT / "specs" / "elementary", ROOT / "specs" / "activation"], discover())
    wanted = {spec.op for spec in specs if len(spec.inputs) == 1 and spec.op != "glu"}  # which takes two halves
    assert set(found) == wanted, "write it anew; the page says how"


def test_the_page_of_the_plugin_has_all_its_settings():
    rows = re.findall(r"^\| `(opfuzz_\w+)`", TEXTS[ROOT / "docs" / "pytest.md"], re.MULTILINE)
    assert sorted(rows) == sorted(SETTINGS)


def test_the_architecture_names_what_there_is():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.split("## Where do I add")[1].split("## Rules")[0]
    places = {place for place in re.findall(r"`([\w./]+)`", table) if "/" in place and not place.startswith("specs/")}
    assert len(places) > 15
    roots = (ROOT / "opfuzz", ROOT)
    assert [place for place in places if not any((root / place).exists() for root in roots)] == []
    rooms = set(re.findall(r"^\| \d \| `(\w+)` \|", text, re.MULTILINE))
    assert rooms == {entry.name for entry in (ROOT / "opfuzz").iterdir() if (entry / "__init__.py").exists()}
