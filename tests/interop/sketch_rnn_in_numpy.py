"""A SketchRNN in float64, after the description of sketch-rnn-js alone: it reads the JSON and shares no code with ours.

Gates i, g, f, o with 1 added to f; output: 3 pen logits, then pi, mu_x, mu_y, sigma_x, sigma_y, rho of 20 components.
"""

import base64
import json

import numpy as np

START = np.array([0.0, 0, 1, 0, 0])


class SketchRNN:
    def __init__(self, path):
        self.info, shapes, texts = json.loads(path.read_text())
        arrays = [
            np.frombuffer(base64.b64decode(text), "<i2").astype(np.float64).reshape(shape) * 10 / 32767
            for shape, text in zip(shapes, texts, strict=True)
        ]
        self.conditional = len(arrays) == 17
        if self.conditional:
            self.forward, self.backward = arrays[:3], arrays[3:6]
            self.mean, self.log_var, self.to_state = arrays[6:8], arrays[8:10], arrays[10:12]
            self.output, self.decoder = arrays[12:14], arrays[14:17]
        else:
            self.output, self.decoder = arrays[:2], arrays[2:]

    def posterior(self, rows):
        """Mean and log variance of z, of stroke-5 rows without start and end."""
        ends = []
        for cell, way in ((self.forward, rows), (self.backward, rows[::-1])):
            c = h = np.zeros(len(cell[1]))
            for row in way:
                c, h = step(cell, row, c, h)
            ends.append(h)
        both = np.concatenate(ends)
        return both @ self.mean[0] + self.mean[1], both @ self.log_var[0] + self.log_var[1]

    def outputs(self, rows, z=None):
        """What the decoder says after each of the rows [T, 5]: [T, 123], and the last c and h."""
        c = h = np.zeros(len(self.decoder[1]))
        if z is not None:
            c, h = np.split(np.tanh(z @ self.to_state[0] + self.to_state[1]), 2)
        said = []
        for row in rows:
            c, h = step(self.decoder, row if z is None else np.concatenate([row, z]), c, h)
            said.append(h @ self.output[0] + self.output[1])
        return np.array(said), c, h


def step(cell, x, c, h):
    w_xh, w_hh, bias = cell
    i, g, f, o = np.split(x @ w_xh + h @ w_hh + bias, 4)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return c, sigmoid(o) * np.tanh(c)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def pdf(output):
    """The pen's probabilities and the mixture's parameters of one output [123], by the client's names."""
    names = ("pi", "muX", "muY", "sigmaX", "sigmaY", "corr")
    found = dict(zip(names, np.split(output[3:], 6), strict=True))
    return {
        "pen": softmax(output[:3]),
        "pi": softmax(found["pi"]),
        "muX": found["muX"],
        "muY": found["muY"],
        "sigmaX": np.exp(found["sigmaX"]),
        "sigmaY": np.exp(found["sigmaY"]),
        "corr": np.tanh(found["corr"]),
    }


def stroke5(drawing, scale):
    """Rows [N, 5] of a drawing [N, 3] in pixels."""
    offsets, lifted = np.asarray(drawing[:, :2], float) / scale, np.asarray(drawing[:, 2], float)
    return np.column_stack([offsets, 1 - lifted, lifted, np.zeros(len(drawing))])
