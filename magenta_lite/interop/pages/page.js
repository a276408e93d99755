"use strict";
// What the page holds beside its scripts, and work in the background.
const page = (() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);

  function bytes(base64) {
    const letters = atob(base64);
    const all = new Uint8Array(letters.length);
    for (let i = 0; i < all.length; i++) all[i] = letters.charCodeAt(i);
    return new DataView(all.buffer);
  }

  // The weights as network.js takes them, [{name, shape, scale, numbers}], read once.
  let read = null;
  function tensors() {
    read ??= settings.tensors.map((tensor, index) => {
      const element = document.getElementById(`weights-${index}`);
      const content = bytes(element.textContent);
      element.remove();
      const numbers = new Int16Array(content.byteLength / 2);
      for (let i = 0; i < numbers.length; i++) numbers[i] = content.getInt16(2 * i, true);
      const scales = bytes(tensor.scale);
      const scale = Float32Array.from({ length: scales.byteLength / 4 }, (_, i) => scales.getFloat32(4 * i, true));
      return { ...tensor, scale, numbers };
    });
    return read;
  }

  // Runs scripts of this page in a worker: `names`, the last of which defines `function serve(send)`, which returns
  // what is to be called with each message. Where a browser allows no such worker, they run in the page itself, which
  // stays usable as long as `serve` works in short turns. Returns the function that sends it a message.
  function background(names, receive) {
    const source = names.map((name) => document.querySelector(`script[data-name="${name}"]`).textContent).join("\n");
    const waiting = [];
    let send = (message) => waiting.push(message);
    const inPage = () => {
      const handle = serve((message) => setTimeout(receive, 0, message));
      send = (message) => setTimeout(handle, 0, message);
      waiting.splice(0).forEach(send);
    };
    try {
      const start = "\n{ const handle = serve((message) => self.postMessage(message));"
        + " self.onmessage = (event) => handle(event.data); self.postMessage(null); }";
      const address = URL.createObjectURL(new Blob([source, start], { type: "text/javascript" }));
      const worker = new Worker(address);
      let alive = false;
      worker.onmessage = (event) => {
        if (event.data !== null) return receive(event.data);
        alive = true;
        URL.revokeObjectURL(address);
        send = (message) => worker.postMessage(message);
        waiting.splice(0).forEach(send);
      };
      worker.onerror = (event) => {
        if (alive) return;
        event.preventDefault();
        inPage();
      };
    } catch {
      inPage();
    }
    return (message) => send(message);
  }

  // An element by its id, which has to be there.
  function find(id) {
    const element = document.getElementById(id);
    if (!element) throw new Error(`no element ${id}`);
    return element;
  }

  // What noise begins with: another number whenever a page is opened, or N where its address ends in #seed=N.
  function seed() {
    const given = /^#seed=(-?\d{1,10})$/.exec(location.hash);
    return given ? Number(given[1]) | 0 : crypto.getRandomValues(new Int32Array(1))[0];
  }

  // "1 point", "2 points".
  const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  return { settings, tensors, background, find, seed, counted };
})();
