"use strict";

// The one box that follows the pointer.
flyweight.tooltip = (() => {
  const { element } = flyweight.elements;
  const GAP = 14;
  let box = null;

  /** Shows a title and rows of [label, value, colour]; colours are optional. */
  function show(x, y, title, rows) {
    box ??= document.body.appendChild(element("div", { class: "tooltip", role: "tooltip", id: "tooltip" }));
    box.replaceChildren(
      element("strong", {}, title),
      element("dl", {}, rows.map(([label, value, colour]) => element("div", {},
        element("dt", {}, colour ? element("i", { class: "swatch", style: { background: colour } }) : null, label),
        element("dd", {}, value)))));
    box.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = box;
    const left = x + GAP + width > innerWidth ? x - GAP - width : x + GAP;
    const top = y + GAP + height > innerHeight ? y - GAP - height : y + GAP;
    box.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
    box.style.top = `${Math.max(4, top)}px`;
  }

  function hide() {
    if (box) box.hidden = true;
  }

  return { show, hide };
})();
