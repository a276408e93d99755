"""A yardstick: SketchRNN's training step with torch.nn.LSTM, every sketch padded to the longest.

The same model, losses, augmentation and optimizer as the default config; torch.nn.LSTM has no recurrent dropout, so it
is spared that. Torch comes with `pip install torch`.
"""

import math

import torch
from torch.nn import functional

from benchmarks.contestants import protocol
from magenta_lite.command import run

UNITS, ENCODER, LATENT, MIXTURES = 512, 256, 128, 20


class SketchRNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.forward_cell = torch.nn.LSTM(5, ENCODER)
        self.backward_cell = torch.nn.LSTM(5, ENCODER)
        self.mean = torch.nn.Linear(2 * ENCODER, LATENT)
        self.log_var = torch.nn.Linear(2 * ENCODER, LATENT)
        self.state = torch.nn.Linear(LATENT, 2 * UNITS)
        self.decoder = torch.nn.LSTM(5 + LATENT, UNITS)
        self.output = torch.nn.Linear(UNITS, 3 + 6 * MIXTURES)
        for linear in (self.mean, self.log_var, self.state):
            torch.nn.init.normal_(linear.weight, std=0.001)
            torch.nn.init.zeros_(linear.bias)
        torch.nn.init.xavier_uniform_(self.output.weight)
        torch.nn.init.zeros_(self.output.bias)
        for cell in (self.forward_cell, self.backward_cell, self.decoder):
            units = cell.hidden_size
            torch.nn.init.xavier_uniform_(cell.weight_ih_l0)
            for gate in range(4):
                torch.nn.init.orthogonal_(cell.weight_hh_l0.data[gate * units : (gate + 1) * units])
            torch.nn.init.zeros_(cell.bias_ih_l0)
            torch.nn.init.zeros_(cell.bias_hh_l0)
            cell.bias_hh_l0.data[units : 2 * units] = 1.0  # torch has the gates in the order i, f, g, o

    def forward(self, strokes, length):
        """The reconstruction loss and the KL divergence a dimension, means over the batch."""
        batch, n_max, _ = strokes.shape
        places = torch.arange(n_max + 1)[:, None]
        ended, to_end = places >= length[None], places <= length[None]
        xs = functional.pad(strokes, (0, 0, 0, 1)).transpose(0, 1)
        state = torch.where(ended, 2, xs[..., 2].long())
        xs = torch.cat([xs[..., :2], functional.one_hot(state, 3).float()], dim=2)
        back = (length[None] - 1 - places[:-1]).clamp(min=0)[..., None].expand(-1, -1, 5)
        last = (length - 1)[None, :, None].expand(1, -1, ENCODER)
        ahead, behind = self.forward_cell(xs[:-1])[0], self.backward_cell(xs[:-1].gather(0, back))[0]
        final = torch.cat([ahead.gather(0, last)[0], behind.gather(0, last)[0]], dim=1)
        mean, log_var = self.mean(final), self.log_var(final)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        start = torch.tensor([0.0, 0, 1, 0, 0]).expand(1, batch, 5)
        read = torch.cat([torch.cat([start, xs[:-1]]), z.expand(n_max + 1, -1, -1)], dim=2)
        c, h = torch.tanh(self.state(z))[None].chunk(2, dim=2)
        out = self.output(self.decoder(read, (h.contiguous(), c.contiguous()))[0])
        logits, mu_x, mu_y, s_x, s_y, rho = out[..., 3:].chunk(6, dim=2)
        rho = torch.tanh(rho)
        u, v = (xs[..., :1] - mu_x) / torch.exp(s_x), (xs[..., 1:2] - mu_y) / torch.exp(s_y)
        free = 1 - rho**2
        exponent = -(u**2 + v**2 - 2 * rho * u * v) / (2 * free)
        log_normal = exponent - s_x - s_y - math.log(2 * math.pi) - torch.log(free) / 2
        offset = -torch.logsumexp(torch.log_softmax(logits, 2) + log_normal, dim=2)
        pen = functional.cross_entropy(out[..., :3].flatten(0, 1), state.flatten(), reduction="none").view_as(offset)
        counted = torch.where(ended, 0, offset) + torch.where(to_end, pen, 0)
        kl = -0.5 * torch.mean(1 + log_var - mean**2 - torch.exp(log_var))
        return counted.sum(0).mean() / n_max, kl


def main(data: str, batch_size: int = 100, seed: int = 0) -> int:
    """Trains when asked."""
    torch.manual_seed(seed)
    batches = protocol.padded_batches(data, seed, batch_size)
    model = SketchRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-8)
    number = 0

    def step():
        nonlocal number
        batch = next(batches)
        optimizer.param_groups[0]["lr"] = (1e-3 - 1e-5) * 0.9999**number + 1e-5
        reconstruction, kl = model(torch.from_numpy(batch["strokes"]), torch.from_numpy(batch["length"]).long())
        weight = 0.5 - (0.5 - 0.01) * 0.99995**number
        optimizer.zero_grad()
        (reconstruction + weight * kl.clamp(min=0.2)).backward()
        torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()
        number += 1
        return {"loss": reconstruction.item()}

    protocol.serve(step)
    return 0


if __name__ == "__main__":
    run(main)
