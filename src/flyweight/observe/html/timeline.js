"use strict";

// Memory over time: what each component held, one on the other, under the line of resident memory; phases are marked.
flyweight.timeline = (() => {
  const { element, filled, svg, empty, drawnInto, code } = flyweight.elements;
  const { format, palette, tooltip } = flyweight;
  const MARGIN = { top: 34, right: 14, bottom: 26, left: 62 };
  const LAYERS = 9;
  const NARROW = 560;
  const MANY_PHASES = 40;
  const ABOVE = 1.02;  // the two are not read at the same instant

  /** Round steps that divide 0 to `most` in about `wanted` parts. */
  function ticks(most, wanted) {
    if (!(most > 0)) return [0];
    const rough = most / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
    return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, index) => index * step);
  }

  /** The largest components by their peak, the rest as one, and the sums below each of them. */
  function layers(timeline) {
    const found = Object.entries(timeline?.components ?? {}).map(([name, values]) => ({
      name, values, most: values.reduce((most, value) => Math.max(most, value), 0),
    })).filter((layer) => layer.most > 0).sort((a, b) => b.most - a.most);
    const shown = found.slice(0, LAYERS);
    const rest = found.slice(LAYERS);
    if (rest.length) {
      shown.push({ name: "other", values: timeline.end_s.map((_, index) => rest.reduce((sum, one) => sum + one.values[index], 0)) });
    }
    const top = new Array(timeline?.end_s?.length ?? 0).fill(0);
    for (const layer of shown) {
      layer.from = [...top];
      layer.values.forEach((value, index) => { top[index] += Math.max(0, value); });
      layer.to = [...top];
    }
    return { shown, top };
  }

  function nearest(times, time) {
    let low = 0;
    let high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] < time) low = middle;
      else high = middle;
    }
    return time - times[low] <= times[high] - time ? low : high;
  }

  const isDrawable = (timeline) => (timeline?.end_s?.length ?? 0) > 1;

  function readings(timeline, stack, index) {
    const rows = [];
    if (timeline.rss_bytes?.[index]) rows.push(["resident", format.size(timeline.rss_bytes[index]), "var(--ink)"]);
    if (timeline.last_bytes) rows.push(["tracked", format.size(timeline.last_bytes[index]), null]);
    for (const layer of [...stack.shown].reverse()) {
      if (layer.values[index] > 0) rows.push([format.name(layer.name), format.size(layer.values[index]), palette.css(layer.name)]);
    }
    return rows;
  }

  /** Where each mark's name may stand without running into the one before: a row, or -1 for none. */
  function labelRows(starts, widths) {
    const ends = [-Infinity, -Infinity];
    return starts.map((start, index) => {
      const row = ends.findIndex((end) => start > end + 8);
      if (row >= 0) ends[row] = start + widths[index];
      return row;
    });
  }

  function picture(timeline, phases, stack, width, onRead) {
    const height = width < NARROW ? 260 : Math.min(460, Math.max(320, width * 0.3));
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const times = timeline.end_s;
    const first = Math.min(times[0], 0);
    const last = Math.max(times[times.length - 1], ...phases.map((phase) => phase.at_s).filter(format.isNumber));
    const span = last - first || 1;
    const most = Math.max(...stack.top, ...(timeline.rss_bytes ?? [0]), 1) * 1.04;
    const x = (time) => MARGIN.left + ((time - first) / span) * inner.width;
    const y = (bytes) => MARGIN.top + inner.height - (bytes / most) * inner.height;
    const line = (values) => values.map((value, index) => `${x(times[index]).toFixed(1)},${y(value).toFixed(1)}`).join("L");
    const area = (from, to) => `M${line(to)}L${times.map((time, index) => `${x(time).toFixed(1)},${y(from[index]).toFixed(1)}`).reverse().join("L")}Z`;
    const end = MARGIN.left + inner.width;
    const marks = phases.filter((phase) => phase.at_s >= first && phase.at_s <= first + span);
    const places = marks.map((phase) => x(phase.at_s));
    const rows = labelRows(places, marks.map((phase) => 7 * Math.min(24, format.name(phase.name).length)));
    const hasResident = (timeline.rss_bytes ?? []).some((bytes) => bytes > 0);

    const cursor = svg("line", { class: "cursor", y1: MARGIN.top, y2: MARGIN.top + inner.height, visibility: "hidden" });
    const made = svg("svg", {
      class: "timeline", width, height, viewBox: `0 0 ${width} ${height}`, tabindex: "0", role: "img",
      "aria-label": "Memory over time by component; arrow keys read the values",
    },
      ticks(most, 7).map((bytes) => [
        svg("line", { class: bytes ? "grid" : "axis", x1: MARGIN.left, x2: end, y1: y(bytes), y2: y(bytes) }),
        svg("text", { class: "tick", x: MARGIN.left - 8, y: y(bytes) + 4, "text-anchor": "end" }, format.roundSize(bytes)),
      ]),
      ticks(span, width < NARROW ? 4 : 8).map((time) =>
        svg("text", { class: "tick", x: Math.min(x(first + time), end - 8), y: height - 8, "text-anchor": "middle" }, format.roundDuration(first + time))),
      hasResident ? svg("path", { class: "untracked", d: area(times.map(() => 0), timeline.rss_bytes) }) : null,
      stack.shown.map((layer) => svg("path", {
        class: "layer", "data-component": layer.name, d: area(layer.from, layer.to), style: { fill: palette.css(layer.name) },
      })),
      hasResident ? svg("path", { class: "resident", d: `M${line(timeline.rss_bytes)}` }) : null,
      marks.map((phase, index) => (rows[index] < 0 && marks.length > MANY_PHASES ? null : svg("g", { class: "phase" },
        svg("line", { x1: places[index], x2: places[index], y1: MARGIN.top - 4, y2: MARGIN.top + inner.height }),
        rows[index] < 0 ? null : svg("text", {
          x: Math.min(places[index] + 3, end - 6), y: rows[index] ? 24 : 11,
          "text-anchor": places[index] > end - 90 ? "end" : "start",
        }, format.shortened(format.name(phase.name), 24)),
        svg("title", {}, `${format.name(phase.name)}: ended at ${format.duration(phase.at_s)}`)))),
      cursor);

    function read(index, clientX, clientY) {
      cursor.setAttribute("x1", x(times[index]));
      cursor.setAttribute("x2", x(times[index]));
      cursor.setAttribute("visibility", "visible");
      onRead(index, clientX, clientY);
    }

    made.addEventListener("pointermove", (event) => {
      const time = first + ((event.clientX - made.getBoundingClientRect().left - MARGIN.left) / inner.width) * span;
      read(nearest(times, time), event.clientX, event.clientY);
    });
    const leave = () => {
      cursor.setAttribute("visibility", "hidden");
      tooltip.hide();
    };
    made.addEventListener("pointerleave", leave);
    made.addEventListener("blur", leave);
    let at = times.length - 1;
    made.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      at = Math.max(0, Math.min(times.length - 1, at + step));
      const box = made.getBoundingClientRect();
      read(at, box.left + x(times[at]), box.top + MARGIN.top + 20);
    });
    return made;
  }

  function render(target, capture) {
    const { timeline, phases } = capture;
    if (!isDrawable(timeline)) {
      filled(target, empty(
        timeline ? "The recording was too short for a timeline: it takes a value four times a second." : "No timeline was recorded.",
        "It is kept while recording runs: ", code("memory.start()"), " at the start of the program, or ", code("flyweight run program.py"), "."));
      return;
    }
    const stack = layers(timeline);
    const chart = element("div", { class: "chart" });
    const spoken = element("p", { class: "unseen", role: "status" });
    const hasResident = (timeline.rss_bytes ?? []).some((bytes) => bytes > 0);
    const legend = element("ul", { class: "legend" },
      hasResident ? element("li", {}, element("i", { class: "swatch line" }), "resident") : null,
      hasResident ? element("li", {}, element("i", { class: "swatch untracked" }), "resident, not tracked: code, free memory, from before") : null,
      stack.shown.map((layer) => element("li", {},
        element("i", { class: "swatch", style: { background: palette.css(layer.name) } }),
        element("span", { class: "name" }, format.name(layer.name)))));
    const isAbove = hasResident && timeline.rss_bytes.some((bytes, index) => stack.top[index] > ABOVE * bytes);
    filled(target, chart, legend, isAbove ? element("p", { class: "soft" },
      "Above the line: memory that was asked for and is not resident, such as mapped addresses that nobody has touched.") : null, spoken);

    function onRead(index, clientX, clientY) {
      const rows = readings(timeline, stack, index);
      const title = `at ${format.duration(timeline.end_s[index])}`;
      tooltip.show(clientX, clientY, title, rows);
      spoken.textContent = `${title}: ${rows.map(([label, value]) => `${label} ${value}`).join(", ")}`;
    }
    drawnInto(chart, (width) => chart.replaceChildren(picture(timeline, phases, stack, width, onRead)));
  }

  return { render, ticks, layers, nearest };
})();
