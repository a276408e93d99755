"use strict";
/* Layers of LSTMs over single samples: {kernel, bias, stateSizes, cut(flat), step(read, state) -> output}. `read` is what
   the first layer reads times the kernel, plus the bias, and the caller's to compute; a step changes the state in place.
   residual: what a layer reads is added to what it gives; where sizes differ, and in the first, by way of a map. */
function stackOf(weights, name, sizes, residual) {
  const layers = sizes.map((units, n) => {
    const at = `${name}.layers.${n}`, mapped = residual && (n === 0 || sizes[n - 1] !== units);
    return {
      units, mapped,
      hh: network.matrix(weights(`${at}.w_hh`)),
      xh: n || mapped ? network.matrix(weights(`${at}.w_xh`)) : null,
      bias: network.values(weights(`${at}.bias`)),
      map: n && mapped ? network.dense(weights(`${name}.maps.${n}.kernel`), weights(`${name}.maps.${n}.bias`)) : null,
    };
  });
  const first = layers[0].mapped ? `${name}.maps.0` : `${name}.layers.0`;
  return {
    kernel: weights(layers[0].mapped ? `${first}.kernel` : `${first}.w_xh`),
    bias: network.values(weights(`${first}.bias`)),
    stateSizes: sizes.flatMap((units) => [units, units]),
    step(read, state) {
      let x = null;
      layers.forEach(({ units, mapped, hh, xh, bias, map }, n) => {
        let gates;
        if (mapped) x = n ? map(x) : read;
        if (mapped || n) gates = network.add(Float64Array.from(bias), x, xh);
        else gates = Float64Array.from(read);
        const c = state[2 * n], h = state[2 * n + 1];
        network.update(network.add(gates, h, hh), c, h, units, 1);
        x = residual ? h.map((value, i) => value + x[i]) : Float64Array.from(h);
      });
      return x;
    },
    cut: (flat) => network.initialState({ stateSizes: sizes.flatMap((units) => [units, units]) }, 1, flat),
  };
}
