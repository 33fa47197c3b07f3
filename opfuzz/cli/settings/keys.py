"""The keys of settings, each with its type and one line of explanation: what is checked, and what editors complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from opfuzz.core.floats import FORMATS
from opfuzz.spec.schema import JSON_SCHEMA_DIALECT, Keys

SETTINGS_SCHEMA = 1  # its version: a key that goes, or means something else, makes another
TIME = r"^[0-9.]+([eE][-+]?[0-9]+)?[smh]?$"
SIZE = r"^[0-9]{1,15}[KMGkmg]?$"


@dataclass(frozen=True, slots=True)
class Like:
    """What a value is to be, in words, and one that could be written."""

    words: str
    example: str


def _dashed(name: str) -> str:
    return name.replace("_", "-")


Words = Annotated[list[str], Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Time = Annotated[str, Field(pattern=TIME)] | Annotated[float, Field(ge=0)]
FormatNames = Annotated[list[Annotated[str, Field(json_schema_extra={"enum": [*FORMATS, "all"]})]], Field(min_length=1)]
A_LIST, A_COUNT, A_TRUTH = "not a list of texts", "not a whole number from 1", "not true or false"
A_TABLE = "[profile.ci] with keys in it"
A_TIME, A_TEXT = "not a time", "not a text"


class SettingsProfileKeys(Keys):
    """Settings under a name, which hold where `--settings NAME` says so, and then before those of the file."""

    # Strictly, so that "8" is no number and true is none either.
    model_config = ConfigDict(strict=True, alias_generator=_dashed)

    specs: Annotated[Words | None, Like(A_LIST, '["specs"]')] = Field(None, description="files and folders of specs")
    plugins: Annotated[Words | None, Like(A_LIST, '["mine.py"]')] = Field(
        None, description="Python files with a list BACKENDS, which are run"
    )
    subjects: Annotated[Words | None, Like(A_LIST, '["torch:cpu", "mlx:cpu"]')] = Field(
        None, description="who computes"
    )
    ops: Annotated[Words | None, Like(A_LIST, '["exp", "softmax"]')] = Field(None, description="only these ops")
    formats: Annotated[FormatNames | None, Like(A_LIST, '["float32", "float16"]')] = Field(
        None, description="formats that ops are tried in"
    )
    gradients: Annotated[bool | None, Like(A_TRUTH, "true")] = Field(None, description="try gradients as well")
    only_gradients: Annotated[bool | None, Like(A_TRUTH, "true")] = Field(None, description="try gradients alone")
    cases: Annotated[Count | None, Like(A_COUNT, "500")] = Field(
        None, description="cases for each op, subject and format; instead of time"
    )
    time: Annotated[Time | None, Like(A_TIME, '"60s"')] = Field(
        None, description="how long to try cases: 90, 60s, 5m, 2h"
    )
    jobs: Annotated[Count | None, Like(A_COUNT, "4")] = Field(None, description="worker processes")
    seed: Annotated[Annotated[int, Field(ge=0)] | str | None, Like("not a seed", '0, or "nightly"')] = Field(
        None, description="a whole number, or nightly for the date"
    )
    sort: Annotated[str | None, Like(A_TEXT, '"ulp"')] = Field(None, description="order of rows inside a severity")
    rows: Annotated[str | None, Like(A_TEXT, '"ops"')] = Field(None, description="a row for each op, or all")
    fail_on: Annotated[Words | None, Like(A_LIST, '["wrong", "crash"]')] = Field(
        None, description="verdicts for which opfuzz run exits with 1"
    )
    shrink: Annotated[Time | None, Like(A_TIME, '"30s", or 0 for not at all')] = Field(
        None, description="how long to make findings smaller; 0: not at all"
    )
    case_time: Annotated[Time | None, Like(A_TIME, '"10s"')] = Field(None, description="after which a case hangs")
    case_memory: Annotated[Annotated[str, Field(pattern=SIZE)] | Count | None, Like("not a size", '"4G"')] = Field(
        None, description="that a process may take"
    )
    patience: Annotated[Annotated[int, Field(ge=0)] | None, Like("not a whole number from 0", "2")] = Field(
        None, description="cases that hang after which a subject is spared an op; 0: never"
    )
    corpus: Annotated[str | None, Like(A_TEXT, '"corpus"')] = Field(None, description="folder of known faults")
    baseline: Annotated[str | None, Like(A_TEXT, '"latest"')] = Field(
        None, description="the run that others are held against: latest, a name, a folder or a run.json"
    )
    baseline_python: Annotated[str | None, Like(A_TEXT, '".venv-before/bin/python"')] = Field(
        None, description="a Python with the software of the baseline"
    )
    accepted: Annotated[str | None, Like(A_TEXT, '"accepted.yaml"')] = Field(
        None, description="the list of accepted findings"
    )
    out: Annotated[str | None, Like(A_TEXT, '"reports"')] = Field(None, description="folder for runs")
    executor: Annotated[str | None, Like(A_TEXT, '"pool"')] = Field(None, description="pool, or dask")
    scheduler: Annotated[str | None, Like(A_TEXT, '"tcp://10.0.0.1:8786"')] = Field(
        None, description="address of a Dask cluster"
    )
    tls_ca: Annotated[str | None, Like(A_TEXT, '"ca.pem"')] = Field(None, description="certificate of the authority")
    tls_cert: Annotated[str | None, Like(A_TEXT, '"cert.pem"')] = Field(None, description="certificate")
    tls_key: Annotated[str | None, Like(A_TEXT, '"key.pem"')] = Field(None, description="key of the certificate")


class SettingsKeys(SettingsProfileKeys):
    """Settings of opfuzz: a file opfuzz.toml, or [tool.opfuzz] in pyproject.toml."""

    profile: Annotated[dict[str, SettingsProfileKeys] | None, Like("not a table", A_TABLE)] = Field(
        None,
        description="settings under a name: default holds where none is named, ci and nightly are there already",
    )


LIKE = {
    _dashed(name): next(each for each in field.metadata if isinstance(each, Like))
    for name, field in SettingsKeys.model_fields.items()
}


def settings_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of opfuzz.toml, and of the table tool.opfuzz of pyproject.toml."""
    made = SettingsKeys.model_json_schema()
    return {
        "$schema": JSON_SCHEMA_DIALECT,
        "$id": f"urn:opfuzz:settings:{SETTINGS_SCHEMA}",
        **made,
        "title": "opfuzz settings",
    }
