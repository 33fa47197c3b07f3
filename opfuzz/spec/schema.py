"""The keys of a spec file, each with one line of explanation: what the loader knows and editors complete from."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from opfuzz.core.floats import FORMATS

JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
OP_NAME = r"^[a-z][a-z0-9_]*$"
NAME = r"^[A-Za-z][A-Za-z0-9_]*$"
LABEL = r"^[a-z0-9][a-z0-9_.-]*$"
RANGE = r"^-?[0-9]{1,18}\.\.(-?[0-9]{1,18})?$"
KIND = r"^(float|index\(.+\)|mask|mask\(additive\))$"

Expression = Annotated[str | int | float, Field(description="an expression, or a block of them")]
Name = Annotated[str, Field(pattern=NAME)]
Label = Annotated[str, Field(pattern=LABEL)]
Number = int | float | bool | None | str
Range = Annotated[str, Field(pattern=RANGE, description="low..high, or low.. for no upper limit")]
Shape = Annotated[list[Expression], Field(description="one expression of dims and params an axis")]
FormatName = Annotated[str, Field(json_schema_extra={"enum": list(FORMATS)})]


class Keys(BaseModel):
    """A mapping with exactly these keys, and exactly one of `alternatives` among them."""

    alternatives: ClassVar[tuple[str, ...]] = ()
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def has_one_alternative(cls, given: Any) -> Any:
        """What is given. Raises ValueError where it has none of the alternatives, or two."""
        if cls.alternatives and isinstance(given, dict) and sum(key in given for key in cls.alternatives) != 1:
            raise ValueError(f"exactly one of {', '.join(cls.alternatives)}")
        return given


class InputKeys(Keys):
    """One array that the generator makes."""

    shape: Shape
    kind: Annotated[str, Field(pattern=KIND)] = Field(
        "float", description="index(size): integers below it; default float"
    )
    dtype: FormatName = Field("", description="the format that it has whichever is tested; default: the one tested")
    regimes: Annotated[list[str], Field(min_length=1)] = Field(
        default_factory=list, description="patterns of values; without it, the generator's usual ones"
    )


class OutputKeys(Keys):
    """One array that an op returns."""

    shape: Shape


class VariantKeys(Keys):
    """Another meaning of the op, which it is commonly confused with: another reference, other params, or both."""

    reference: Expression = Field(default_factory=str, description="the mathematics of the variant")
    params: dict[Name, Number] = Field(default_factory=dict, description="params that differ, each with one value")
    note: str = Field("", description="what is different, in words")


class SpecKeys(Keys):
    """One op."""

    alternatives = ("output", "outputs")
    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["output"]}, {"required": ["outputs"]}]})

    op: Annotated[str, Field(pattern=OP_NAME)] = Field(description="its name")
    summary: str = Field(description="one sentence")
    formats: Annotated[list[FormatName], Field(min_length=1)] = Field(description="float formats that it is tried in")
    dims: dict[Name, int | Range | list[int]] = Field(
        default_factory=dict, description="sizes: a number, low..high, low.., or a list"
    )
    batch: list[Name] = Field(default_factory=list, description="dims along which slices are independent")
    params: dict[Name, Range | Annotated[list[Number], Field(min_length=1)]] = Field(
        default_factory=dict, description="parameters: low..high or a list; the first is the default"
    )
    require: list[Expression] = Field(
        default_factory=list, description="comparisons of dims and params that hold for every case"
    )
    inputs: dict[Name, InputKeys] = Field(default_factory=dict, description="arrays that it takes")
    output: OutputKeys = Field(default_factory=lambda: OutputKeys(shape=[]), description="array that it returns")
    outputs: Annotated[dict[Name, OutputKeys], Field(min_length=1)] = Field(
        default_factory=dict, description="arrays of a tuple that it returns, by name and in its order"
    )
    calls: dict[str, Expression | dict[Label, Expression]] = Field(
        description="dialect -> call, or dialect -> implementation -> call", min_length=1
    )
    reference: Expression = Field(description="the exact mathematics")
    natural: Expression = Field(
        default_factory=str, description="the formula as it is usually computed, where that is less stable"
    )
    variants: dict[Label, VariantKeys] = Field(
        default_factory=dict, description="what the op is commonly confused with"
    )


def keys_of(model: type[Keys]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All keys of a mapping, and those that it must have."""
    fields = model.model_fields
    return tuple(fields), tuple(name for name, field in fields.items() if field.is_required())


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec file, for editors: keys and types. Names and calls only the loader can check."""
    about = {
        "title": "opfuzz spec",
        "description": "One op of opfuzz: its inputs and sizes, how frameworks call it, and its exact mathematics.",
    }
    return {"$schema": JSON_SCHEMA_DIALECT, **SpecKeys.model_json_schema(), **about}
