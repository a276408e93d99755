"""Generative models of drawing and of music, in JAX."""
