"""Files of other people: read without trust, written whole or not at all."""
