"use strict";

// Elements of the page, made of text and never of markup.
flyweight.elements = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function dressed(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") {
        for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
      } else if (name === "style") {
        // Through the object model: the policy forbids style attributes.
        for (const [property, one] of Object.entries(value)) made.style.setProperty(property, one);
      } else {
        made.setAttribute(name, value === true ? "" : String(value));
      }
    }
    return filled(made, ...children);
  }

  /** Appends elements and texts; lists are opened, and what is null or false is left out. */
  function filled(target, ...children) {
    target.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return target;
  }

  const element = (tag, attributes, ...children) => dressed(document.createElement(tag), attributes, children);

  const svg = (tag, attributes, ...children) => dressed(document.createElementNS(SVG, tag), attributes, children);

  /** A size for people, with the exact bytes on hover. */
  const sized = (bytes, text = flyweight.format.size(bytes)) =>
    element("span", { class: "number", title: flyweight.format.exactBytes(bytes) || null }, text);

  /** Why a part of the page is empty, and how to get it. */
  const empty = (reason, ...way) =>
    element("div", { class: "empty" }, element("p", {}, reason), way.length ? element("p", { class: "way" }, way) : null);

  const code = (text) => element("code", {}, text);

  /** A choice of one among few, as buttons side by side; arrow keys move between them. */
  function choice(label, options, chosen, onChange) {
    const name = `choice-${label.replace(/\W+/g, "-").toLowerCase()}`;
    return element("fieldset", { class: "choice" },
      element("legend", { class: "unseen" }, label),
      options.map(({ value, text, title }) => element("label", { title },
        element("input", {
          type: "radio", name, value, checked: value === chosen, on: { change: () => onChange(value) },
        }),
        element("span", {}, text))));
  }

  /** Calls `draw` now and whenever the width of an element or the colours change, at most once a frame. */
  function drawnInto(target, draw) {
    let width = 0;
    let asked = false;
    const again = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        width = target.clientWidth;
        if (width > 0) draw(width);
      });
    };
    new ResizeObserver(() => {
      if (target.clientWidth !== width) again();
    }).observe(target);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    // Paper is light, and waits for no frame.
    matchMedia("print").addEventListener("change", () => width > 0 && draw(width));
    width = target.clientWidth;
    if (width > 0) draw(width);
    return again;
  }

  return { element, svg, filled, sized, empty, code, choice, drawnInto };
})();
