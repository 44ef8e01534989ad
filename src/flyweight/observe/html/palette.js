"use strict";

// One colour for each component, the same in every picture of the page.
flyweight.palette = (() => {
  const COLOURS = 10;
  // What is nobody's own stays grey.
  const GREYS = { profiler: "own", allocator: "none", kernel: "none", unnamed: "none", other: "none", "(other)": "none", "": "none" };
  const order = new Map();

  /** Gives out the colours, to the most important component first. */
  function assign(components) {
    for (const component of components) {
      if (!Object.hasOwn(GREYS, component) && !order.has(component)) order.set(component, order.size);
    }
  }

  function variable(component) {
    if (Object.hasOwn(GREYS, component)) return `--series-${GREYS[component]}`;
    if (!order.has(component)) order.set(component, order.size);
    return `--series-${order.get(component) % COLOURS}`;
  }

  /** For styles: follows the theme by itself. */
  const css = (component) => `var(${variable(component)})`;

  /** For canvas: a colour of the style sheet as it is now. */
  const resolved = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const colour = (component) => resolved(variable(component));

  function channels(hex) {
    return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  }

  function luminance(hex) {
    const [red, green, blue] = channels(hex).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  /** Contrast of two colours by WCAG 2.2, 1 to 21. */
  function contrast(one, other) {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }

  /** Black or white, whichever is easier to read on a colour. */
  const ink = (hex) => (contrast(hex, "#ffffff") >= contrast(hex, "#000000") ? "#ffffff" : "#000000");

  /** A colour with so much of another mixed in, 0 to 1. */
  function mixed(hex, other, share) {
    const [one, two] = [channels(hex), channels(other)];
    const parts = one.map((value, index) => Math.round(value + (two[index] - value) * share));
    return `#${parts.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  }

  return { COLOURS, assign, variable, css, colour, resolved, contrast, ink, mixed };
})();
