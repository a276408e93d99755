"""A person's own drawings, as SVG or ndjson: python -m data.drawings --help."""
