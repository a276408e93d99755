"""SketchRNN: a variational autoencoder of drawings (Ha & Eck 2017, "A Neural Representation of Sketch Drawings")."""

from magenta_lite.models.sketch_rnn.codec import Codec
from magenta_lite.models.sketch_rnn.model import Model

__all__ = ["Codec", "Model"]
