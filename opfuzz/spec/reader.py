"""From the nodes of a spec file to an OpSpec: each section is read as far as it goes, so all problems come at once."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from opfuzz.core.case import Value
from opfuzz.core.errors import SpecError, did_you_mean
from opfuzz.core.files.yaml_nodes import Items, Node, Scalar, Table, read
from opfuzz.core.floats import FORMATS, NAMED_FORMATS
from opfuzz.spec.digest import digest_of
from opfuzz.spec.expression.program import Place, Program
from opfuzz.spec.nodes import NodeReader, description
from opfuzz.spec.op import Input, OpSpec, OpVariant, Output, Param, Vocabulary
from opfuzz.spec.schema import LABEL, NAME, OP_NAME, InputKeys, OutputKeys, SpecKeys, VariantKeys
from opfuzz.spec.sizes import SizeReader

RESERVED = ("pi", "inf", "dtype", *NAMED_FORMATS)  # in calls; a reference knows the first two
KINDS = ("float", "index(size)", "mask", "mask(additive)")
_SECTIONS_OF_NAMES = {"dims": "dim", "params": "param", "inputs": "input"}
_LABEL_RULE = "it has small letters, digits and - _ ."
_INDEX = re.compile(r"index\((.*)\)", re.DOTALL)


def read_spec(path: Path, words: Vocabulary) -> OpSpec:
    """The op that the file describes. Raises SpecError with all problems of the file."""
    source, root = read(path)
    reader = _SpecReader(NodeReader(source), words)
    spec = reader.spec(root)
    if source.problems or spec is None:
        raise SpecError(source.problems)
    return spec


class _SpecReader:
    """Reads the sections of one file, in an order in which each knows the names that it may use."""

    def __init__(self, nodes: NodeReader, words: Vocabulary) -> None:
        self.nodes = nodes
        self.sizes = SizeReader(nodes)
        self.words = words
        self.names: dict[str, tuple[str, Scalar]] = {}  # name -> what it names, and where
        # A section that cannot be read would make all of its names unknown; then names are not checked.
        self.knows_names = True
        self.gives: tuple[str, ...] | None = None  # the names of the outputs; None where they cannot be read

    def spec(self, root: Node) -> OpSpec | None:
        """The op, or None where something is wrong."""
        fields = self.nodes.fields(root, SpecKeys, "the spec")
        if fields is None or not isinstance(root, Table):
            return None
        dims, params, inputs = (self._section(root, section, noun) for section, noun in _SECTIONS_OF_NAMES.items())
        sizes = [name for name, (noun, _) in self.names.items() if noun != "input"]
        all_dims = _given(self.sizes.dim(name, node) for name, node in dims.items())
        all_params = _given(self.sizes.param(name, node) for name, node in params.items())
        all_inputs = _given(self._input(name, node, sizes) for name, node in inputs.items())
        op, summary = self._op(fields.get("op")), self._text(fields.get("summary"), "the summary")
        formats = self._formats(fields.get("formats"))
        outputs = self._outputs(fields, sizes)
        batch = self._batch(fields.get("batch"), dims, outputs)
        require = self._require(fields.get("require"), sizes)
        self.gives = tuple(output.name for output in outputs) or None
        calls = self._calls(fields.get("calls"), _places(dims, all_inputs))
        reference = self._formula(fields.get("reference"), "the reference")
        natural = self._formula(fields.get("natural"), "natural")
        variants = self._variants(fields.get("variants"), params, all_params)
        self._find_unused()
        if self.nodes.source.problems or reference is None:
            return None
        spec = OpSpec(
            op=op,
            summary=summary,
            path=self.nodes.source.path,
            formats=formats,
            dims=all_dims,
            batch=batch,
            params=all_params,
            require=require,
            inputs=all_inputs,
            outputs=outputs,
            calls=calls,
            reference=reference,
            natural=natural,
            variants=variants,
            digest="",
        )
        return replace(spec, digest=digest_of(spec))

    def _section(self, root: Table, section: str, noun: str) -> dict[str, Node]:
        """The entries of dims, params or inputs; their names are noted as known."""
        if section not in root.entries:
            known = SpecKeys.model_fields
            if any(did_you_mean(key, [section]) for key in root.entries if key not in known):
                self.knows_names = False
            return {}
        table = self.nodes.table(root.entries[section][1], section)
        if table is None:
            self.knows_names = False
            return {}
        for name, (key, _) in table.entries.items():
            if self._check_name(key, name, noun):
                self.names[name] = noun, key
        return {name: node for name, (_, node) in table.entries.items()}

    def _check_name(self, key: Scalar, name: str, noun: str) -> bool:
        """Whether a name is one, and free; notes what is wrong with it."""
        if not re.fullmatch(NAME, name) or keyword.iskeyword(name):
            self.nodes.report(key, f"'{name}' is no name of {_a(noun)}; a name has letters, digits and _")
        elif name in RESERVED:
            self.nodes.report(key, f"'{name}' has a meaning of its own in expressions; choose another name")
        elif name in self.names:
            self.nodes.report(key, f"'{name}' is already {_a(self.names[name][0])}; choose another name")
        else:
            return True
        return False

    def _find_unused(self) -> None:
        if not self.knows_names:
            return
        for name, (noun, key) in self.names.items():
            if name not in self.nodes.used:
                self.nodes.report(key, f"{noun} '{name}' is used nowhere")

    def _op(self, node: Node | None) -> str:
        name = self._text(node, "op")
        if node is not None and name and not re.fullmatch(OP_NAME, name):
            self.nodes.report(node, f"'{name}' is no name of an op; it has small letters, digits and _")
        return name

    def _text(self, node: Node | None, what: str) -> str:
        return "" if node is None else self.nodes.text(node, what) or ""

    def _formats(self, node: Node | None) -> tuple[str, ...]:
        return () if node is None else self.nodes.several_of(node, "formats", "format", FORMATS)

    def _batch(self, node: Node | None, dims: Collection[str], outputs: Sequence[Output]) -> tuple[str, ...]:
        if node is None or not self.knows_names:
            return ()
        batch = self.nodes.several_of(node, "batch", "dim", dims, minimum=0)
        axes = {axis.meaning for output in outputs for axis in output.shape}
        what = "the output" if len(outputs) == 1 else "any output"
        is_read = axes or not self.nodes.source.problems  # a shape that could not be read has no axes either
        for item in node.items if isinstance(node, Items) and is_read else ():
            if isinstance(item, Scalar) and item.text in batch and item.text not in axes:
                self.nodes.report(item, f"batch dim '{item.text}' is no axis of {what} by itself")
        return batch

    def _require(self, node: Node | None, sizes: Collection[str]) -> tuple[Program, ...]:
        conditions: list[Program] = []
        for item in () if node is None else self.nodes.items(node, "require") or ():
            condition = self._program(item, "a condition", sizes, {})
            if condition is not None and not condition.is_comparison:
                self.nodes.report(
                    item, f"'{condition.text}' is no comparison; write '{condition.text} == 0', for instance"
                )
            if condition is not None:
                conditions.append(condition)
        return tuple(conditions)

    def _shape(self, node: Node, what: str, sizes: Collection[str]) -> tuple[Program, ...]:
        axes = self.nodes.items(node, f"the shape of {what}") or ()
        return _given(self._size(axis, f"an axis of {what}", sizes) for axis in axes)

    def _size(self, node: Node, what: str, sizes: Collection[str], inside: slice = slice(None)) -> Program | None:
        program = self._program(node, what, sizes, {}, inside=inside)
        if program is not None and program.divides:
            self.nodes.report(node, f"'/' makes no whole number in '{program.text}'; write //")
        return program

    def _input(self, name: str, node: Node, sizes: Collection[str]) -> Input | None:
        what = f"input '{name}'"
        fields = self.nodes.fields(node, InputKeys, what)
        if fields is None:
            return None
        regimes = None
        if "regimes" in fields:
            regimes = self.nodes.several_of(fields["regimes"], "regimes", "regime", self.words.regimes)
        shape = self._shape(fields["shape"], what, sizes) if "shape" in fields else ()
        kind, below = self._kind(fields["kind"], what, sizes) if "kind" in fields else ("float", None)
        dtype = self.nodes.one_of(fields["dtype"], "format", FORMATS) if "dtype" in fields else None
        if dtype is not None and kind not in ("float", "additive_mask"):
            what = "an index is whole numbers" if kind == "index" else "a mask is truth values"
            self.nodes.report(fields["dtype"], f"input '{name}' has no dtype: {what}; leave 'dtype' out")
        return Input(name, shape, regimes, kind, below, dtype)

    def _kind(self, node: Node, what: str, sizes: Collection[str]) -> tuple[str, Program | None]:
        text = self.nodes.text(node, f"the kind of {what}") or "float"
        index = _INDEX.fullmatch(text)
        if index is not None:
            return "index", self._size(node, "the limit of an index", sizes, slice(*index.span(1)))
        if text not in KINDS:
            self.nodes.unknown(node, "kind", text, KINDS)
        return ("additive_mask" if text == "mask(additive)" else text), None

    def _outputs(self, fields: Mapping[str, Node], sizes: Collection[str]) -> tuple[Output, ...]:
        """The lone output, or those of a tuple; none where they cannot be read."""
        if "output" in fields:
            return (self._output("", fields["output"], sizes),)
        table = self.nodes.table(fields["outputs"], "outputs") if "outputs" in fields else None
        if table is not None and not table.entries:
            self.nodes.report(table, "outputs must not be empty")
        outputs = []
        for name, (key, node) in table.entries.items() if table else ():
            self._check_name(key, name, "output")
            outputs.append(self._output(name, node, sizes))
        return tuple(outputs)

    def _output(self, name: str, node: Node, sizes: Collection[str]) -> Output:
        what = f"output '{name}'" if name else "output"
        fields = self.nodes.fields(node, OutputKeys, what)
        return Output(name, self._shape(fields["shape"], what, sizes) if fields and "shape" in fields else ())

    def _calls(self, node: Node | None, places: tuple[Place, ...]) -> dict[str, dict[str, Program]]:
        table = None if node is None else self.nodes.table(node, "calls")
        calls: dict[str, dict[str, Program]] = {}
        if table is not None and not table.entries:
            self.nodes.report(table, "calls must not be empty")
        for dialect, (key, call) in table.entries.items() if table else ():
            if dialect not in self.words.dialects:
                self.nodes.unknown(key, "dialect", dialect, self.words.dialects)
            implementations = {"": (key, call)} if not isinstance(call, Table) else call.entries
            if not implementations:
                self.nodes.report(call, f"the calls of {dialect} must not be empty")
            calls[dialect] = {}
            for name, (label, text) in implementations.items():
                if name and not re.fullmatch(LABEL, name):
                    self.nodes.report(label, f"'{name}' is no name of an implementation; {_LABEL_RULE}")
                what = f"the call of {dialect}" + (f"/{name}" if name else "")
                names, functions = [*self.names, *RESERVED], self.words.dialects.get(dialect)
                program = self._program(text, what, names, functions, gives=self.gives)
                if program is not None:
                    calls[dialect][name] = replace(program, sizes=places)
        return calls

    def _formula(self, node: Node | None, what: str) -> Program | None:
        if node is None:
            return None
        functions = self.words.reference_functions
        return self._program(node, what, [*self.names, "pi", "inf"], functions, bind=True, gives=self.gives)

    def _variants(self, node: Node | None, params: Collection[str], known: Sequence[Param]) -> dict[str, OpVariant]:
        variants: dict[str, OpVariant] = {}
        table = None if node is None else self.nodes.table(node, "variants")
        for name, (key, entry) in table.entries.items() if table else ():
            what = f"variant '{name}'"
            if not re.fullmatch(LABEL, name):
                self.nodes.report(key, f"'{name}' is no name of a variant; {_LABEL_RULE}")
            fields = self.nodes.fields(entry, VariantKeys, what)
            if fields is None:
                continue
            if "reference" not in fields and "params" not in fields:
                self.nodes.report(entry, f"{what} needs a reference, params, or both")
            reference = self._formula(fields.get("reference"), f"the reference of {what}")
            values = self._values(fields.get("params"), what, params, known)
            variants[name] = OpVariant(name, reference, values, self._text(fields.get("note"), f"the note of {what}"))
        return variants

    def _values(
        self, node: Node | None, what: str, params: Collection[str], known: Sequence[Param]
    ) -> dict[str, Value]:
        values: dict[str, Value] = {}
        table = None if node is None else self.nodes.table(node, f"the params of {what}")
        if table is not None and not table.entries:
            self.nodes.report(table, f"the params of {what} must not be empty")
        for name, (key, entry) in table.entries.items() if table else ():
            if name not in params:
                self.nodes.unknown(key, "param", name, params)
                continue
            found = self.nodes.value(entry, f"param '{name}' of {what}")
            if found is None:
                continue
            if not all(param.is_like(found[0]) for param in known if param.name == name):
                self.nodes.report(entry, f"{description(entry)} is not of the kind of values that param '{name}' has")
            values[name] = found[0]
        return values

    def _program(
        self,
        node: Node,
        what: str,
        names: Iterable[str],
        functions: Mapping[str, Callable[..., object]] | None,
        *,
        bind: bool = False,
        inside: slice = slice(None),
        gives: Sequence[str] | None = None,
    ) -> Program | None:
        known = names if self.knows_names else None
        return self.nodes.program(node, what, known, functions, bind=bind, inside=inside, gives=gives)


_T = TypeVar("_T")


def _given(items: Iterable[_T | None]) -> tuple[_T, ...]:
    return tuple(item for item in items if item is not None)


def _places(dims: Collection[str], inputs: Iterable[Input]) -> tuple[Place, ...]:
    """Where each dim that is the whole size of an axis of an input first stands."""
    found: dict[str, Place] = {}
    for each in inputs:
        for axis, size in enumerate(each.shape):
            if size.meaning in dims:
                found.setdefault(size.meaning, (size.meaning, each.name, axis))
    return tuple(found.values())


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
