"""The elementary functions of one argument that references call: one table, one row a function.

Every evaluator of a graph reads its row here: balls (`value`, `tested`, `spread`, `poles`), Arb (`ball`), bounds over
ranges (`bounds`) and the working formats (`value`). A reference calls a function by its key in the table. Those of two
arguments are in `functions/pairs.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from opfuzz.oracle.functions.plain import PLAIN
from opfuzz.oracle.functions.record import Elementary
from opfuzz.oracle.functions.special import SPECIAL

ELEMENTARY: Mapping[str, Elementary] = MappingProxyType({**PLAIN, **SPECIAL})
