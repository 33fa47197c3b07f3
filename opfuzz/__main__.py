"""`python -m opfuzz`."""

from opfuzz.cli import main

main()
