"""A command whose options have their values of settings where nobody gives them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from opfuzz.cli.settings.layers import FileSettings, Setting, settings_of
from opfuzz.core.errors import OpfuzzError

HERE = "opfuzz.settings"  # in the context
GIVEN = (str, bool, list, tuple)  # what a parser of click makes of words
# How `opfuzz run` calls what each key says.
PARAMS: Mapping[str, str] = {
    "specs": "specs",
    "plugins": "plugins",
    "subjects": "subjects",
    "ops": "ops",
    "formats": "formats",
    "gradients": "has_gradients",
    "only-gradients": "only_gradients",
    "cases": "cases",
    "time": "seconds",
    "jobs": "jobs",
    "seed": "seed",
    "sort": "sort",
    "rows": "rows",
    "fail-on": "fail_on",
    "shrink": "shrinking",
    "case-time": "case_time",
    "case-memory": "case_memory",
    "patience": "patience",
    "corpus": "corpus",
    "baseline": "baseline",
    "baseline-python": "baseline_python",
    "accepted": "listed",
    "out": "out",
    "executor": "engine",
    "scheduler": "scheduler",
    "tls-ca": "tls_ca",
    "tls-cert": "tls_cert",
    "tls-key": "tls_key",
}
# What means the same in every command; the rest is of a run.
EVERYWHERE: Mapping[str, tuple[str, ...]] = {
    "specs": ("specs",),
    "plugins": ("plugins",),
    "jobs": ("jobs",),
    "accepted": ("listed", "path"),
    "out": ("reports", "out"),
}
SWEEPS = ("sweep", "accuracy")  # whose folder is one in that of runs


class SettledCommand(click.Command):
    """A command with `--config`, `--no-config` and `--settings`: not `--profile`, which is of a network's sizes."""

    def __init__(self, *given: Any, is_run: bool = False, **named: Any) -> None:
        super().__init__(*given, **named)
        self.is_run = is_run  # takes all that settings may say
        path = click.Path(path_type=Path)
        own = [
            click.Option(
                ["--config", "settings_file"],
                type=path,
                metavar="FILE",
                expose_value=False,
                help="Settings; default: the nearest opfuzz.toml, or pyproject.toml with [tool.opfuzz], upwards.",
            ),
            click.Option(["--no-config"], is_flag=True, expose_value=False, help="Read no settings."),
            click.Option(
                ["--settings"],
                metavar="PROFILE",
                expose_value=False,
                help="The profile of the settings that holds: ci, nightly, or one of the file; default: default.",
            ),
        ]
        taken = {name for param in self.params for name in param.opts}  # --config of localize is of the decoder
        self.params += [option for option in own if taken.isdisjoint(option.opts)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Settings first: what the words leave out is theirs. Raises OpfuzzError for what is wrong in their file."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        parsed, _, _ = self.make_parser(ctx).parse_args(args=[*args])
        # Of what nobody gave, a parser of click has a mark of its own, or nothing.
        given = {
            name: value for name, value in parsed.items() if isinstance(value, str | bool | list | tuple) and value
        }
        if "help" in given:
            return super().parse_args(ctx, args)
        named, none, profile = (given.get(name) for name in ("settings_file", "no_config", "settings"))
        if named and none:
            raise click.UsageError("--config names settings, and --no-config wants none; give one of them", ctx)
        settings = settings_of(Path(str(named)) if named else None, bool(none), str(profile) if profile else None)
        ctx.meta[HERE] = settings
        values = self._values(ctx, settings, given.keys())
        ctx.default_map = {name: value for name, (value, _) in values.items()}
        rest = super().parse_args(ctx, args)
        for name, (value, _) in values.items():  # click of before 8.2 asks no settings for what may be repeated
            if ctx.params.get(name) == () and value:
                ctx.params[name] = self._cast(ctx, name, value)
                ctx.set_parameter_source(name, ParameterSource.DEFAULT_MAP)
        return rest

    def _values(
        self, ctx: click.Context, settings: FileSettings, given: Collection[str]
    ) -> dict[str, tuple[Any, Setting]]:
        """By the name of a parameter: a value as somebody would give it, and where it is said."""
        names = {key: name for key in settings.values if (name := self._param(key)) is not None}
        taken = {key for key, name in PARAMS.items() if name in given} if self.is_run else set()
        kept = settings.without(taken).values
        found: dict[str, tuple[Any, Setting]] = {}
        for key, name in names.items():
            if name in given or key not in kept:
                continue
            value = _as_given(kept[key].value, self._of(name))
            if key == "out" and self.name in SWEEPS:
                value = str(Path(value) / "sweeps")
            try:
                self._cast(ctx, name, value)
            except click.BadParameter as error:
                raise OpfuzzError(f"{kept[key].origin}: '{key}': {error.message.rstrip('.')}") from None
            found[name] = value, kept[key]
        return found

    def _of(self, name: str) -> click.Parameter:
        return next(param for param in self.params if param.name == name)

    def _cast(self, ctx: click.Context, name: str, value: Any) -> Any:
        return self._of(name).type_cast_value(ctx, value)

    def _param(self, key: str) -> str | None:
        """How this command calls what a key says; None: it has nothing of the kind."""
        mine = {param.name for param in self.params}
        names = (PARAMS[key],) if self.is_run else EVERYWHERE.get(key, ())
        return next((name for name in names if name in mine), None)


def _as_given(value: Any, param: click.Parameter) -> Any:
    """As somebody would write it at the option: a list is one with commas, where the option is not repeated."""
    if isinstance(value, list):
        return value if param.multiple or param.nargs != 1 else ",".join(value)
    return value if isinstance(value, bool) else str(value)
