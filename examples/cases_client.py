"""A program that computes cases of `opfuzz cases export` with Python's standard library alone.

    opfuzz cases export cases --op relu,exp,tanh,softmax,erf --format float32,float64
    python examples/cases_client.py cases python
    opfuzz cases judge cases --as python

docs/cases.md describes the files. It reads manifest.json, computes in float64, rounds once, and sees all inputs as
contiguous; a library with views would lay each out in memory as `memory` says.
"""

import json
import math
import platform
import struct
import sys
from array import array
from pathlib import Path

CODES = {"F32": "f", "F64": "d"}  # of `array`, whose values are those of the machine: little-endian ones


def load(folder, case, given):
    """The values of an input, which lie at its offset in the file of the case."""
    with (folder / case["file"]).open("rb") as file:
        file.seek(given["offset"])
        data = file.read(given["bytes"])
    if len(data) != given["bytes"]:
        raise SystemExit(f"{case['file']}: cut short")
    return array(CODES[given["dtype"]], data)


def relu(x, dims):
    return [value if value > 0 or value != value else 0.0 for value in x]


def exp(x, dims):
    return [_exp(value) for value in x]


def _exp(value):
    try:
        return math.exp(value)
    except OverflowError:  # Python's word for what IEEE arithmetic calls infinity
        return math.inf


def tanh(x, dims):
    return [math.tanh(value) for value in x]


def softmax(x, dims):
    found = []
    for row in range(dims["batch"]):
        values = x[row * dims["n"] : (row + 1) * dims["n"]]
        largest = max(values)
        raised = [_exp(value - largest) for value in values]
        total = sum(raised)
        found += [value / total for value in raised]
    return found


OPS = {"relu": relu, "exp": exp, "tanh": tanh, "softmax": softmax}


def save(path, tensors):
    """A safetensors file: the length of the header in 8 bytes, the header, the values."""
    header, end = {}, 0
    for name, (dtype, shape, values) in tensors.items():
        size = len(values) * values.itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, values in tensors.values():
            values.tofile(file)


def main(folder, name):
    if sys.byteorder != "little":
        raise SystemExit("this machine is not little-endian, as safetensors files are")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest["schema"] != 1:
        raise SystemExit(f"schema {manifest['schema']}; this program reads 1")
    outputs, lines = {}, []
    for case in manifest["cases"]:
        wanted = case.get("outputs") or [case["output"]]  # a tuple of several, each with its name, or one array
        op, dtype = OPS.get(case["op"]), wanted[0]["dtype"]
        if op is None or dtype not in CODES:
            lines.append(f"{case['id']} unsupported this program has no {case['op']} of {dtype}\n")
            continue
        inputs = [load(folder, case, given) for given in case["inputs"]]
        try:
            found = op(*inputs, case["dims"])
            values = [array(CODES[dtype], each) for each in (found if "outputs" in case else [found])]
        except Exception as error:
            lines.append(f"{case['id']} crash raised {type(error).__name__}: {error}\n")
            continue
        for output, each in zip(wanted, values, strict=True):
            tensor = f"{case['id']}/{output['name']}" if "name" in output else case["id"]
            outputs[tensor] = (dtype, output["shape"], each)
    place = folder / "outputs" / name
    place.mkdir(parents=True)
    save(place / "outputs.safetensors", outputs)
    (place / "status.txt").write_text("".join(lines), encoding="utf-8")
    (place / "about.json").write_text(json.dumps({"versions": {"python": platform.python_version()}}), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python cases_client.py DIR NAME")
    main(Path(sys.argv[1]), sys.argv[2])
