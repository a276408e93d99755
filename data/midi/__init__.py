"""A person's own MIDI files: python -m data.midi --help."""
