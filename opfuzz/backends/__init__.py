"""The frameworks under test. Importing this imports none of them."""

from opfuzz.backends.base import ARRAY_RECIPE, Backend
from opfuzz.backends.discovery import derive, discover, survey
from opfuzz.backends.names import callable_names
from opfuzz.backends.perform import (
    exported_graph,
    not_spoken,
    perform,
    same_bits,
    same_outputs,
    unlike_spec,
    unsupported,
    wrong_shape,
)
from opfuzz.backends.subject import Subject, resolve
from opfuzz.spec.expression.program import evaluate

__all__ = [
    "ARRAY_RECIPE",
    "Backend",
    "Subject",
    "callable_names",
    "derive",
    "discover",
    "evaluate",
    "exported_graph",
    "not_spoken",
    "perform",
    "resolve",
    "same_bits",
    "same_outputs",
    "survey",
    "unlike_spec",
    "unsupported",
    "wrong_shape",
]
