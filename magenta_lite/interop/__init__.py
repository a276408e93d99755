"""Other people's formats: published weights in; browsers, safetensors and packs out. See docs/interop.md."""
