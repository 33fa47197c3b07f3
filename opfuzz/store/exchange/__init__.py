"""Cases in a folder: inputs that any program can read, and what it made of them."""

from opfuzz.store.exchange.export import Export, ExportedCase, output_name
from opfuzz.store.exchange.outputs import Recorded, read_recorded, recorded_names
from opfuzz.store.exchange.reading import arrays_of, read_export
from opfuzz.store.exchange.recorder import OutputRecorder, free_folder
from opfuzz.store.exchange.writing import check_room, write_export

__all__ = [
    "Export",
    "ExportedCase",
    "OutputRecorder",
    "Recorded",
    "arrays_of",
    "check_room",
    "free_folder",
    "output_name",
    "read_export",
    "read_recorded",
    "recorded_names",
    "write_export",
]
