"""What a file of tensors says of how they were computed: their order, the module of each, its class; no framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opfuzz.core.errors import OpfuzzError

# Keys of the metadata of a safetensors file. Values there are texts: each is JSON.
ORDER, MODULES, LEFT_OUT = "opfuzz.order", "opfuzz.modules", "opfuzz.left_out"


@dataclass(frozen=True, slots=True)
class ModuleOf:
    """The module whose output a tensor is; inputs and outputs of the whole model are of the module ""."""

    name: str
    kind: str  # its class


@dataclass(frozen=True, slots=True)
class Execution:
    """Names of tensors as they were computed. An order may be of some of them only, and modules need not be known."""

    order: tuple[str, ...] = ()
    modules: Mapping[str, ModuleOf] = field(default_factory=dict)  # by name of the tensor
    left_out: Mapping[str, str] = field(default_factory=dict)  # why a value is not in the file

    def metadata(self) -> dict[str, str]:
        """As the metadata of a file."""
        modules = {tensor: [module.name, module.kind] for tensor, module in self.modules.items()}
        values = {ORDER: list(self.order), MODULES: modules, LEFT_OUT: dict(self.left_out)}
        return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


NOT_SAID = Execution()


def read_execution(path: Path, metadata: Mapping[str, str]) -> Execution:
    """What the metadata of a file says. Raises OpfuzzError if it is not what `metadata` writes."""
    order = _parsed(path, metadata, ORDER, [])
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        raise OpfuzzError(f"{path}: its metadata '{ORDER}' must be a JSON list of names of tensors")
    if len(set(order)) < len(order):
        twice = next(name for place, name in enumerate(order) if name in order[:place])
        raise OpfuzzError(f"{path}: its metadata '{ORDER}' has '{twice}' more than once; a tensor is computed once")
    modules = _parsed(path, metadata, MODULES, {})
    if not isinstance(modules, dict) or not all(_is_module(value) for value in modules.values()):
        raise OpfuzzError(f"{path}: its metadata '{MODULES}' must be a JSON object, {{tensor: [module, class]}}")
    left_out = _parsed(path, metadata, LEFT_OUT, {})
    if not isinstance(left_out, dict):
        raise OpfuzzError(f"{path}: its metadata '{LEFT_OUT}' must be a JSON object, {{name: why}}")
    return Execution(
        tuple(order),
        {tensor: ModuleOf(*value) for tensor, value in modules.items()},
        {name: str(why) for name, why in left_out.items()},
    )


def _is_module(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _parsed(path: Path, metadata: Mapping[str, str], key: str, otherwise: Any) -> Any:
    if key not in metadata:
        return otherwise
    try:
        return json.loads(metadata[key])
    except ValueError as error:
        raise OpfuzzError(f"{path}: its metadata '{key}' is not JSON: {' '.join(str(error).split())}") from None
