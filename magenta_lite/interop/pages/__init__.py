"""export --format=html: a model as one page that runs by itself, from disk, without server or network."""

import importlib
import importlib.util
from pathlib import Path

from magenta_lite.errors import UserError, plain
from magenta_lite.files import writing
from magenta_lite.sampler import Sampler


def export(player: Sampler, out: Path, *, title: str = "", large: bool = False) -> None:
    """Writes the page of a model, which computes the network in the browser; its weights are in it as 16-bit numbers.

    A model that its page cannot play is refused.

    --title  the page's heading; without one the page says what it is
    --large  makes pages of music that are large and slow, too
    """
    name = f"{__name__}.{player.config.family}"
    if importlib.util.find_spec(name) is None:
        raise UserError(f"--format=html: {player.config.family} has no page; safetensors takes every model")
    module = importlib.import_module(name)
    page = module.page(player, title=plain(title), large=large)
    with writing(out) as file:
        file.write(page.encode())
