"""Layers on JAX arrays, shared by the model families. Time comes first inside: [time, batch, features]."""
