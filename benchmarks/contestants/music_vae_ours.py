"""magenta_lite's MusicVAE: python -m benchmarks.contestants.music_vae_ours --variant=hierdec-mel_16bar"""

from benchmarks.contestants import protocol
from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory


def main(variant: str, batch_size: int, part: str = "step", compute_dtype: str = "float32", seed: int = 0) -> int:
    """Takes steps when asked; tells of each its loss. part: step, decoder, or product, for the machine's rate."""
    keep_compiled()
    from benchmarks.contestants import music_vae_parts as parts
    from magenta_lite import models

    if part == "product":
        protocol.serve(parts.counted(parts.product(compute_dtype)))
        return 0
    found, codec = parts.settings(variant, batch_size, seed)
    found.model.compute_dtype = compute_dtype
    step = parts.PARTS[part](models.build(found, codec), found, parts.slices(codec, batch_size, seed))
    step()
    protocol.serve(parts.counted(step))
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
