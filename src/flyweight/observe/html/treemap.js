"use strict";

// Resident memory as areas: a rectangle for each component, divided among its rows.
flyweight.treemap = (() => {
  const { element, filled, empty, drawnInto, code } = flyweight.elements;
  const { format, palette, tooltip } = flyweight;
  const LABELLED = { width: 46, height: 18 };
  const TITLED = { width: 70, height: 46 };
  const TITLE_HEIGHT = 22;

  /**
   * Rectangles {x, y, width, height} with areas in the ratio of the values, as square as they get.
   * Squarified treemaps: Bruls, Huizing, van Wijk, 2000. values: largest first, all above 0.
   */
  function squarify(values, x, y, width, height) {
    const sum = values.reduce((total, value) => total + value, 0);
    const scale = sum > 0 ? (width * height) / sum : 0;
    const areas = values.map((value) => value * scale);
    const found = [];
    let box = { x, y, width, height };
    let start = 0;
    while (start < areas.length) {
      const side = Math.min(box.width, box.height);
      let end = start + 1;
      let row = areas[start];
      while (end < areas.length && worst(areas[start], areas[end], row + areas[end], side) <= worst(areas[start], areas[end - 1], row, side)) {
        row += areas[end];
        end += 1;
      }
      box = laid(areas.slice(start, end), row, box, found);
      start = end;
    }
    return found;
  }

  /** The worst ratio of sides in a row of areas between `largest` and `smallest`. */
  function worst(largest, smallest, sum, side) {
    if (!(side > 0) || !(smallest > 0)) return Infinity;
    return Math.max((side * side * largest) / (sum * sum), (sum * sum) / (side * side * smallest));
  }

  function laid(areas, sum, box, found) {
    const upright = box.width >= box.height;
    const side = upright ? box.height : box.width;
    const thickness = side > 0 ? sum / side : 0;
    let at = upright ? box.y : box.x;
    for (const area of areas) {
      const length = thickness > 0 ? area / thickness : 0;
      found.push(upright
        ? { x: box.x, y: at, width: thickness, height: length }
        : { x: at, y: box.y, width: length, height: thickness });
      at += length;
    }
    return upright
      ? { x: box.x + thickness, y: box.y, width: box.width - thickness, height: box.height }
      : { x: box.x, y: box.y + thickness, width: box.width, height: box.height - thickness };
  }

  const largestFirst = (rows) => rows.filter((row) => row.rss_bytes > 0).sort((a, b) => b.rss_bytes - a.rss_bytes);

  const placed = (box) => ({
    left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px`,
  });

  const isAtLeast = (box, least) => box.width >= least.width && box.height >= least.height;

  function readings(row, total) {
    return [
      ["kind", row.kind], ["resident", `${format.size(row.rss_bytes)}, ${format.exactBytes(row.rss_bytes)}`],
      ["of all", format.percent(row.rss_bytes / total)], ["private", format.size(row.private_bytes)],
      ["shared", format.size(row.shared_bytes)], ["dirty", format.size(row.dirty_bytes)],
      row.live_bytes ? ["tracked behind it", `${format.size(row.live_bytes)} in ${format.plural(row.live_count, "block")}`] : null,
      row.detail ? ["from", format.shortened(format.name(row.detail), 80)] : null,
    ].filter(Boolean);
  }

  function render(target, capture) {
    const { attribution, components } = capture;
    const total = attribution?.rss_bytes ?? 0;
    if (!components.some((component) => component.rss_bytes > 0)) {
      filled(target, empty("Resident memory was not attributed in this capture.",
        "A capture taken by the process itself has it: ", code("memory.save(\"capture.json\")"), " or ", code("flyweight run"), "."));
      return;
    }
    const state = { zoomed: null };
    const trail = element("nav", { class: "trail", "aria-label": "Zoom" });
    const area = element("div", { class: "treemap", role: "group", "aria-label": "Resident memory by component and row" });
    filled(target, trail, area);

    function zoom(name) {
      state.zoomed = name;
      tooltip.hide();
      redraw();
      area.querySelector("button")?.focus({ preventScroll: true });
    }

    function showTrail() {
      const zoomed = components.find((component) => component.name === state.zoomed);
      const shown = zoomed ? zoomed.rss_bytes : total;
      trail.replaceChildren(
        zoomed
          ? element("button", { type: "button", class: "link", on: { click: () => zoom(null) } }, "All components")
          : element("span", {}, "All components"),
        zoomed ? element("span", { class: "name" }, ` › ${format.name(zoomed.name)}`) : "",
        element("span", { class: "number sum", title: format.exactBytes(shown) }, format.size(shown)),
        zoomed ? element("span", { class: "number soft" }, format.percent(shown / total)) : "");
    }

    function cell(row, box, fill, shift) {
      const text = format.name(row.name === row.component ? row.kind : row.name || row.kind);
      return element("button", {
        type: "button", class: "cell", tabindex: "-1", style: { ...placed(box), background: fill, color: palette.ink(fill), "--shift": `${shift}px` },
        "data-component": row.component, "data-bytes": row.rss_bytes, "aria-label": `${text}, ${row.component}, ${format.size(row.rss_bytes)}`,
        on: {
          click: () => zoom(state.zoomed === null ? row.component || "other" : null),
          pointermove: (event) => tooltip.show(event.clientX, event.clientY, text, readings(row, total)),
          pointerleave: tooltip.hide,
          focus: (event) => {
            if (!event.target.matches(":focus-visible")) return;
            const place = event.target.getBoundingClientRect();
            tooltip.show(place.left + place.width / 2, place.top + place.height / 2, text, readings(row, total));
          },
          blur: tooltip.hide,
        },
      },
        box.width >= LABELLED.width && box.height - shift >= LABELLED.height
          ? [element("span", { class: "label" }, text), box.height - shift >= 2 * LABELLED.height ? element("span", { class: "label number" }, format.size(row.rss_bytes)) : null]
          : null);
    }

    function block(component, box, isTitled) {
      const rows = largestFirst(component.rows);
      const base = palette.colour(component.name);
      const paper = palette.resolved("--paper");
      const boxes = squarify(rows.map((row) => row.rss_bytes), 0, 0, box.width, box.height);
      const hasTitle = isTitled && isAtLeast(box, TITLED) && boxes[0].width >= LABELLED.width;
      return element("div", { class: "block", style: placed(box), "data-component": component.name, "data-bytes": component.rss_bytes },
        rows.map((row, index) => cell(
          { ...row, component: component.name }, boxes[index],
          palette.mixed(base, paper, Math.min(0.36, 0.09 * index)),
          hasTitle && boxes[index].y < TITLE_HEIGHT && index === 0 ? TITLE_HEIGHT : 0)),
        hasTitle ? element("span", { class: "title", style: { color: palette.ink(base), "max-width": `${boxes[0].width}px` } },
          `${format.name(component.name)} ${format.size(component.rss_bytes)}`) : null);
    }

    function draw(width) {
      const height = Math.round(Math.min(620, Math.max(320, width * 0.42)));
      area.style.height = `${height}px`;
      const shown = largestFirst(state.zoomed === null ? components : components.filter((one) => one.name === state.zoomed));
      const boxes = squarify(shown.map((component) => component.rss_bytes), 0, 0, width, height);
      area.replaceChildren(...shown.map((component, index) => block(component, boxes[index], state.zoomed === null)));
      // One stop for the Tab key; arrow keys go on from there.
      area.querySelector("button")?.setAttribute("tabindex", "0");
      showTrail();
    }
    const again = drawnInto(area, draw);
    const redraw = () => {
      if (area.clientWidth > 0) draw(area.clientWidth);
      else again();
    };

    area.addEventListener("keydown", (event) => {
      const cells = [...area.querySelectorAll("button")];
      const at = cells.indexOf(document.activeElement);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape" && state.zoomed !== null) {
        event.stopPropagation();
        zoom(null);
      } else if (step !== undefined && at >= 0) {
        event.preventDefault();
        cells[(at + step + cells.length) % cells.length].focus();
      }
    });
  }

  return { render, squarify };
})();
