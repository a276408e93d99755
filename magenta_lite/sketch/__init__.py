"""Drawings as numpy arrays: strokes, files people have, pictures and pages."""
