"""Drawings made by rules, for trying things without a download: python -m data.toy --help."""
