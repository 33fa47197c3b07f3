"""What a scalar of YAML means: numbers, truth values and None as YAML 1.2 has them."""

from __future__ import annotations

import re

from opfuzz.core.files.yaml_nodes import Scalar

Value = int | float | bool | str | None

# The core schema of YAML 1.2. YAML 1.1, which PyYAML reads, takes 1e-5 for text, on for true and 010 for eight.
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def value_of(scalar: Scalar) -> Value:
    """Number, truth value, None or text that a scalar means in YAML 1.2; quoted, it is text."""
    text = scalar.text
    if scalar.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and len(text) < 1000:
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITY.fullmatch(text):
        return float(text.replace(".", ""))
    return text


_MISREAD = re.compile(
    r"(?P<truth>y|yes|n|no|on|off)|(?P<zero>[-+]?0[0-9]+)|(?P<digits>[-+]?[0-9][0-9_]*_[0-9_]*|[-+]?[0-9]+(:[0-5]?[0-9])+)",
    re.IGNORECASE,
)


def misread(scalar: Scalar) -> str | None:
    """Why a plain scalar means different things to readers of YAML 1.1 and 1.2, or None if it does not."""
    found = _MISREAD.fullmatch(scalar.text) if scalar.style is None else None
    if found is None:
        return None
    text = scalar.text
    if found["truth"]:
        return f"'{text}' may be a truth value or text; write true or false, or quote it"
    if found["zero"]:
        return f"'{text}' may be octal or decimal; write it without the zero in front, or as 0o17 for octal"
    return f"'{text}' may be a number or text; write plain digits, or quote it"
