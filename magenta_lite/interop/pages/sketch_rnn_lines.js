"use strict";
// A hand's lines brought into the form of the training drawings, and back. A line is [[x, y], ...], x to the right, y
// downwards, in units in which a typical drawing's longer side is 255.
const lines = (() => {
  const EPSILON = 2;

  // Half to even, as the training data were rounded.
  function rounded(value) {
    const below = Math.floor(value);
    const rest = value - below;
    return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
  }

  function distance([x, y], [x0, y0], [x1, y1]) {
    const ax = x1 - x0, ay = y1 - y0;
    const squared = ax * ax + ay * ay;
    const along = squared > 0 ? Math.min(Math.max(((x - x0) * ax + (y - y0) * ay) / squared, 0), 1) : 0;
    return Math.hypot(x - x0 - along * ax, y - y0 - along * ay);
  }

  // The points that Ramer-Douglas-Peucker keeps: all others lie within epsilon of the segments between these.
  function thinned(line, epsilon = EPSILON) {
    if (line.length < 2) return [...line];
    const keep = new Set([0, line.length - 1]);
    const pending = [[0, line.length - 1]];
    while (pending.length) {
      const [first, last] = pending.pop();
      let farthest = 0, most = -1;
      for (let i = first + 1; i < last; i++) {
        const away = distance(line[i], line[first], line[last]);
        if (away > most) [most, farthest] = [away, i];
      }
      if (most > epsilon) {
        keep.add(farthest);
        pending.push([first, farthest], [farthest, last]);
      }
    }
    const kept = line.filter((_, i) => keep.has(i));
    const dot = kept.length === 2 && kept[0][0] === kept[1][0] && kept[0][1] === kept[1][1];
    return dot ? kept.slice(0, 1) : kept;
  }

  // Simplified, in whole numbers; points that fall together are one, and a dot is one point twice.
  function simplified(all) {
    return all.filter((line) => line.length).map((line) => {
      const kept = thinned(line).map(([x, y]) => [rounded(x), rounded(y)])
        .filter(([x, y], i, points) => !i || x !== points[i - 1][0] || y !== points[i - 1][1]);
      return kept.length > 1 ? kept : [kept[0], kept[0]];
    });
  }

  // Offsets (dx, dy, lifted) of lines; the first point of all has none. `unit`: the model's unit in that of the lines.
  function offsets(all, unit, limit) {
    const points = all.flatMap((line) => line.map((point, i) => [...point, Number(i === line.length - 1)]));
    const clipped = (value) => Math.min(Math.max(value / unit, -limit), limit);
    return points.slice(1).map(([x, y, lifted], i) => [clipped(x - points[i][0]), clipped(y - points[i][1]), lifted]);
  }

  // Lines of points (dx, dy, pen) that follow on a beginning which ends at `from`; with the pen down they begin there.
  function followed(points, unit, from, down) {
    let [x, y] = from;
    const all = down ? [[[x, y]]] : [];
    let lifted = !down;
    for (const [dx, dy, pen] of points) {
      x += dx * unit;
      y += dy * unit;
      if (lifted) all.push([]);
      all[all.length - 1].push([x, y]);
      lifted = pen !== 0;
    }
    return all.filter((line) => line.length);
  }

  // SVG path data; a dot is a line of no length, which round ends make visible.
  function path(all) {
    const number = (value) => String(Math.round(value * 10) / 10);
    return all.map((line) => {
      const words = line.map(([x, y]) => `${number(x)} ${number(y)}`);
      return `M${words.length > 1 ? words.join("L") : `${words[0]}h0`}`;
    }).join("");
  }

  function bounds(all) {
    const points = all.flat();
    const of = (axis) => points.map((point) => point[axis]);
    const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    return { left: least(of(0)), right: most(of(0)), top: least(of(1)), bottom: most(of(1)) };
  }

  return { thinned, simplified, offsets, followed, path, bounds };
})();
