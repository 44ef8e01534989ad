"use strict";

// The sites that leak: how fast, since when, the evidence, and who holds the blocks.
flyweight.leaks = (() => {
  const { element, filled, svg, sized, empty, code } = flyweight.elements;
  const { format, tables } = flyweight;

  // More are drawn when asked for: each has charts and tables.
  const FIRST = 25;

  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  /** Values as bars from 0, oldest first. */
  function bars(values, write, label) {
    const [width, height] = [Math.max(160, values.length * 15), 56];
    const most = values.reduce((largest, value) => Math.max(largest, value), 0) || 1;
    const step = width / Math.max(1, values.length);
    return svg("svg", { class: "bars", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
      values.map((value, index) => {
        const tall = Math.max(value > 0 ? 1 : 0, (value / most) * (height - 1));
        return svg("rect", { x: index * step, y: height - tall, width: Math.max(1, step - 2), height: tall },
          svg("title", {}, write(value)));
      }),
      svg("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }));
  }

  function chart(title, note, picture) {
    return element("figure", {}, element("figcaption", {}, element("b", {}, title), element("span", {}, note)), picture);
  }

  function chain({ root, links }) {
    return element("li", {}, [root, ...links].map((part, index) => [
      index ? element("span", { class: "link-arrow", "aria-hidden": "true" }, " → ") : null,
      element("span", { class: index ? "name" : "name root" }, format.name(part)),
    ]));
  }

  function held(holders) {
    if (!holders) {
      return element("p", { class: "soft" }, "Who holds them was not asked: ", code("memory.holders(leak)"), " while the program runs.");
    }
    const types = [...holders.types];
    if (holders.unknown_count) {
      types.push({ name: "no object known: kept by C code", count: holders.unknown_count, bytes: holders.unknown_bytes });
    }
    return [
      types.length ? element("div", { class: "held" }, element("h4", {}, "What lies in the blocks"), tables.table({
        label: "Objects in the blocks", rows: types, pageSize: 6, columns: [
          { key: "name", title: "Type" }, { key: "count", title: "Blocks", type: "count" },
          { key: "bytes", title: "Size", type: "size", bar: true }],
      })) : null,
      element("div", { class: "held" }, element("h4", {}, "Who holds them"),
        holders.chains.length
          ? element("ol", { class: "chains" }, holders.chains.map(chain))
          : element("p", { class: "soft" }, "No chain of references was found: C code may hold them."),
        holders.complete ? null : element("p", { class: "soft" }, "The time was over before all was searched.")),
    ];
  }

  function entry(leak, index) {
    const { evidence } = leak;
    const verdict = evidence.verdict;
    const [troughs, survivors] = [evidence.trough_bytes, evidence.survivors];
    const rate = evidence.growth_bytes_per_s;
    const isGrowing = verdict === "growing";
    return element("details", { class: `leak ${isGrowing ? "bad" : "plain"}`, open: index === 0 },
      element("summary", {},
        element("span", { class: "verdict" }, verdict),
        tables.placeCell(leak),
        element("span", { class: "quantity" }, sized(leak.bytes), element("small", {}, format.plural(leak.count, "block"))),
        element("span", { class: "quantity" },
          isGrowing ? sized(rate, `${format.size(rate)}/s`) : element("span", { class: "number soft" }, "–"), element("small", {}, "growth")),
        element("span", { class: "quantity minor" }, element("span", { class: "number" }, format.duration(leak.oldest_s)), element("small", {}, "oldest"))),
      element("div", { class: "evidence" },
        element("p", { class: "reason" }, `${sentence(format.name(evidence.reason))}.`,
          isGrowing ? ` Confidence ${format.percent(evidence.confidence)}; ${format.name(leak.domain)}.` : ""),
        element("div", { class: "charts" },
          troughs.length ? chart("Troughs", `lowest live bytes in each ${format.duration(evidence.window_s)}`, bars(troughs, format.size, "Lowest live bytes over time")) : null,
          survivors.length ? chart("Survivors", "live blocks by when they were allocated, start to now", bars(survivors, (value) => format.plural(value, "block"), "Live blocks by time of allocation")) : null),
        held(leak.holders)));
  }

  function render(target, capture) {
    if (!Array.isArray(capture.leaks)) {
      filled(target, empty("Leaks were not looked for.",
        "They are judged while recording runs: ", code("memory.start()"), ", and give a verdict a minute."));
    } else if (!capture.leaks.length) {
      filled(target, empty("No site leaks: none holds old blocks and ever more of them.",
        "A site is judged once it was watched for six windows, 1.5 seconds at first."));
    } else {
      const list = element("div", { class: "leaks" }, capture.leaks.slice(0, FIRST).map(entry));
      const rest = capture.leaks.slice(FIRST);
      const more = rest.length ? element("button", {
        type: "button", class: "more", on: { click: () => { list.append(...rest.map((leak) => entry(leak, FIRST))); more.remove(); } },
      }, `Show ${format.plural(rest.length, "more site")}`) : null;
      const { count, bytes } = capture.leak_totals;
      const missing = count - capture.leaks.length;
      filled(target, list, more, missing > 0 ? element("p", { class: "soft" },
        `The report has no room for the ${format.plural(missing, "site")} that follow; all ${format.count(count)} together hold ${format.size(bytes)}. The capture has each of them.`) : null);
    }
  }

  return { render };
})();
