"""`opfuzz accuracy` as a user types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from opfuzz.cli import accuracy, cli
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.machines import Machines
from opfuzz.report.progress import Counted

SPECS = Path(__file__).parents[2] / "specs"
EXP = str(SPECS / "elementary" / "exp.yaml")
SQUARE = str(SPECS / "elementary" / "square.yaml")


def opfuzz(*words, out, subjects=("--subject", "numpy:cpu")):
    given = ["accuracy", *words, *subjects, "--jobs", "1", "--out", str(out)]
    return CliRunner().invoke(cli, given, standalone_mode=False, catch_exceptions=True)


def worst_exp():
    """The largest error of NumPy's exp in float16, by float64, and its pattern."""
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        computed, exact = np.exp(x).astype(np.float64), np.exp(x.astype(np.float64))
        normal = (exact >= 2.0**-14) & (exact <= 65504) & np.isfinite(x)
        errors = np.where(normal, np.abs(computed - exact) / 2.0 ** (np.floor(np.log2(exact)) - 10), 0)
    return float(errors.max()), int(errors.argmax())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The table of exp in float16 in every kind of file, and what was printed."""
    folder = tmp_path_factory.mktemp("accuracy")
    files = [str(folder / f"a.{ending}") for ending in ("md", "csv", "json", "html")]
    asked = [word for path in files for word in ("-o", path)]
    return folder, files, opfuzz(EXP, "--format", "float16", *asked, "--json", out=folder / "sweeps")


def test_a_cell_has_the_largest_error_of_all_inputs(made):
    done = made[2]
    assert done.exception is None
    assert done.return_value == 0
    (cell,) = json.loads(done.stdout)["cells"]
    error, at = worst_exp()
    assert (cell["op"], cell["subject"], cell["format"]) == ("exp", "numpy:cpu", "float16")
    assert cell["max_ulp"] == pytest.approx(error, rel=1e-9)
    assert int(cell["at_hex"], 16) == at
    assert (cell["inputs"], cell["is_whole"]) == (2**16, True)
    assert "np.exp(x)" in cell["reproducer"]


def test_every_kind_of_file_has_it(made):
    folder, files, done = made
    error, at = worst_exp()
    assert json.loads((folder / "a.json").read_text()) == json.loads(done.stdout)
    for path in files:
        assert f"{at:#06x}" in Path(path).read_text()
    page = (folder / "a.md").read_text()
    assert f"`opfuzz accuracy {EXP} --subjects numpy:cpu --format float16 -o {files[0]} " in page
    (row,) = re.findall(r"^\| `exp` \| (.*) \|$", page, re.MULTILINE)
    assert row == f"{np.ceil(2 * error) / 2:g} at {at:#06x}"


def test_what_is_stored_is_not_measured_again(made):
    folder = made[0]
    again = opfuzz(EXP, "--format", "float16", out=folder / "sweeps")
    assert "Finished before" in again.stderr
    assert re.search(r"^exp +\S+ at 0x", again.stdout, re.MULTILINE)
    assert not list((folder / "sweeps").glob("*.svg"))


def test_float32_is_climbed_and_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy, "SAMPLE", 4096)
    done = opfuzz(SQUARE, "--format", "float32", "--json", out=tmp_path)
    (cell,) = json.loads(done.stdout)["cells"]
    assert not cell["is_whole"]
    assert 4096 < cell["inputs"] < 2**32
    assert "float32, climbed" in opfuzz(SQUARE, "--format", "float32", out=tmp_path).stdout


def test_every_device_that_is_here_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy, "here", lambda backends: Machines({}, ("numpy:cpu",), {}))
    done = opfuzz(SQUARE, "--format", "float16", "--json", out=tmp_path, subjects=())
    assert [cell["subject"] for cell in json.loads(done.stdout)["cells"]] == ["numpy:cpu"]


def test_ctrl_c_keeps_what_was_measured_and_writes_no_half_table(tmp_path, monkeypatch):
    table = tmp_path / "a.md"
    table.write_text("an earlier one")
    asked = (EXP, SQUARE, "--format", "float16", "-o", str(table))

    def interrupt(self, done, total):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Counted, "watch", interrupt)
        stopped = opfuzz(*asked, out=tmp_path / "sweeps")
    assert stopped.return_value == 130
    assert "the same command goes on" in stopped.stderr
    assert table.read_text() == "an earlier one"
    done = opfuzz(*asked, out=tmp_path / "sweeps")
    assert "Going on from" in done.stderr
    assert {"`exp`", "`square`"} <= set(re.findall(r"^\| (`\w+`) ", table.read_text(), re.MULTILINE))


def test_what_fails_is_said_to_be_missing(tmp_path):
    (tmp_path / "plugin.py").write_text(
        "import numpy as np\nfrom opfuzz.backends import derive\n\n\ndef failing(x):\n    raise ValueError('no')\n\n\n"
        "BACKENDS = [derive('numpy', 'failing', {'np.exp': failing})]\n"
    )
    subjects = ("--subjects", "numpy:cpu,failing:cpu", "--plugin", str(tmp_path / "plugin.py"))
    done = opfuzz(EXP, "--format", "float16", "--json", out=tmp_path / "sweeps", subjects=subjects)
    read = json.loads(done.stdout)
    assert [cell["subject"] for cell in read["cells"]] == ["numpy:cpu"]
    assert read["missing"] == ["exp failing:cpu float16: raised ValueError: no"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((EXP, "-o", "/there/is/none/a.md"), "-o /there/is/none/a.md: there is no folder '/there/is/none'; make it"),
        ((EXP, "-o", "a.pdf"), r"-o a.pdf: the ending '.pdf' is unknown; write .md, .csv, .json or .html"),
        ((EXP, "-o", "table"), "-o table: it has no ending; write .md"),
        (
            (EXP, "--format", "float64"),
            "--format float64: it has 2.64 inputs, too many for a table; choose of fl",
        ),
        ((EXP, "--format", "float8"), "unknown 'float8'"),
        ((EXP, "--subject", "numpi:cpu"), "unknown backend 'numpi'; did you mean 'numpy'"),
        ((EXP, "--op", "expp"), "unknown op 'expp'; did you mean 'exp'"),
        ((EXP, "--format", "bfloat16"), "nothing to measure"),
        ((str(SPECS / "norm" / "layer_norm.yaml"),), "opfuzz climb"),
    ],
)
def test_wrong_usage_names_the_remedy(tmp_path, words, message):
    subjects = () if "--subject" in words else ("--subject", "numpy:cpu")
    with pytest.raises(Exception, match=message) as caught:
        raise opfuzz(*words, out=tmp_path, subjects=subjects).exception
    assert isinstance(caught.value, OpfuzzError) or type(caught.value).__module__.startswith("click")
