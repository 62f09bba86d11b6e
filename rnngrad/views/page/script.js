"use strict";
(() => {
  const all = (where, what) => [...where.querySelectorAll(what)];
  const drawn = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // One net of several.
  for (const asked of all(document, "[data-asks='net']")) {
    const select = asked.querySelector("select"), nets = all(document, ".net");
    const show = () => nets.forEach((net, i) => { net.hidden = i !== select.selectedIndex; });
    select.addEventListener("change", show);
    asked.hidden = false;
    show();
  }

  // The scale of W_hh: one of the curves that are there.
  for (const asked of all(document, "[data-asks='scale']")) {
    const input = asked.querySelector("input"), output = asked.querySelector("output");
    const lines = all(asked.parentNode, "[data-at]");
    const above = lines.at(-1).nextSibling;
    lines.sort((one, other) => one.dataset.at - other.dataset.at);
    const show = () => {
      lines.forEach((line, i) => {
        line.classList.toggle("on", i === Number(input.value));
        line.classList.toggle("faint", i !== Number(input.value));
      });
      const chosen = lines[input.value];
      chosen.parentNode.insertBefore(chosen, above);  // over the others
      output.value = chosen.dataset.words;
      input.setAttribute("aria-valuetext", chosen.dataset.words);
    };
    input.addEventListener("input", show);
    asked.hidden = false;
    show();
  }

  // A map, read out by pointer and by keys.
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    Home: [-Infinity, 0], End: [Infinity, 0], PageUp: [0, -10], PageDown: [0, 10] };
  for (const image of all(document, "image[data-z]")) {
    const { name, unit, across, down } = image.dataset, svg = image.ownerSVGElement;
    const xs = image.dataset.x.split("\n"), ys = image.dataset.y.split("\n");
    const bytes = Uint8Array.from(atob(image.dataset.z), (one) => one.charCodeAt(0));
    const z = new DataView(bytes.buffer);
    const output = document.createElement("output"), box = image.getBBox();
    const width = box.width / xs.length, height = box.height / ys.length;
    const sides = ["#fff", "#000"].map((stroke, i) =>
      drawn("rect", { width, height, stroke, fill: "none", "stroke-width": 4 - 2.5 * i }));
    let at = [xs.length >> 1, ys.length >> 1];

    const placed = (words, label, value) => {  // h_k at 6 -> h_6
      const index = /_(\w)$/.exec(label);
      return index ? words.replaceAll(`_${index[1]}`, `_${value}`) : words;
    };
    const read = () => {
      const [i, j] = at, whole = z.getInt16(2 * (j * xs.length + i), true);
      const value = (whole * unit).toFixed(2).replace("-", "−");
      const what = placed(placed(name, across, xs[i]), down, ys[j]), log = /^log10 /.test(what);
      const shown = whole === -32768 ? "no value" : whole === -32767 ? "0" : log ? `10^${value}` : value;
      const small = (number) => [...number].map((one) => String.fromCharCode(8320 + Number(one)));
      const says = `${what.replace(/^log10 /, "")} = ${shown}`
        .replace(/_(\d+)/g, (_, number) => small(number).join(""));
      output.value = what === name ? `${down} ${ys[j]}, ${across} ${xs[i]}: ${says}` : says;
      for (const side of sides) {
        side.setAttribute("x", box.x + i * width);
        side.setAttribute("y", box.y + j * height);
        svg.append(side);
      }
    };
    const move = (to) => {
      at = [xs, ys].map((list, n) => Math.max(0, Math.min(list.length - 1, to[n])));
      read();
    };
    const pointed = (event) => {
      const seen = image.getBoundingClientRect();
      move([Math.floor((event.clientX - seen.left) / seen.width * xs.length),
        Math.floor((event.clientY - seen.top) / seen.height * ys.length)]);
    };
    image.addEventListener("pointermove", pointed);
    image.addEventListener("pointerdown", pointed);
    svg.addEventListener("focus", read);
    svg.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      move([at[0] + step[0], at[1] + step[1]]);
    });
    svg.classList.add("map");
    for (const [key, value] of Object.entries({ tabindex: 0, role: "application",
      "aria-roledescription": "map" })) svg.setAttribute(key, value);
    output.setAttribute("aria-live", "polite");
    output.value = "Point at a cell, or move with the arrow keys.";
    svg.after(output);
  }
})();
