"""The page of settings, from the model that checks them."""

from __future__ import annotations

import click

from documentation.tables import code, page, table
from opfuzz.cli.run import run_command
from opfuzz.cli.settings.command import PARAMS
from opfuzz.cli.settings.config import UNSAID
from opfuzz.cli.settings.keys import LIKE, SettingsKeys
from opfuzz.cli.settings.layers import BUILT_IN, PATHS
from opfuzz.engine.carry import DEFAULT_SECONDS

INTRODUCTION = """
What may stand in `opfuzz.toml`, or under `[tool.opfuzz]` in `pyproject.toml`. [Settings of a project](configure.md)
says how to use them. Each key is what the option of that name is on the [command line](cli.md), of `opfuzz run` and
of other commands that have it.
"""


def _unsaid(key: str) -> str:
    """What holds where nobody says it, as `opfuzz config` and the options have it."""
    if key == "profile":
        return "those below alone"
    if key == "time":
        return f"{DEFAULT_SECONDS:g}s, where there are no cases either"
    if key in UNSAID:
        return UNSAID[key]
    param = next(param for param in run_command.params if param.name == PARAMS[key])
    context = click.Context(run_command)
    value = param.get_default(context)
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def settings_page() -> str:
    """Markdown: a table of the keys, and the profiles that are there already."""
    rows = [
        [
            code(key),
            code(f"{key} = {LIKE[key].example}") if key != "profile" else code(LIKE[key].example),
            (field.description or "") + ("; relative to the file" if key in PATHS else ""),
            _unsaid(key),
        ]
        for key, field in zip(LIKE, SettingsKeys.model_fields.values(), strict=True)
    ]
    profiles = [[code(name), ", ".join(code(f"{key} = {value!r}") for key, value in said.items()) or "nothing"]
                for name, said in BUILT_IN.items()]  # fmt: skip
    return page(
        "Settings",
        "python -m documentation",
        INTRODUCTION,
        table(["key", "such as", "meaning", "without it"], rows),
        "## Profiles that are there already\n\n" + table(["profile", "what it says"], profiles),
    )
