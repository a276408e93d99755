"""Model families: one folder each, with a Codec (host) and a Model (device)."""
