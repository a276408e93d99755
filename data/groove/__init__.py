"""Groove, drummers on an electronic kit: python -m data.groove --help."""
