"""Cases in a folder: inputs that any program can read, and what it made of them."""

from opfuzz.cases.export import Entry, Export
from opfuzz.cases.outputs import Recorded, read_recorded, recorded_names
from opfuzz.cases.reading import arrays_of, read_export
from opfuzz.cases.recorder import Recorder, free_folder
from opfuzz.cases.writing import check_room, write_export

__all__ = [
    "Entry",
    "Export",
    "Recorded",
    "Recorder",
    "arrays_of",
    "check_room",
    "free_folder",
    "read_export",
    "read_recorded",
    "recorded_names",
    "write_export",
]
