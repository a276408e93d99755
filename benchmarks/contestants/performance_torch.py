"""A yardstick: Performance RNN's training step with torch.nn.LSTM, fed one-hot events as the original is.

The same layers, loss, optimizer and batches as the default config. Torch comes with `pip install torch`.
"""

import torch
from torch.nn import functional

from benchmarks.contestants import performance_batches, protocol
from magenta_lite.command import run

CLASSES, UNITS, LAYERS = 388, 512, 3


class PerformanceRNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.LSTM(CLASSES, UNITS, LAYERS)
        self.output = torch.nn.Linear(UNITS, CLASSES)
        for number in range(LAYERS):
            # The original's kernel is one matrix, drawn by the size of the whole.
            inputs = CLASSES if number == 0 else UNITS
            limit = (6 / (inputs + UNITS + 4 * UNITS)) ** 0.5
            for name in ("ih", "hh"):
                torch.nn.init.uniform_(getattr(self.layers, f"weight_{name}_l{number}"), -limit, limit)
                torch.nn.init.zeros_(getattr(self.layers, f"bias_{name}_l{number}"))
            getattr(self.layers, f"bias_hh_l{number}").data[UNITS : 2 * UNITS] = 1.0  # the gates are i, f, g, o there
        torch.nn.init.xavier_uniform_(self.output.weight)
        torch.nn.init.zeros_(self.output.bias)

    def forward(self, tokens):
        """Logits [T, B, 388] after each of tokens [T, B]."""
        return self.output(self.layers(functional.one_hot(tokens, CLASSES).float())[0])


def main(data: str, batch_size: int = 64, crop: int = 512, seed: int = 0) -> int:
    """Trains when asked; tells of each step its loss and the events it scored."""
    torch.manual_seed(seed)
    found = performance_batches.settings("dynamics", batch_size, crop)
    _, batches = performance_batches.batches(data, found, seed)
    model = PerformanceRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=found.optimizer.learning_rate)

    def step() -> dict[str, float]:
        batch = next(batches)
        tokens = torch.from_numpy(batch["tokens"][..., 0]).long().T
        scored = (torch.arange(1, len(tokens))[:, None] < torch.from_numpy(batch["length"])[None]).float()
        nats = functional.cross_entropy(model(tokens[:-1]).flatten(0, 1), tokens[1:].flatten(), reduction="none")
        loss = (nats * scored.flatten()).sum() / scored.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), found.optimizer.clip_norm)
        optimizer.step()
        return {"loss": loss.item(), "events": scored.sum().item()}

    protocol.serve(step)
    return 0


if __name__ == "__main__":
    run(main)
