"""The pytest plugin: one test for each op, subject and format of a spec, by a mark or by the project's settings.

`@pytest.mark.opfuzz("specs/norm/layer_norm.yaml", subjects=["torch:cpu"], cases=100)` on `def test_layer_norm(): ...`
is all that a test needs. One that takes the argument `opfuzz` may look at the figures (`opfuzz.max_ulp`, ...) as well.
The settings `opfuzz_specs = ["specs/"]`, `opfuzz_subjects`, `opfuzz_cases`, `opfuzz_seed`, `opfuzz_formats`,
`opfuzz_gradients`, `opfuzz_plugins` and `opfuzz_reports` give tests without any test file. Faults in the file
`opfuzz_accepted`, which `opfuzz accept` writes, are expected to fail.

Nothing of opfuzz, NumPy or a framework is imported before a test asks for it.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opfuzz.core.errors import OpfuzzError, SpecError, did_you_mean
from opfuzz.core.shipped import shipped

if TYPE_CHECKING:
    from opfuzz.engine.drivers.spec_test import Place, SpecTest, SpecTestResult

MARK = "opfuzz"
SUBJECTS = ("torch:cpu", "mlx:cpu")
CASES = 100
WHOLE = "int" if pytest.version_tuple >= (8, 4) else "string"  # a number in pytest.toml, which is read strictly
SETTINGS = {
    "opfuzz_specs": ("paths", [], "spec files and folders from which tests are made"),
    "opfuzz_subjects": ("args", [], f"subjects to examine; default: {', '.join(SUBJECTS)}, where they are installed"),
    "opfuzz_formats": ("args", [], "formats to examine; default: all that the spec has"),
    "opfuzz_cases": (WHOLE, "", f"cases for each op, subject and format; default: {CASES}"),
    "opfuzz_seed": ("string", "", "seed of the cases, or nightly; default: 0"),
    "opfuzz_gradients": ("bool", False, "whether the gradients of the ops are examined beside them"),
    "opfuzz_plugins": ("paths", [], "Python files with further backends, as for opfuzz run --plugin"),
    "opfuzz_accepted": ("string", "", "file of accepted findings, as opfuzz accept writes it"),
    "opfuzz_reports": ("string", "", "folder for what shows a fault; default: in pytest's cache"),
}
OPTIONS = ("subjects", "formats", "cases", "seed", "plugins", "gradients")  # of the mark


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings of the project."""
    for name, (kind, default, words) in SETTINGS.items():
        parser.addini(name, words, type=kind, default=default)  # type: ignore[arg-type]  # a literal in pytest's eyes


def pytest_configure(config: pytest.Config) -> None:
    """The mark; and the specs among what is collected where the command line names nothing."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(spec, ..., subjects=, formats=, cases=, seed=, plugins=, gradients=): "
        "examine the ops of these specs with opfuzz; one test for each subject and format.",
    )
    config.stash[EXAMINER] = Examiner(config)
    if config.args_source is config.ArgsSource.TESTPATHS:
        config.args += [str(path) for path in config.getini("opfuzz_specs") if str(path) not in config.args]


# By the project's settings.


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The YAML files that the settings name."""
    if file_path.suffix != ".yaml":
        return None
    named: list[Path] = parent.config.getini("opfuzz_specs")
    if any(file_path == path or path in file_path.parents for path in map(_absolute, named)):
        collector: pytest.Collector = SpecFile.from_parent(parent, path=file_path)
        return collector
    return None


class SpecFile(pytest.File):
    """One spec: a test for each subject and format."""

    def collect(self) -> Iterable[SpecItem]:
        """The tests. A mistake in the spec or the settings is told with its line."""
        with _mistakes_told(self):
            examination = _examination(self.config, self.path, {})
            for place in _places(examination):
                op, subject, name = place
                yield SpecItem.from_parent(self, name=f"{op}[{subject}-{name}]", examination=examination, place=place)


class SpecItem(pytest.Item):
    """One op on one subject in one format."""

    def __init__(self, *, examination: SpecTest, place: Place, **given: Any) -> None:
        super().__init__(**given)
        self.examination, self.place = examination, place
        self.add_marker(MARK)

    def runtest(self) -> None:
        """Skip what is absent, fail for a fault."""
        self.config.stash[EXAMINER].precision(self.examination, self.place).check()

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where a failure is said to be."""
        return self.path, 0, self.nodeid


# By a mark.


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """A function with the mark takes the fixture, whether its arguments say so or not."""
    if collector.funcnamefilter(name) if isinstance(collector, pytest.Module | pytest.Class) else False:
        marks = getattr(obj, "pytestmark", [])
        if any(mark.name == MARK for mark in marks) and callable(obj):
            pytest.mark.usefixtures(MARK)(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each op, subject and format of the mark."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None or MARK not in metafunc.fixturenames:
        return
    with _mistakes_told(metafunc.definition):
        files = _spec_files(mark.args, metafunc.definition)
        examinations = [_examination(metafunc.config, path, mark.kwargs) for path in files]
        found = [(each, place) for each in examinations for place in _places(each)]
        if not found:
            raise OpfuzzError("none of the formats is one of the spec's")
    several = len({op for _, (op, *_) in found}) > 1
    ids = [f"{subject}-{name}" if not several else f"{op}-{subject}-{name}" for _, (op, subject, name) in found]
    metafunc.parametrize(MARK, found, ids=ids, indirect=True)


@pytest.fixture
def opfuzz(request: pytest.FixtureRequest) -> Precision:
    """What came of the op on the test's subject and in its format; a skip where it cannot be had."""
    if not hasattr(request, "param"):
        pytest.fail(f"{request.node.nodeid}: the fixture needs the mark: @pytest.mark.opfuzz('op.yaml')", pytrace=False)
    examination, place = request.param
    return request.config.stash[EXAMINER].precision(examination, place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A mark without effect is a mistake, not a test that passes."""
    if isinstance(item, SpecItem) or item.get_closest_marker(MARK) is None:
        return
    if MARK not in getattr(getattr(item, "callspec", None), "params", {}):
        pytest.fail(
            f"{item.nodeid}: the mark 'opfuzz' has no effect here; put it on a test function, "
            "or give the test the argument 'opfuzz'",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """After the body of a marked test: a fault fails it, unless the body has asked already."""
    result = yield
    precision = pyfuncitem.funcargs.get(MARK)
    if isinstance(precision, Precision) and not precision.is_checked:
        precision.check()
    return result


class Precision:
    """What came of one op on one subject in one format: the figures of `opfuzz.examination.Examined`, and `check`."""

    def __init__(self, examined: SpecTestResult, accepted: Mapping[str, str]) -> None:
        if examined.absent:
            raise pytest.skip.Exception(examined.absent, _use_item_location=True)  # not a line of this file
        self.examined = examined
        self.accepted = accepted  # reasons, by the ids of findings
        self.is_checked = False

    def __getattr__(self, name: str) -> Any:
        """`op`, `subject`, `format`, `verdict`, `cases`, `max_ulp`, `excess`, `effective_bits`, `faults`."""
        return getattr(self.examined, name)

    def check(self) -> None:
        """Fail the test for every fault, with its diagnosis, trigger and witness; all accepted: an expected failure."""
        self.is_checked = True
        faults = self.examined.faults
        counting = tuple(fault for fault in faults if fault.id not in self.accepted)
        if counting:
            words = str(replace(self.examined, faults=counting))
            pytest.fail(words.replace(f"{Path.cwd()}{os.sep}", ""), pytrace=False)  # paths as one would type them here
        if faults:
            pytest.xfail("; ".join(f"accepted: {self.accepted[fault.id]}" for fault in faults))


# What both share.


class Examiner:
    """The examinations of a session, each made once, and by one of the workers of pytest-xdist for all of them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        worker: Mapping[str, Any] = getattr(config, "workerinput", {})
        self.session = worker.get("testrunuid") or uuid.uuid4().hex
        self.jobs = max(1, (os.cpu_count() or 1) // int(worker.get("workercount", 1)))
        self.known: dict[str, dict[Place, SpecTestResult] | str] = {}
        self.accepted: dict[str, str] | None = None  # reasons, by the ids of findings; None: not read yet

    def precision(self, examination: SpecTest, place: Place) -> Precision:
        """What came of one place. Fails the test for a mistake that shows only when calls are made."""
        if examination.id not in self.known:
            self.known[examination.id] = self._shared(examination)
        known = self.known[examination.id]
        if isinstance(known, str):
            pytest.fail(known, pytrace=False)
        try:
            self.accepted = self._accepted() if self.accepted is None else self.accepted
        except OpfuzzError as error:
            pytest.fail(str(error), pytrace=False)
        return Precision(known[place], self.accepted)

    def _accepted(self) -> dict[str, str]:
        """Those that count today. Raises OpfuzzError for a file that is none."""
        named = str(self.config.getini("opfuzz_accepted"))
        if not named:
            return {}
        from opfuzz.store.accepted import day, read_accepted

        today = datetime.now().astimezone().date()
        entries = read_accepted(self.config.rootpath / named)
        return {each.id: each.reason for each in entries if each.until is None or day(each.until) >= today}

    def _shared(self, examination: SpecTest) -> dict[Place, SpecTestResult] | str:
        from opfuzz.core.files.whole_file import write_text
        from opfuzz.engine.drivers.spec_test import SpecTestResult, examine

        folder = self._reports() / examination.id
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "session.json"
        with _alone(folder / "lock"):
            try:
                document = json.loads(kept.read_text(encoding="utf-8"))
                if document["session"] == self.session:
                    mistake = document["mistake"]
                    found = [SpecTestResult.from_json(each) for each in document["examined"]]
                    return mistake or {each.place: each for each in found}
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                pass  # not there, or not one that this opfuzz has written: it is made anew
            mistake, made = "", {}
            try:
                made = examine(examination, folder, self.jobs)
            except OpfuzzError as error:
                mistake = str(error)
            told = [each.to_json() for each in made.values()]
            write_text(kept, json.dumps({"session": self.session, "mistake": mistake, "examined": told}))
        return mistake or made

    def _reports(self) -> Path:
        if named := self.config.getini("opfuzz_reports"):
            return self.config.rootpath / str(named)
        cache = getattr(self.config, "cache", None)
        return Path(tempfile.mkdtemp(prefix="opfuzz-") if cache is None else cache.mkdir("opfuzz"))


EXAMINER = pytest.StashKey[Examiner]()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; the system takes the lock back from a process that dies."""
    import fcntl  # opfuzz runs where it is to be had; pytest loads this file anywhere

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _places(examination: SpecTest) -> list[Place]:
    from opfuzz.engine.drivers.spec_test import places

    return places(examination)


def _examination(config: pytest.Config, path: Path, options: Mapping[str, Any]) -> SpecTest:
    """The examination of a spec, by the options of a mark before the settings. Raises OpfuzzError for a mistake."""
    from opfuzz.core.floats import FORMATS
    from opfuzz.engine.drivers.spec_test import SpecTest

    for name in options:
        if name not in OPTIONS:
            raise OpfuzzError(
                f"unknown option '{name}'{did_you_mean(name, OPTIONS) or '; known: ' + ', '.join(OPTIONS)}"
            )
    formats = _words("formats", options, config) or tuple(FORMATS)
    for name in formats:
        if name not in FORMATS:
            raise OpfuzzError(
                f"unknown format '{name}'{did_you_mean(name, FORMATS) or '; known: ' + ', '.join(FORMATS)}"
            )
    return SpecTest(
        path,
        subjects=_words("subjects", options, config) or SUBJECTS,
        formats=formats,
        cases=_count(options.get("cases", config.getini("opfuzz_cases") or CASES)),
        seed=_seed(options.get("seed", config.getini("opfuzz_seed") or 0)),
        plugins=tuple(config.rootpath / word for word in _words("plugins", options, config)),
        has_gradients=_flag("gradients", options, config),
    )


def _words(name: str, options: Mapping[str, Any], config: pytest.Config) -> tuple[Any, ...]:
    given = options.get(name, config.getini(f"opfuzz_{name}"))
    words = (given,) if isinstance(given, str | Path) else tuple(given)
    return tuple(dict.fromkeys(words))


def _flag(name: str, options: Mapping[str, Any], config: pytest.Config) -> bool:
    given = options.get(name, config.getini(f"opfuzz_{name}"))
    if isinstance(given, bool):
        return given
    raise OpfuzzError(f"{name}: '{given}' is neither True nor False")


def _count(given: object) -> int:
    if str(given).isdecimal() and len(str(given)) < 10 and int(str(given)) > 0:
        return int(str(given))
    raise OpfuzzError(f"cases: '{given}' is no number of cases; write a whole number above 0")


def _seed(given: object) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**64:
        return given
    import click

    from opfuzz.cli.group import seed_of

    try:
        return seed_of(str(given))
    except click.BadParameter as error:
        raise OpfuzzError(f"seed: {error.message}") from None


def _spec_files(named: Sequence[object], node: pytest.Item) -> Iterator[Path]:
    """The specs that a mark names: below the test's folder, the project's, or what came with opfuzz."""
    if not named:
        raise OpfuzzError("the mark names no spec; write @pytest.mark.opfuzz('specs/norm/layer_norm.yaml')")
    bases = (node.path.parent, node.config.rootpath, shipped("specs").parent)
    for word in named:
        found = next((base / str(word) for base in bases if (base / str(word)).exists()), None)
        if found is None:
            raise OpfuzzError(f"{word}: no such file or folder beside {node.path.name}, nor in {node.config.rootpath}")
        files = sorted(found.rglob("*.yaml")) if found.is_dir() else [found]
        if not files:
            raise OpfuzzError(f"{word}: no *.yaml file in this folder or below it")
        yield from files


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


@contextmanager
def _mistakes_told(node: pytest.Item | pytest.Collector) -> Iterator[None]:
    """A user's mistake becomes an error of collection, in its own words and without a traceback."""
    try:
        yield
    except SpecError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    except OpfuzzError as error:
        raise pytest.Collector.CollectError(f"{node.nodeid}: {error}") from None
