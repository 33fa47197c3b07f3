"""Spec files: what they mean, and exactly what is said about bad ones."""

from __future__ import annotations

import inspect
import pickle
import re
import tempfile
from pathlib import Path

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_words import WORDS

from opfuzz.core.errors import OpfuzzError, SpecError
from opfuzz.core.files.yaml_nodes import Node, Scalar, Table, read
from opfuzz.core.files.yaml_scalars import misread, value_of
from opfuzz.generate.regimes import REGIMES
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS
from opfuzz.spec import Dim, OpSpec, Param, Vocabulary, json_schema, load, load_all
from opfuzz.spec.schema import InputKeys, SpecKeys, VariantKeys

HERE = Path(__file__).parents[1] / "specs"
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))
README = Path(__file__).parents[2] / "specs" / "README.md"


def messages(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(path, WORDS)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def plain(node: Node) -> object:
    """The data of a file as any reader of YAML 1.2 has it."""
    if isinstance(node, Scalar):
        return value_of(node)
    if isinstance(node, Table):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    return [plain(item) for item in node.items]


@pytest.fixture
def write(tmp_path: Path):
    def make(text: str, name: str = "op.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


def valid(name: str) -> str:
    return (HERE / "valid" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_says_exactly_what_is_wrong(path: Path) -> None:
    assert messages(path) == path.with_suffix(".expected").read_text(encoding="utf-8").splitlines()


PIECES = [
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "  ",
    "'",
    '"',
    "|",
    ">",
    "#",
    "&a",
    "*a",
    "!!str ",
    ",",
    "x",
    "1..",
    "(",
    "**",
    "\x00",
]
EDITS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 9), st.sampled_from(PIECES)), min_size=1, max_size=4)


@given(st.sampled_from(["scale", "everything", "conv1d"]), EDITS)
def test_bad_files_give_messages_and_nothing_else(name: str, edits: list[tuple[int, int, str]]) -> None:
    text = valid(name)
    for place, cut, piece in edits:
        text = text[:place] + piece + text[place + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "op.yaml"
        path.write_text(text, encoding="utf-8", newline="")
        try:
            load(path, WORDS)
        except SpecError as error:
            lines = text.split("\n")
            for problem in error.problems:
                assert 1 <= problem.line <= len(lines)
                assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def test_there_are_many_ways_to_be_wrong() -> None:
    assert len(INVALID) >= 60
    assert sum(len(path.with_suffix(".expected").read_text().splitlines()) > 1 for path in INVALID) >= 3
    assert {path.stem for path in (HERE / "invalid").glob("*.expected")} == {path.stem for path in INVALID}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_points_at_the_word_it_speaks_of(path: Path) -> None:
    """Line and column of a message about an unknown word are those of the word in the file, whatever YAML did to it."""
    for message in messages(path):
        found = re.match(r"[^:]+:(\d+):(\d+): (?:unknown \w+|keyword|alias|anchor) '([^']+)'", message)
        if found is not None:
            line = path.read_text(encoding="utf-8").split("\n")[int(found[1]) - 1]
            assert line[int(found[2]) - 1 :].startswith(found[3].replace("tag:yaml.org,2002:", "!!"))


STYLES = {
    "plain": "reference: x + {}\n",
    "plain on several lines": "reference: x +\n    x\n    + {}\n",
    "literal": "reference: |\n  y = x\n\n  y + {}  # größer\n",
    "literal with a header": "reference: |2-  # x + alpha\n  (x\n     + {})\n",
    "folded": "reference: >-\n  (x\n     + x\n  + {})\n",
    "single quotes": "reference: 'cos(x, mode=''a'') + {}'\n",
    "double quotes": 'reference: "x +\\t\\x78 +\\u0020 x \\\n    + {}"\n',
    "windows": "reference: |\r\n  y = x\r\n  y + {}\r\n",
    "flow": "variants: {{a: {{note: größer, reference: x + {}}}}}\nreference: x\n",
}


@pytest.mark.parametrize("style", STYLES)
def test_columns_survive_every_style_of_yaml(write, style: str) -> None:
    words = Vocabulary((), {"cos": lambda x, mode="": x}, {"torch": None})
    head = "op: a\nsummary: A.\nformats: [float32]\ninputs: {x: {shape: []}}\noutput: {shape: []}\ncalls: {torch: x}\n"
    text = head + STYLES[style].format("alpha")
    path = write("")
    path.write_bytes(text.encode())
    with pytest.raises(SpecError) as caught:
        load(path, words)
    (problem,) = caught.value.problems
    before, _, _ = text.rpartition("alpha")
    assert (problem.line, problem.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))


def test_reads_conv1d() -> None:
    spec = load(HERE / "valid" / "conv1d.yaml", WORDS)
    assert spec.dims[0] == Dim("n", 0, None, None)
    assert spec.params == (
        Param("stride", (1, 2, 3)),
        Param("padding", None, 0, 4),
        Param("dilation", (1, 2)),
        Param("groups", (1, 2, 4)),
    )
    assert [param.default for param in spec.params] == [1, 0, 1, 1]
    assert spec.batch == ("n",)
    assert [given.name for given in spec.inputs] == ["x", "weight"]
    assert spec.inputs[0].regimes is None
    assert spec.calls["mlx"][""].functions == {"mx.swapaxes", "mx.conv1d"}
    assert spec.variants["undilated"].params == {"dilation": 1}
    assert not spec.single_input


def test_sizes_of_conv1d() -> None:
    """Output lengths as torch's documentation of Conv1d gives them."""
    spec = load(HERE / "valid" / "conv1d.yaml", WORDS)
    dims = {"n": 2, "c_in": 4, "c_out": 6, "length": 10, "k": 3}
    params = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
    assert spec.shapes(dims, params) == {"x": (2, 4, 10), "weight": (6, 2, 3)}
    assert spec.output_shapes(dims, params) == {"": (2, 6, 5)}
    assert spec.allows(dims, params)
    assert spec.allows({**dims, "n": 0}, params)
    assert not spec.allows({**dims, "c_in": 5}, params)
    assert not spec.allows({**dims, "length": 0}, params)
    assert not spec.allows({**dims, "k": 20}, params)
    assert not spec.allows(dims, {**params, "stride": 0})  # the output's size divides by it


def test_reads_everything_else() -> None:
    spec = load(HERE / "valid" / "everything.yaml", WORDS)
    assert spec.dims == (
        Dim("n", 1, None, None),
        Dim("width", 8, 64, (8, 64)),
        Dim("three", 3, 3, None),
        Dim("heads", 2, 4, None),
    )
    assert [param.values for param in spec.params] == [(1e-5, 0, 0.25, -3), (True, False), ("none", "yes", None), None]
    assert [type(value) for value in spec.params[0].values or ()] == [float, int, float, int]
    kinds = {given.name: (given.kind, given.below and given.below.text) for given in spec.inputs}
    assert kinds == {
        "x": ("float", None),
        "i": ("index", "width // 2"),
        "m": ("mask", None),
        "a": ("additive_mask", None),
    }
    assert set(spec.calls["mlx"]) == {"plain", "fast"}
    assert spec.natural is not None
    assert [spec.dims[i].allows(8) for i in (0, 1, 2, 3)] == [True, True, False, False]
    assert spec.params[0].allows(0)
    assert not spec.params[0].allows(0.0)
    assert spec.params[3].allows(-2)
    assert not spec.params[3].allows(3)


def test_a_single_input_of_the_same_shape() -> None:
    assert load(HERE / "valid" / "scale.yaml", WORDS).single_input


def test_a_size_that_is_no_integer_is_an_error(write) -> None:
    path = write(valid("scale").replace("output: {shape: [n, d]}", "output: {shape: [n, 0.5*d]}"))
    spec = load(path, WORDS)
    with pytest.raises(OpfuzzError, match=r"size '0\.5\*d' of op 'scale' is 1\.5, not an integer"):
        spec.output_shapes({"n": 1, "d": 3}, {"eps": 1e-5, "groups": 1})


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_specs_travel(path: Path) -> None:
    spec = load(path, WORDS)
    twin = pickle.loads(pickle.dumps(spec))
    assert isinstance(twin, OpSpec)
    assert twin == spec
    assert hash(twin) == hash(spec)


def test_the_digest_is_that_of_the_meaning(write) -> None:
    text = valid("scale")
    digest = load(write(text), WORDS).digest
    assert re.fullmatch("[0-9a-f]{16}", digest)
    same = [
        f"# a comment\n{text}",
        text.replace("summary: Divide", "summary: Shrink"),
        text.replace("nothing is done", "no change"),
        text.replace("x / sqrt(", "x /  sqrt( ").replace("1e-5", "0.00001"),
        text.replace("{n: 0.., d: 1..}", "\n  n: 0..\n  d: 1.."),
        "\n".join(sorted(text.split("\n")[:3])) + "\n" + "\n".join(text.split("\n")[3:]),
    ]
    assert {load(write(other, "elsewhere.yaml"), WORDS).digest for other in same} == {digest}
    other = [
        ("op: scale", "op: scaled"),
        ("[float32]", "[float16]"),
        ("d: 1..", "d: 2.."),
        ("batch: [n]", "batch: []"),
        ("1e-6]", "1e-7]"),
        ("d % groups == 0", "d % groups == 1"),
        ("[normal]", "[ones]"),
        ("+ eps)", "- eps)"),
        ("plain: {reference: x,", "plain: {reference: x + 0,"),
        ("None, None, eps", "None, eps"),
    ]
    changed = {load(write(text.replace(*pair)), WORDS).digest for pair in other}
    assert len(changed) == len(other)
    assert digest not in changed


def test_the_digest_does_not_depend_on_the_machine() -> None:
    assert load(HERE / "valid" / "scale.yaml", WORDS).digest == "6b15f66e70865712"


def test_loads_folders_and_files_once(write, tmp_path: Path) -> None:
    first = write(valid("scale"), "a/scale.yaml")
    write(valid("conv1d"), "b/deeper/conv1d.yaml")
    write("no spec", "a/README.md")
    assert [spec.op for spec in load_all([tmp_path], WORDS)] == ["scale", "conv1d"]
    assert [spec.op for spec in load_all([tmp_path / "b", first, tmp_path], WORDS)] == ["conv1d", "scale"]


def test_reports_the_problems_of_all_files(write, tmp_path: Path) -> None:
    write(valid("scale").replace("float32", "float33"), "a.yaml")
    write(valid("scale"), "b.yaml")
    write(valid("scale"), "c.yaml")
    write("- list", "d.yaml")
    with pytest.raises(SpecError) as caught:
        load_all([tmp_path], WORDS)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "a.yaml:3:11: unknown format 'float33'; did you mean 'float32'?",
        "c.yaml:1:5: op 'scale' is already described in b.yaml",
        "d.yaml:1:1: the spec must be a mapping, not a list",
    ]


def test_files_that_plainly_describe_other_ops_are_left_unread(write, tmp_path: Path) -> None:
    write(valid("scale"), "a.yaml")
    wrong = write(valid("conv1d").replace("op: conv1d", "op: other  # of mine\nop_: 1"), "b.yaml")
    assert [spec.op for spec in load_all([tmp_path], WORDS, ["scale"])] == ["scale"]
    for ops in (["other"], ["scale", "nothing"], []):
        with pytest.raises(SpecError, match=r"b\.yaml"):
            load_all([tmp_path], WORDS, ops)
    wrong.write_text(valid("conv1d").replace("op: conv1d", "'op': conv1d"))  # read to know of which op it is
    assert [spec.op for spec in load_all([tmp_path], WORDS, ["conv1d"])] == ["scale", "conv1d"]
    write(valid("scale"), "c.yaml")
    with pytest.raises(SpecError, match=r"c\.yaml:1:5: op 'scale' is already described"):
        load_all([tmp_path], WORDS, ["scale"])


def test_paths_that_lead_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(OpfuzzError, match=r"nothing: no such file or folder"):
        load_all([tmp_path / "nothing"], WORDS)
    with pytest.raises(OpfuzzError, match=r"no \*\.yaml file in this folder"):
        load_all([tmp_path], WORDS)
    with pytest.raises(SpecError, match=r"1:1: cannot be read: Is a directory"):
        load(tmp_path, WORDS)


def test_large_files_are_not_read(write) -> None:
    path = write("#" * 70_000)
    assert messages(path) == ["op.yaml:1:1: more than 65536 bytes, which no spec needs"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-.inf", -float("inf")),
        ("on", "on"),
        ("yes", "yes"),
        ("1e", "1e"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
    ],
)
def test_numbers_as_in_yaml_1_2(text: str, meant: object) -> None:
    value = value_of(Scalar(text, None, 0, 0))
    assert repr(value) == repr(meant)
    assert value_of(Scalar(text, "'", 0, 0)) == text


def test_what_readers_of_yaml_disagree_about() -> None:
    traps = ["yes", "No", "ON", "off", "y", "N", "010", "-07", "1_000", "1:30", "190:20:30"]
    assert all(misread(Scalar(text, None, 0, 0)) for text in traps)
    assert not any(misread(Scalar(text, "'", 0, 0)) for text in traps)
    assert not any(misread(Scalar(text, None, 0, 0)) for text in ["1e-5", "0", "0.5", "0o17", "true", "none", "x_1"])


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_schema_accepts_what_the_loader_accepts(path: Path) -> None:
    _, root = read(path)
    SpecKeys.model_validate(plain(root), strict=True)


@pytest.mark.parametrize(
    "path", [p for p in INVALID if p.stem.startswith(("key_typo", "key_missing", "type_", "range_"))]
)
def test_the_schema_refuses_wrong_keys_and_types(path: Path) -> None:
    only_the_loader_knows = {"type_condition_no_comparison", "range_empty", "range_negative", "range_param_open"}
    if path.stem in only_the_loader_knows | {"range_choices", "type_calls_nothing"}:
        return
    _, root = read(path)
    with pytest.raises(pydantic.ValidationError):
        SpecKeys.model_validate(plain(root), strict=True)


def test_the_schema_names_every_key() -> None:
    schema = json_schema()
    assert (schema["title"], schema["description"].startswith("One op of opfuzz: ")) == ("opfuzz spec", True)
    assert schema["required"] == ["op", "summary", "formats", "calls", "reference"]
    assert schema["oneOf"] == [{"required": ["output"]}, {"required": ["outputs"]}]
    assert set(schema["properties"]) == set(SpecKeys.model_fields)
    assert schema["additionalProperties"] is False
    assert all(entry.get("description") or "$ref" in entry for entry in schema["properties"].values())


def test_the_page_on_the_language_is_complete() -> None:
    page = README.read_text(encoding="utf-8")
    for model in (SpecKeys, InputKeys, VariantKeys):
        assert all(f"| `{key}` |" in page for key in model.model_fields)
    for name, function in REFERENCE_FUNCTIONS.items():
        parameters = inspect.signature(function).parameters.values()
        signature = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
        assert f"`{name}{signature}`" in page
    assert all(f"`{regime}`" in page for regime in REGIMES)


def test_the_example_of_the_page_is_a_spec(write) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    spec = load(write(example), Vocabulary(tuple(REGIMES), REFERENCE_FUNCTIONS, {"torch": None, "mlx": None}))
    assert set(spec.variants) == {"causal", "flipped", "undilated"}


def test_outputs_have_names_and_shapes_in_order() -> None:
    spec = load(HERE / "valid" / "norm_and_mean.yaml", WORDS)
    assert [output.name for output in spec.outputs] == ["y", "mean"]
    assert spec.output_shapes({"n": 2, "d": 3}, {}) == {"y": (2, 3), "mean": (2,)}
    assert spec.output_elements({"n": 2, "d": 3}, {}) == 8
    assert spec.elements({"n": 2, "d": 3}, {}) == 14
    assert [spec.place_of(name) for name in ("y", "mean")] == [0, 1]
    assert not spec.single_input
    total = load(HERE / "valid" / "total.yaml", WORDS)
    assert total.output_shapes({"n": 2}, {}) == {"sum": ()}


def test_a_lone_output_and_a_tuple_of_one_are_two_ops(write) -> None:
    text = valid("scale")
    lone = load(write(text), WORDS)
    assert [output.name for output in lone.outputs] == [""]
    assert lone.digest == "6b15f66e70865712"
    named = text.replace("output: {shape: [n, d]}", "outputs: {y: {shape: [n, d]}}")
    with pytest.raises(SpecError, match="no tuple in"):
        load(write(named), WORDS)
