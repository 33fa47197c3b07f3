"""Settings: what holds and from where, each mistake in its exact words, and commands that take them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from commands import opfuzz
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.cli.commands import COMMANDS, cli
from opfuzz.cli.settings.command import EVERYWHERE, PARAMS, SettledCommand
from opfuzz.cli.settings.keys import LIKE, settings_schema
from opfuzz.cli.settings.layers import BUILT_IN
from opfuzz.cli.settings.toml_file import read_settings

PYPROJECT = """\
[project]
name = "x"
dependencies = [
  "a",
]

[tool.opfuzz]
specs = ["specs"]
cases = 500
formats = [
  "float32",
]
out = "build/runs"
baseline = "before"

[tool.opfuzz.profile.ci]
time = "5m"
formats = ["float16"]

[tool.opfuzz.profile.nightly]
jobs = 3
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "before").mkdir()
    (tmp_path / "inner").mkdir()
    return tmp_path


def holding(*words: str, cwd: Path) -> dict[str, tuple[object, str]]:
    """What `opfuzz config` says of each setting: its value, and where that is said."""
    done = opfuzz("config", "--json", *words, cwd=cwd)
    assert done.status == 0, done.err
    return {key: (each["value"], each["from"]) for key, each in json.loads(done.out)["settings"].items()}


def test_what_is_built_in_where_there_is_no_file(tmp_path):
    found = holding(cwd=tmp_path)
    assert {origin for _, origin in found.values()} == {"built-in"}
    assert found["time"] == (60.0, "built-in")
    assert found["formats"][0] == ["float32", "float16", "bfloat16"]


def test_the_file_comes_before_what_is_built_in(project):
    found = holding(cwd=project)
    assert found["specs"] == (["specs"], "pyproject.toml:8")
    assert found["cases"] == (500, "pyproject.toml:9")
    assert found["time"] == (None, "built-in")  # cases are the budget
    assert found["formats"] == (["float32"], "pyproject.toml:10")
    assert found["baseline"] == ("before", "pyproject.toml:14")
    assert found["seed"] == (0, "built-in")


def test_a_profile_comes_before_the_file_and_takes_the_place_of_what_it_excludes(project):
    found = holding("--settings", "ci", cwd=project)
    assert found["formats"] == (["float16"], "pyproject.toml:18")
    assert found["time"] == (300.0, "pyproject.toml:17")
    assert found["cases"] == (None, "built-in")
    assert found["out"] == ("build/runs", "pyproject.toml:13")


def test_a_profile_that_is_built_in_is_extended_by_the_file(project):
    found = holding("--settings", "nightly", cwd=project)
    assert found["time"] == (1800.0, "built-in profile nightly")
    assert found["jobs"] == (3, "pyproject.toml:21")
    assert found["cases"] == (None, "built-in")


def test_an_option_comes_before_all(project):
    found = holding("--settings", "ci", "--cases", "4", "--format", "bfloat16", "mine", cwd=project)
    assert found["cases"] == (4, "option")
    assert found["time"] == (None, "built-in")
    assert found["formats"] == (["bfloat16"], "option")
    assert found["specs"] == (["mine"], "option")
    assert found["out"][1] == "pyproject.toml:13"


def test_the_nearest_file_holds_and_its_paths_are_relative_to_it(project):
    assert holding(cwd=project / "inner")["out"] == (str(project / "build/runs"), f"{project}/pyproject.toml:13")
    assert holding(cwd=project / "inner")["baseline"][0] == str(project / "before")
    (project / "inner" / "pyproject.toml").write_text("[project]\nname = 'no settings'\n")
    assert holding(cwd=project / "inner")["cases"][0] == 500
    (project / "inner" / "opfuzz.toml").write_text("jobs = 2\n")
    found = holding(cwd=project / "inner")
    assert found["jobs"] == (2, "opfuzz.toml:1")
    assert found["cases"] == (None, "built-in")
    assert found["baseline"] == (None, "built-in")


def test_opfuzz_toml_comes_before_pyproject_in_one_folder_and_others_are_named(project):
    (project / "opfuzz.toml").write_text("seed = 'nightly'\n\n[profile.default]\njobs = 1\n")
    assert holding(cwd=project)["jobs"] == (1, "opfuzz.toml:4")
    assert holding("--config", "pyproject.toml", cwd=project)["cases"] == (500, "pyproject.toml:9")
    assert {origin for _, origin in holding("--no-config", cwd=project).values()} == {"built-in"}


def test_a_person_is_told_in_a_table(project):
    lines = opfuzz("config", cwd=project).out.splitlines()
    assert lines[0] == "pyproject.toml, profile default"
    assert next(line for line in lines if line.startswith("cases")).split() == ["cases", "500", "pyproject.toml:9"]
    assert opfuzz("config", "--no-config", cwd=project).out.startswith("no file of settings, profile default\n")


KNOWN = ", ".join(sorted(set(LIKE) - {"profile"}))
MISTAKES = {
    'fromats = ["float32"]': "opfuzz.toml:1: unknown key 'fromats'; did you mean 'formats'?",
    "[profile.ci]\nxyzzy = 1": f"opfuzz.toml:2: unknown key 'xyzzy'; known: {KNOWN}",
    "[tool.opfuzz]\ncases = 1": "opfuzz.toml:1: unknown key 'tool'; in opfuzz.toml keys stand alone: "
    "leave out 'tool.opfuzz.'",
    'jobs = 1\ncases = "8"': "opfuzz.toml:2: 'cases' is '8', not a whole number from 1; write cases = 500",
    "cases = 0": "opfuzz.toml:1: 'cases' is 0, not a whole number from 1; write cases = 500",
    "cases = true": "opfuzz.toml:1: 'cases' is true, not a whole number from 1; write cases = 500",
    'formats = "float32"': "opfuzz.toml:1: 'formats' is 'float32', not a list of texts; "
    'write formats = ["float32", "float16"]',
    "subjects = []": "opfuzz.toml:1: 'subjects' is [], not a list of texts; "
    'write subjects = ["torch:cpu", "mlx:cpu"]',
    "gradients = 1": "opfuzz.toml:1: 'gradients' is 1, not true or false; write gradients = true",
    'time = "soon"': "opfuzz.toml:1: 'time' is 'soon', not a time; write time = \"60s\"",
    'time = "0s"': "opfuzz.toml:1: 'time': '0s' is no time; write 90, 60s, 5m or 2h",
    'formats = [\n "float33"]': "opfuzz.toml:1: 'formats': unknown 'float33'; did you mean 'float32'?",
    'fail-on = ["wrnog"]': "opfuzz.toml:1: 'fail-on': unknown 'wrnog'; did you mean 'wrong'?",
    'seed = "weekly"': "opfuzz.toml:1: 'seed': 'weekly' is no seed; write a whole number below 2^64, or nightly",
    "profile = 3": "opfuzz.toml:1: 'profile' is 3, not a table; write [profile.ci] with keys in it",
    "[profile]\nci = 3": "opfuzz.toml:2: the profile 'ci' is 3, not a table; write [profile.ci] and keys below it",
    'cases = 3\ntime = "1s"': "opfuzz.toml:2: 'time' excludes 'cases', which stands beside it; leave one out",
    "jobs = 1\nformats = [": "opfuzz.toml:2: not TOML: Invalid value; mend the line, or leave the file out with "
    "--no-config",
    "jobs = 1\njobs = 2": "opfuzz.toml:2: not TOML: Cannot overwrite a value; mend the line, or leave the file out "
    "with --no-config",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_line_with_its_place_and_the_remedy(text, tmp_path):
    (tmp_path / "opfuzz.toml").write_text(text + "\n")
    for command in (["config"], ["run", "--cases", "1"] if text.startswith(("fromats", "[")) else ["config", "--json"]):
        done = opfuzz(*command, cwd=tmp_path)
        assert (done.status, done.out, done.err) == (2, "", f"{MISTAKES[text]}\n")


def test_all_mistakes_are_told_in_the_order_of_their_lines(tmp_path):
    (tmp_path / "opfuzz.toml").write_text('job = 1\ncases = "1"\n')
    assert opfuzz("config", cwd=tmp_path).err.splitlines() == [
        "opfuzz.toml:1: unknown key 'job'; did you mean 'jobs'?",
        "opfuzz.toml:2: 'cases' is '1', not a whole number from 1; write cases = 500",
    ]


def test_a_profile_that_is_not_there(project):
    err = opfuzz("config", "--settings", "nigthly", cwd=project).err
    assert err == "pyproject.toml:16: --settings: there is no profile 'nigthly'; did you mean 'nightly'?\n"
    err = opfuzz("config", "--no-config", "--settings", "x", cwd=project).err
    assert err == "--settings: there is no profile 'x'; known: ci, default, nightly\n"


def test_files_that_cannot_be_read(project):
    err = opfuzz("config", "--config", "none.toml", cwd=project).err
    assert err == "none.toml: cannot be read: No such file or directory; name another file with --config\n"
    (project / "latin.toml").write_bytes(b"jobs = 1\nout = '\xe9'\n")
    err = opfuzz("config", "--config", "latin.toml", cwd=project).err
    assert err == "latin.toml:2: byte 0xe9 is not UTF-8; save the file as UTF-8\n"
    (project / "inner" / "pyproject.toml").write_text("[project]\n")
    err = opfuzz("config", "--config", "inner/pyproject.toml", cwd=project).err
    words = "it has no table [tool.opfuzz]; add one, or name another file with --config"
    assert err == f"inner/pyproject.toml:1: {words}\n"
    err = opfuzz("config", "--config", "pyproject.toml", "--no-config", cwd=project).err
    assert err.startswith("opfuzz config: --config names settings, and --no-config wants none; give one of them")


def test_a_broken_pyproject_of_others_is_passed_over(project):
    (project / "inner" / "pyproject.toml").write_text("[project\n")
    assert holding(cwd=project / "inner")["cases"][0] == 500
    (project / "inner" / "pyproject.toml").write_text("[tool.opfuzz\n")
    err = opfuzz("config", cwd=project / "inner").err
    assert err.startswith("pyproject.toml:1: not TOML: ")


def test_other_commands_take_what_means_the_same_there(project):
    err = opfuzz("report", cwd=project).err
    assert err == "build/runs: no finished run here; make one with opfuzz run, or name another folder\n"
    err = opfuzz("check", cwd=project).err
    assert err == "specs: no such file or folder\n"
    assert opfuzz("report", "--reports", "here", cwd=project).err.startswith("here: no finished run here")


def test_every_key_is_a_parameter_of_run_and_the_other_way_round():
    run = cli.get_command(None, "run")
    unsaid = {"resume", "as_json", "profiled", "insecure", "help", "settings_file", "no_config", "settings"}
    assert {param.name for param in run.params} - unsaid == {*PARAMS.values()}
    assert {*PARAMS, "profile"} == {*LIKE}
    assert {*EVERYWHERE} <= {*PARAMS}
    assert all({*keys} <= {*PARAMS} for keys in BUILT_IN.values())
    settled = {name for name in COMMANDS if isinstance(cli.get_command(None, name), SettledCommand)}
    assert {"run", "config", "report", "compare", "history", "accept", "check", "sweep"} <= settled


def test_the_schema_knows_the_same_keys():
    schema = settings_schema()
    assert {*schema["properties"]} == {*LIKE}
    assert {*schema["$defs"]["SettingsProfileKeys"]["properties"]} == {*LIKE} - {"profile"}
    assert schema["additionalProperties"] is False


KEYS = st.text("abc-_", min_size=1, max_size=4)
PLAIN = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text("a\n\"'#[]=\\", max_size=6), st.lists(st.text("a]\n", max_size=2))
)
WRITTEN = st.dictionaries(KEYS, st.one_of(PLAIN, st.dictionaries(KEYS, PLAIN, max_size=3)), max_size=5)


@given(WRITTEN)
def test_the_line_of_every_key_is_the_one_it_was_written_in(document):
    lines, places = ["# first"], {}

    def put(key: str, value: object, where: tuple[str, ...]) -> None:
        places[*where, key] = len(lines) + 1
        items = [json.dumps(item) for item in value] if isinstance(value, list) else []
        is_long = isinstance(value, str) and "\n" in value and '"' not in value and "\\" not in value
        text = f'"""\n{value}"""' if is_long else json.dumps(value)
        if isinstance(value, list):
            text = "[\n  " + ",\n  ".join(items) + "\n]" if items else "[]"
        lines.extend(f"{key} = {text}".split("\n"))

    for key, value in document.items():
        if not isinstance(value, dict):
            put(key, value, ())
    for key, value in document.items():
        if isinstance(value, dict):
            lines.extend(["", f"[{key}]"])
            places[(key,)] = len(lines)
            for inner, each in value.items():
                put(inner, each, (key,))
    path = Path("opfuzz.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opfuzz.cli.settings.toml_file._text", lambda path: "\n".join(lines))
        found = read_settings(path)
    assert found.table == document
    assert found.lines == places


def test_a_long_array_is_read_once(tmp_path, monkeypatch):
    """Each letter is handed to the parser twice: in the file, and in its statement."""
    path = tmp_path / "opfuzz.toml"
    items = "".join(f'  "a]{number}", # [ "\n' for number in range(4000))
    text = f"ops = [\n{items}]\njobs = 3\n"
    path.write_text(text)
    parse, read = tomllib.loads, 0

    def counted(given):
        nonlocal read
        read += len(given)
        return parse(given)

    monkeypatch.setattr(tomllib, "loads", counted)
    settings = read_settings(path)
    assert (settings.place("ops"), settings.place("jobs")) == (f"{path}:1", f"{path}:4003")
    assert read <= 2 * len(text) + 2


def test_brackets_and_ends_of_lines_in_texts_end_no_statement(tmp_path):
    path = tmp_path / "opfuzz.toml"
    document = (
        *("out = !!![", "!!!!!"),
        *('sort = """\\""" ]', '"""""'),
        *('rows = "\\"["  # ]', 'jobs = 3  # """', "[profile.ci]", "seed = 1"),
    )
    path.write_text("\n".join(document).replace("!", "'"))
    settings = read_settings(path)
    assert (settings.table["sort"], settings.table["rows"]) == ('""" ]\n""', '"[')
    places = [settings.place(*keys) for keys in (["out"], ["sort"], ["rows"], ["jobs"], ["profile", "ci", "seed"])]
    assert [int(place.rpartition(":")[2]) for place in places] == [1, 3, 5, 6, 8]
