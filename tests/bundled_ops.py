"""The ops of specs/ by name, read once for all modules of tests: reading them takes most of a second."""

from __future__ import annotations

from opfuzz.backends import discover
from opfuzz.cli.group import bundled_specs
from opfuzz.engine.plan import load_specs

BUNDLED_OPS = {spec.op: spec for spec in load_specs((bundled_specs(),), discover())}
EVERY_OP = tuple(BUNDLED_OPS.values())
