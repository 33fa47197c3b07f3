"""What a trace needs of other rooms to name a cause: the bundled specs, and what their variants give."""

from __future__ import annotations

from opfuzz.backends import discover
from opfuzz.core.shipped import shipped
from opfuzz.engine.drivers.pipeline_bench import meaning
from opfuzz.engine.plan import load_specs
from opfuzz.network.trace.causes import Knowledge


def knowledge() -> Knowledge:
    """The bundled specs. Raises SpecError if one of them is broken."""
    return Knowledge(
        {spec.op: spec for spec in load_specs((shipped("specs"),), discover(()), dialects=("torch",))}, meaning
    )
