"""Pages that stand alone: one template engine, in which every text is inert, and a policy that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from opfuzz.report.text import plain


def template(text: str, filters: Mapping[str, Callable[..., Any]]) -> Callable[..., str]:
    """A function that fills in a page's template.

    What is put in is escaped and without control characters; what is missing is an error.
    """
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_inert,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"short": short, **filters}
    return environment.from_string(text).render


def policy(style: str, script: str = "") -> str:
    """The content security policy of a page with this style and script, by their digests: it asks for nothing else."""
    scripts = f"script-src '{_digest(script)}'; " if script else ""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; {scripts}img-src data:; base-uri 'none'; form-action 'none'"
    )


def short(text: str, longest: int = 240) -> str:
    """Text no longer than that."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _digest(text: str) -> str:
    """What a content security policy knows a script or a style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _inert(value: Any) -> Any:
    """Text without control characters; what is markup already was made so here."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
