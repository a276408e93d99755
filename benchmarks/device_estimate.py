"""What eight GPUs and slices of a TPU pod would give, reckoned from counts: nothing here is measured on one.

    python benchmarks/device_estimate.py [--times=4]

A step on n devices takes max(max(products / n, loops) + sums, input / hosts): the longer of its products, divided by
the devices, and its loops over time, which are as long on many devices as on one, since only the batch is divided; then
what it sends. All the while the next batch is made, one thread on each host, and where that takes longer, it counts
alone. What a step sends is one all-reduce in a ring, 2 (n - 1) / n
of its bytes past every device, and a second one of 8 bytes where a floor of the KL is on. docs/scaling.md says where
every number comes from.
"""

from typing import NamedTuple

from magenta_lite.command import run


class Recipe(NamedTuple):
    """Counted or measured.

    operations: of the products of a step. loops: time steps, summed over layers that wait for one another, forwards and
    backwards. examples_per_second: that one slow core makes.
    """

    batch: int
    parameters: int
    all_reduces: int
    operations: float
    loops: int
    examples_per_second: float


class Machine(NamedTuple):
    """Assumed.

    rate: operations a second of one device in products of these sizes. iteration: seconds of a time step of a layer
    that multiplies next to nothing. bandwidth: bytes a second that a device of a ring passes on. latency: seconds of an
    all-reduce of nothing.
    """

    devices: int
    hosts: int
    rate: float
    iteration: float
    bandwidth: float
    latency: float


RECIPES = {
    "sketch_rnn, default": Recipe(100, 2_186_107, 2, 117e9, 2 * 2 * 250, 3_182),
    "performance_rnn, dynamics": Recipe(64, 6_242_692, 1, 1.07e12, 2 * 3 * 511, 139),
    "music_vae, cat-mel_2bar_small": Recipe(512, 4_423_770, 1, 282e9, 2 * 3 * 32 + 2 * 32, 2_091),
    "music_vae, hierdec-mel_16bar": Recipe(512, 176_061_530, 1, 116e12, 2 * (2 * 256 + 2 * 16 + 2 * 16), 1_933),
}

MACHINES = {
    "1 GPU": Machine(1, 1, 20e12, 20e-6, 1, 0),
    "8 GPUs, NVLink": Machine(8, 1, 20e12, 20e-6, 200e9, 40e-6),
    "8 GPUs, PCIe": Machine(8, 1, 20e12, 20e-6, 10e9, 100e-6),
    "2 hosts of 8 GPUs": Machine(16, 2, 20e12, 20e-6, 10e9, 200e-6),
    "TPU v4-16": Machine(8, 2, 60e12, 5e-6, 100e9, 30e-6),
    "TPU v5e-16": Machine(16, 4, 40e12, 5e-6, 50e9, 30e-6),
}


def main(times: int = 1) -> int:
    """Prints milliseconds of each part of a step, and what limits it.

    --times  the batch: so many times that of the recipe
    """
    for name, recipe in RECIPES.items():
        batch, size = times * recipe.batch, 4 * recipe.parameters
        print(f"\n{name}: batches of {batch}, {size / 1e6:.1f} MB of gradients; milliseconds of a step")
        heads = "".join(f"{head:>9}" for head in ("products", "loops", "sums", "input", "step"))
        print(f"{'':20}{heads}{'examples/s':>12}{'cores':>7}  limit")
        for machine_name, machine in MACHINES.items():
            parts = {
                "products": times * recipe.operations / machine.rate / machine.devices,
                "loops": recipe.loops * machine.iteration,
                "input": batch / machine.hosts / recipe.examples_per_second,
            }
            ring = 2 * (machine.devices - 1) / machine.devices * size / machine.bandwidth
            sums = ring + recipe.all_reduces * machine.latency
            device = max(parts["products"], parts["loops"]) + sums
            step = max(device, parts["input"])
            limits = {**parts, "sums": sums}
            limit = "input" if parts["input"] > device else max(("products", "loops", "sums"), key=limits.__getitem__)
            columns = (parts["products"], parts["loops"], sums, parts["input"], step)
            shown = "".join(f"{1e3 * seconds:>9.1f}" for seconds in columns)
            print(f"{machine_name:20}{shown}{batch / step:>12,.0f}{parts['input'] / device:>7.1f}  {limit}")
    print("\ncores: of each host, that would have to make batches for the input not to be the limit")
    return 0


if __name__ == "__main__":
    run(main)
