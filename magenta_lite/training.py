"""Optimizer, training and evaluation steps, data parallelism. Knows no model, and no key of a batch.

A step is one program, mapped over the devices of all hosts: the state is the same on all of them, a batch is cut into
equal parts, of which each host makes those of its own devices. Each example has a key of its own, made from the step
and the example's place in the whole batch, so the noise is the same on one device and on many.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.nn.across_devices import AXIS
from magenta_lite.nn.schedules import anneal

Sums = dict[str, NDArray]
"""{metric: [total, weight]}; the value is their ratio."""


class State(NamedTuple):
    """All that training changes."""

    parameters: Any
    optimizer: Any
    step: jax.Array


def make_optimizer(
    *,
    learning_rate: float,
    min_learning_rate: float,
    decay_rate: float,
    clip_value: float,
    clip_norm: float,
    zero_norm: float = 0.0,
) -> optax.GradientTransformation:
    """Adam, its rate falling as (learning_rate - min) * decay_rate**step + min; gradients clipped first.

    clip_value: each component to +-clip_value; clip_norm: all together to that norm; zero_norm: gradients of a larger
    norm count as zeros, as in MusicVAE; 0 switches any of them off.

    Raises:
      UserError: a value outside its range; names the field.
    """
    if not 0 < min_learning_rate <= learning_rate:
        raise UserError(
            f"config.optimizer.min_learning_rate={min_learning_rate}: expected above 0 and at most "
            f"config.optimizer.learning_rate={learning_rate}"
        )
    if not 0 < decay_rate <= 1:
        raise UserError(f"config.optimizer.decay_rate={decay_rate}: expected above 0 and at most 1")
    for field, value in (("clip_value", clip_value), ("clip_norm", clip_norm), ("zero_norm", zero_norm)):
        if not value >= 0:
            raise UserError(f"config.optimizer.{field}={value}: expected 0 (off) or more")
    clips = [_zero_beyond(zero_norm)] if zero_norm else []
    clips += [optax.clip(clip_value)] if clip_value else []
    clips += [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    return optax.chain(*clips, optax.adam(anneal(learning_rate, min_learning_rate, decay_rate)))


def _zero_beyond(norm: float) -> optax.GradientTransformation:
    """Gradients of at most that norm as they are, others as zeros."""

    def update(gradients: Any, state: Any, parameters: Any = None) -> tuple[Any, Any]:
        small = optax.tree.norm(gradients) <= norm
        return jax.tree.map(lambda g: jnp.where(small, g, 0), gradients), state

    return optax.GradientTransformation(lambda parameters: optax.EmptyState(), update)


SKIPPED, STOPPING = "skipped", "stopping"
"""Among the sums of a step: whether it was skipped, and how many devices' hosts want to stop. Not of the examples."""


class Steps:
    """The compiled steps of one model on some devices."""

    def __init__(
        self,
        model: nnx.Module,
        optimizer: optax.GradientTransformation,
        seed: int,
        devices: Sequence[jax.Device] | None = None,
        skip: bool = False,
    ):
        """devices: all of all hosts, unless given. skip: a step whose loss or gradient is not finite changes nothing
        but the step's number, and is told as SKIPPED."""
        # A host's devices lie side by side, so that its rows of a batch do.
        self.devices = list(devices or sorted(jax.devices(), key=lambda device: (device.process_index, device.id)))
        self.seed = seed
        self._here = [device for device in self.devices if device.process_index == jax.process_index()]
        self._optimizer, self._skip = optimizer, skip
        self._graph, self._parameters = nnx.split(model, nnx.Param)
        mapped: dict[str, Any] = {"axis_name": AXIS, "devices": self.devices}
        self._train = jax.pmap(self._train_step, in_axes=(None, 0, 0), out_axes=None, donate_argnums=0, **mapped)
        self._evaluate = jax.pmap(self._evaluation_step, in_axes=(None, None, 0), out_axes=None, **mapped)

    def start(self) -> State:
        """The state before the first step."""
        # Copies, since the steps donate what they are given.
        parameters = jax.tree.map(jnp.copy, self._parameters)
        return self.place(State(parameters, self._optimizer.init(parameters), jnp.zeros((), jnp.int32)))

    def place(self, state: State) -> State:
        """The state on all devices of this host."""
        return jax.device_put(state, NamedSharding(Mesh(np.array(self._here), (AXIS,)), PartitionSpec()))

    def part(self, batch_size: int) -> slice:
        """The rows of a batch that this host makes; those from batch_size on fill it up."""
        each = -(-batch_size // len(self.devices))
        first = each * self.devices.index(self._here[0])
        return slice(first, first + each * len(self._here))

    def train(
        self, state: State, batch: dict[str, NDArray], stopping: bool = False
    ) -> tuple[State, dict[str, jax.Array]]:
        """One step; donates the state. The sums are still on the device: `fetch` them.

        batch: whole, or this host's part of it. stopping: this host's vote, which all hosts find among the sums.
        """
        state, sums = self._train(state, self._cut(batch), np.full(len(self._here), stopping, np.float32))
        if len(self.devices) > 1 and self.devices[0].platform == "cpu":
            # With several steps in flight, faked CPU devices can starve each other in a collective.
            jax.block_until_ready(sums)
        return state, sums

    def evaluate(self, parameters: Any, batches: Any) -> dict[str, float]:
        """Every metric over all batches: totals and weights are summed first, then divided once."""
        sums: Sums = {}
        for number, batch in enumerate(batches):
            add(sums, fetch(self._evaluate(parameters, jnp.int32(number), self._cut(batch))))
        return ratios(sums)

    def _cut(self, batch: dict[str, NDArray]) -> dict[str, NDArray]:
        """[B, ...] -> [devices here, B / devices here, ...], filled up with zeros where B is no multiple."""
        count = len(self._here)

        def cut(array: NDArray) -> NDArray:
            array = np.asarray(array)
            missing = -len(array) % count
            if missing:
                array = np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
            return array.reshape(count, -1, *array.shape[1:])

        return {name: cut(array) for name, array in batch.items()}

    def _keys(self, batch: dict[str, jax.Array], *stream: jax.Array | int) -> jax.Array:
        """A key for each example of this device's part."""
        key = jax.random.key(self.seed)
        for number in stream:
            key = jax.random.fold_in(key, number)
        local = len(jax.tree.leaves(batch)[0])
        index = jax.lax.axis_index(AXIS) * local + jnp.arange(local)
        return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)

    def _train_step(
        self, state: State, batch: dict[str, jax.Array], stopping: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        keys = self._keys(batch, 0, state.step)

        def objective(parameters: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
            metrics = nnx.merge(self._graph, parameters)(batch, keys=keys, step=state.step, train=True)
            sums = {name: jnp.stack([jnp.sum(total), jnp.sum(weight)]) for name, (total, weight) in metrics.items()}
            return sums["loss"][0], sums

        gradients, sums = jax.grad(objective, has_aux=True)(state.parameters)
        sums[STOPPING] = jnp.stack([stopping, 1.0])
        gradients, sums = self._sum_over_devices((gradients, sums))
        gradients = jax.tree.map(lambda g: g / sums["loss"][1], gradients)
        sums["gradient_norm"] = jnp.stack([optax.tree.norm(gradients), 1.0])
        updates, optimizer = self._optimizer.update(gradients, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        if self._skip:
            votes = sums.pop(STOPPING)
            good = jnp.isfinite(sums["gradient_norm"][0]) & jnp.isfinite(sums["loss"][0])
            parameters, optimizer = jax.tree.map(
                lambda new, old: jnp.where(good, new, old),
                (parameters, optimizer),
                (state.parameters, state.optimizer),
            )
            sums = {name: jnp.where(good, value, 0) for name, value in sums.items()}
            sums |= {STOPPING: votes, SKIPPED: jnp.stack([jnp.float32(~good), 1.0])}
        return State(parameters, optimizer, state.step + 1), sums

    def _evaluation_step(self, parameters: Any, number: jax.Array, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        model = nnx.merge(self._graph, parameters)
        metrics = model(batch, keys=self._keys(batch, 1, number), step=jnp.int32(0), train=False)
        sums = {name: jnp.stack([jnp.sum(total), jnp.sum(weight)]) for name, (total, weight) in metrics.items()}
        return self._sum_over_devices(sums)

    def _sum_over_devices(self, tree: Any) -> Any:
        if len(self.devices) == 1:
            return tree
        # One reduction of one vector: hundreds of small ones are slow between CPU devices.
        flat, restore = ravel_pytree(tree)
        return restore(jax.lax.psum(flat, AXIS))


class NotFinite(Exception):
    """Training has diverged; says what is not finite, and where."""


class Account:
    """What the steps since the last line of the log came to, and how many were skipped.

    stop: whether a host has voted to stop. skipped: steps skipped in all, and in a row until now.
    """

    def __init__(self, nan_limit: int, tell: Callable[[str], None], skipped: tuple[int, int] = (0, 0)):
        """nan_limit: as many skipped steps in a row are too many. tell: takes a line about a skipped step.

        skipped: where the run is resumed, so that an interruption changes no count.
        """
        self.stop, self.skipped = False, skipped
        self._limit, self._tell = nan_limit, tell
        self._sums: Sums = {}

    def take(self, step: int, sums: dict[str, jax.Array]) -> None:
        """Waits for the sums of a step and takes them in.

        Raises:
          NotFinite: a metric or the gradient is not, or too many steps in a row were skipped for that.
        """
        values = fetch(sums)
        # Every host finds all votes in the same step, so that they stop behind the same one.
        self.stop = values.pop(STOPPING)[0] > 0
        if not values.pop(SKIPPED, [0])[0]:
            if bad := not_finite(values):
                raise NotFinite(f"{bad} is not finite at step {step}")
            add(self._sums, values)
            self.skipped = self.skipped[0], 0
            return
        in_all, in_a_row = self.skipped = self.skipped[0] + 1, self.skipped[1] + 1
        self._tell(f"step {step} is skipped: its loss or gradient is not finite (skipped in all: {in_all})")
        if in_a_row >= self._limit:
            raise NotFinite(
                f"loss or gradient is not finite at step {step}, nor at {in_a_row - 1} before it (config.nan_limit)"
            )

    def settle(self) -> dict[str, float]:
        """The means since the last call."""
        metrics = ratios(self._sums)
        self._sums = {}
        return metrics | ({"skipped_steps": self.skipped[0]} if self.skipped[0] else {})


def on_host(tree: Any) -> Any:
    """The arrays of a state, which are the same on every device, as numpy arrays."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data), tree)


def fetch(sums: dict[str, jax.Array]) -> Sums:
    """The sums of one step, on the host; waits for the step."""
    return {name: value.astype(np.float64) for name, value in on_host(sums).items()}


def add(sums: Sums, more: Sums) -> None:
    """sums += more."""
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + value


def ratios(sums: Sums) -> dict[str, float]:
    """{metric: total / weight}, without those that no example has a weight for: nothing is known of them."""
    return {name: float(total / weight) for name, (total, weight) in sums.items() if weight}


def not_finite(sums: Sums) -> str | None:
    """The name of the first metric that is NaN or infinite."""
    return next((name for name, value in sorted(sums.items()) if not np.isfinite(value).all()), None)
