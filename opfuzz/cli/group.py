"""What all commands share: the group, exit codes, how options are read, and where the bundled specs lie."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opfuzz.core import amounts
from opfuzz.core.amounts import seconds_of, seconds_or_none
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.shipped import shipped
from opfuzz.engine.executors import LOCAL, Executor
from opfuzz.engine.executors.signals import is_terminated

if TYPE_CHECKING:
    from opfuzz.backends import Backend
    from opfuzz.engine.executors.cluster.access import Certificates

FINDINGS, USAGE, INTERNAL, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143

Paths = tuple[Path, ...]
T = TypeVar("T")

EXECUTORS = ("pool", "dask")
FILE = click.Path(path_type=Path)
SHOWN = 20  # digits of a number in a message
COUNTED = 2**63  # which no count reaches, and what machines count with ends


class CountRange(click.IntRange):
    """A whole number in a range, which is one that a machine counts to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click.ParamType."""
        number = super().convert(value, param, ctx)
        if number >= COUNTED:
            self.fail(f"{str(value)[:SHOWN]}... has {len(str(value))} digits; write a number below 2^63", param, ctx)
        return number


CHOICES: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option(
        "--executor", "engine", type=click.Choice(EXECUTORS), default="pool", help="Processes here, or a Dask cluster."
    ),
    click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster; local is one on this machine."),
    click.option("--tls-ca", type=FILE, help="The certificate of the authority that the cluster trusts, in PEM."),
    click.option("--tls-cert", type=FILE, help="A certificate that this authority has signed."),
    click.option("--tls-key", type=FILE, help="The key of that certificate."),
    click.option("--insecure", is_flag=True, help="Without TLS to another machine, in a network that is closed."),
)
WHEREABOUTS = frozenset({"engine", "scheduler", "tls_ca", "tls_cert", "tls_key", "insecure"})


def ending() -> int:
    """The exit code of a command that Ctrl-C or SIGTERM ended early."""
    return TERMINATED if is_terminated() else INTERRUPTED


def bundled_specs() -> Path:
    """The specs that came with opfuzz."""
    return shipped("specs")


def profile_path(text: str) -> Path:
    """A file, or a profile that came with opfuzz by its name, such as `decoder`."""
    named = shipped("profiles") / f"{text}.yaml"
    if Path(text).exists() or not named.is_file():
        return Path(text)
    return named


def reading(read: Callable[[str], T]) -> Callable[[str], T]:
    """What an option reads so, whose mistakes are those of a command line."""

    @wraps(read)
    def read_option(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read_option


duration, duration_or_none, seed_of = reading(seconds_of), reading(seconds_or_none), reading(amounts.seed_of)


def size(text: str) -> int:
    """`512M`, `4G`, in bytes; a number alone is of bytes."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:].upper())
    digits = text[:-1] if factor else text
    if not (digits.isascii() and digits.isdecimal() and 0 < len(digits) < 16 and int(digits)):
        raise click.BadParameter(f"'{text:.40}' is no size; write 512M or 4G")
    return int(digits) * (factor or 1)


def words(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Reads words with commas between them, each one of `known` if any are."""

    def read(text: str) -> tuple[str, ...]:
        found = tuple(word.strip() for word in text.split(",") if word.strip())
        if not found:
            raise click.BadParameter("the list is empty")
        for word in found:
            if known and word not in known:
                remedy = did_you_mean(word, known) or f"; known: {', '.join(known)}"
                raise click.BadParameter(f"unknown '{word}'{remedy}")
        return found

    return read


def width() -> int | None:
    """Columns of the terminal, or as COLUMNS says; None where the output goes to a pipe or a file."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size((160, 24)).columns
    return None


def plugin_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--plugin FILE.py`, given to the command as `backends`: all that there are."""

    @click.option(
        "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), help="Python file with a list BACKENDS."
    )
    @wraps(function)
    def with_backends(plugins: Paths, **options: Any) -> Any:
        from opfuzz.backends import discover  # which brings all of the specs: a shell that completes needs none

        return function(plugins=plugins, backends=discover(plugins), **options)

    return with_backends


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What the options of executors say."""

    engine: str
    scheduler: str | None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    insecure: bool

    def executor(self, jobs: int | None, backends: Mapping[str, Backend]) -> Executor:
        """The executor that they name.

        Raises UsageError if they do not go together, OpfuzzError if Dask is not installed or nobody may get there.
        """
        files = {"--tls-ca": self.tls_ca, "--tls-cert": self.tls_cert, "--tls-key": self.tls_key}
        of_a_cluster = {"--scheduler": self.scheduler, **files, "--insecure": self.insecure or None}
        given = [name for name, value in of_a_cluster.items() if value is not None]
        if self.engine == "pool":
            if given:
                raise click.UsageError(f"{given[0]} is of a Dask cluster: add --executor dask")
            return LOCAL
        if self.scheduler is None:
            raise click.UsageError(
                "--executor dask needs a --scheduler: an address such as tcp://10.0.0.1:8786, or local"
            )
        if self.scheduler == "local" and given[1:]:
            raise click.UsageError(f"{given[1]} is of a cluster elsewhere: nobody gets to that of --scheduler local")
        certificates = self._certificates(files)
        from opfuzz.engine.machines import here  # which brings frameworks' backends: a tab needs none
        from opfuzz.engine.plan import needs_of

        try:
            from opfuzz.engine.executors.cluster.dask import Dask
        except ImportError:
            raise OpfuzzError("--executor dask: Dask is not installed: pip install 'opfuzz[dask]'") from None
        local = needs_of(here(backends).devices, backends) if self.scheduler == "local" else frozenset()
        return Dask(self.scheduler, jobs or os.cpu_count() or 1, local, certificates, self.insecure)

    def _certificates(self, files: Mapping[str, Path | None]) -> Certificates | None:
        named = [path for path in files.values() if path is not None]
        if not named:
            return None
        if lacking := [option for option, path in files.items() if path is None]:
            raise click.UsageError(f"{', '.join(files)} go together: add {' and '.join(lacking)}")
        if self.insecure:
            raise click.UsageError("--insecure is to do without certificates, and there are some; leave it out")
        from opfuzz.engine.executors.cluster.access import Certificates  # and ssl

        return Certificates(*named)


def executor_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of executors, given to the command as `whereabouts`."""

    @wraps(function)
    def with_whereabouts(**options: Any) -> Any:
        return function(whereabouts=Whereabouts(**{name: options.pop(name) for name in WHEREABOUTS}), **options)

    for choice in reversed(CHOICES):
        with_whereabouts = choice(with_whereabouts)
    return with_whereabouts
