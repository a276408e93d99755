"""A yardstick: SketchRNN's training step as plain JAX, every sketch padded to the longest, lax.scan and autodiff.

The same model, losses, dropout, augmentation and optimizer as the default config, with nothing done for speed.
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks.contestants import protocol
from magenta_lite.command import run

UNITS, ENCODER, LATENT, MIXTURES, KEEP = 512, 256, 128, 20, 0.9


def lstm(p, xs, state, keys):
    def step(state, now):
        x, key = now
        c, h = state
        i, g, f, o = jnp.split(x @ p["x"] + h @ p["h"] + p["b"], 4, axis=1)
        g = jnp.tanh(g) * jax.random.bernoulli(key, KEEP, g.shape) / KEEP
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * g
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), h

    return lax.scan(step, state, (xs, jax.random.split(keys, len(xs))))[1]


def loss(p, strokes, length, key, weight):
    batch, n_max = strokes.shape[:2]
    keys = jax.random.split(key, 4)
    ended = jnp.arange(n_max + 1)[:, None] >= length[None]
    xs = jnp.pad(strokes, ((0, 0), (0, 1), (0, 0))).swapaxes(0, 1)
    pen = jax.nn.one_hot(jnp.where(ended, 2, xs[..., 2].astype(int)), 3)
    xs = jnp.concatenate([xs[..., :2], pen], axis=2)
    zero = jnp.zeros((batch, ENCODER))
    back = jnp.maximum(length[None] - 1 - jnp.arange(n_max)[:, None], 0)[..., None]
    last = (length - 1)[None, :, None]
    finals = [
        jnp.take_along_axis(lstm(p[name], read, (zero, zero), key), last, axis=0)[0]
        for name, read, key in (
            ("forward", xs[:-1], keys[0]),
            ("backward", jnp.take_along_axis(xs[:-1], back, axis=0), keys[1]),
        )
    ]
    final = jnp.concatenate(finals, axis=1)
    mean, log_var = final @ p["mean"], final @ p["log_var"]
    z = mean + jnp.exp(log_var / 2) * jax.random.normal(keys[2], mean.shape)
    start = jnp.tile(jnp.array([0.0, 0, 1, 0, 0]), (1, batch, 1))
    read = jnp.concatenate([start, xs[:-1]])
    read = jnp.concatenate([read, jnp.broadcast_to(z, (n_max + 1, *z.shape))], axis=2)
    state = tuple(jnp.split(jnp.tanh(z @ p["state"]), 2, axis=1))
    out = lstm(p["decoder"], read, state, keys[3]) @ p["output"] + p["bias"]
    logits, mu_x, mu_y, s_x, s_y, rho = jnp.split(out[..., 3:], 6, axis=2)
    rho = jnp.tanh(rho)
    u, v = (xs[..., :1] - mu_x) / jnp.exp(s_x), (xs[..., 1:2] - mu_y) / jnp.exp(s_y)
    free = 1 - rho**2
    log_normal = -(u**2 + v**2 - 2 * rho * u * v) / (2 * free) - s_x - s_y - jnp.log(2 * jnp.pi) - jnp.log(free) / 2
    offset = -jax.nn.logsumexp(jax.nn.log_softmax(logits) + log_normal, axis=2)
    pen = -jnp.sum(pen * jax.nn.log_softmax(out[..., :3]), axis=2)
    to_end = jnp.arange(n_max + 1)[:, None] <= length[None]
    reconstruction = (jnp.where(ended, 0, offset) + jnp.where(to_end, pen, 0)).sum(0).mean() / n_max
    kl = -0.5 * jnp.mean(1 + log_var - mean**2 - jnp.exp(log_var))
    return reconstruction + weight * jnp.maximum(kl, 0.2), reconstruction


def parameters(key):
    keys = iter(jax.random.split(key, 20))
    glorot, orthogonal, tiny = (
        jax.nn.initializers.glorot_uniform(),
        jax.nn.initializers.orthogonal(),
        lambda k, s: 0.001 * jax.random.normal(k, s),
    )

    def cell(inputs, units):
        h = jnp.concatenate([orthogonal(next(keys), (units, units)) for _ in range(4)], axis=1)
        return {"x": glorot(next(keys), (inputs, 4 * units)), "h": h, "b": jnp.zeros(4 * units)}

    return {
        "forward": cell(5, ENCODER),
        "backward": cell(5, ENCODER),
        "decoder": cell(5 + LATENT, UNITS),
        "mean": tiny(next(keys), (2 * ENCODER, LATENT)),
        "log_var": tiny(next(keys), (2 * ENCODER, LATENT)),
        "state": tiny(next(keys), (LATENT, 2 * UNITS)),
        "output": glorot(next(keys), (UNITS, 3 + 6 * MIXTURES)),
        "bias": jnp.zeros(3 + 6 * MIXTURES),
    }


def main(data: str, batch_size: int = 100, seed: int = 0) -> int:
    """Trains when asked."""
    batches = protocol.padded_batches(data, seed, batch_size)
    optimizer = optax.chain(optax.clip(1.0), optax.adam(lambda t: (1e-3 - 1e-5) * 0.9999**t + 1e-5))

    @jax.jit
    def train(p, moments, strokes, length, number):
        key = jax.random.fold_in(jax.random.key(seed), number)
        weight = 0.5 - (0.5 - 0.01) * 0.99995**number
        gradients, reconstruction = jax.grad(loss, has_aux=True)(p, strokes, length, key, weight)
        updates, moments = optimizer.update(gradients, moments)
        return optax.apply_updates(p, updates), moments, reconstruction

    p = parameters(jax.random.key(seed))
    moments, number = optimizer.init(p), 0
    batch = next(batches)
    jax.block_until_ready(train(p, moments, batch["strokes"], batch["length"], 0.0))

    def step():
        nonlocal p, moments, number
        batch = next(batches)
        p, moments, reconstruction = train(p, moments, batch["strokes"], batch["length"], float(number))
        number += 1
        return {"loss": float(reconstruction)}

    protocol.serve(step)
    return 0


if __name__ == "__main__":
    run(main)
