"""Performance RNN: an LSTM over the events of expressive performances (Simon & Oore 2017; Oore et al. 2018)."""

from magenta_lite.models.performance_rnn.codec import Codec
from magenta_lite.models.performance_rnn.model import Model

__all__ = ["Codec", "Model"]
