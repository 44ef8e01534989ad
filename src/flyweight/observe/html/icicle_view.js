"use strict";

// The icicle with its controls: what it measures, which domain, from which end, search and zoom.
flyweight.icicleView = (() => {
  const { element, filled, choice, empty, code, drawnInto } = flyweight.elements;
  const { format, callTree, icicle, tooltip } = flyweight;
  const TALLEST = 640;
  const FIND = "flyweight:find";
  const MEASURES = [
    { value: "live_bytes", text: "Live", title: "Bytes that exist now" },
    { value: "peak_bytes", text: "At peak", title: "Bytes that existed when tracked memory was highest" },
    { value: "total_bytes", text: "All bytes", title: "Bytes of all allocations since recording began" },
    { value: "total_count", text: "Count", title: "Number of all allocations since recording began" },
  ];
  const ENDS = [
    { value: "callers", text: "Callers first", title: "From the start of the program down to the lines that allocate" },
    { value: "lines", text: "Lines first", title: "From the lines that allocate down to who called them" },
  ];

  const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);

  /** What of the graph is exact, and what is not. */
  function qualified({ report, chains }) {
    const said = [];
    if (report.estimated) said.push(`All figures are estimates: one byte in ${format.size(report.sample_interval_bytes)} was sampled.`);
    else if (report.stacks !== "full") said.push("What each line allocated is exact; how it divides among its callers is estimated from samples.");
    said.push("Frames of the import system are left out.");
    if (chains.left_out) said.push(`The ${format.count(chains.left_out)} smallest call chains stand as one, “(smaller call chains)”.`);
    return said.join(" ");
  }

  function render(target, capture) {
    const { frames, chains } = capture;
    const measures = MEASURES.filter(({ value }) => sum(chains[value]) > 0);
    if (!frames.length || !measures.length) {
      filled(target, empty("No call chains in this capture.",
        "They are sampled while recording runs; ", code("memory.start(stacks=\"full\")"), " keeps one for every block, a smaller ",
        code("sample_interval"), " keeps more of them."));
      return;
    }
    const state = { measure: measures[0].value, domain: "all", isInverted: false, words: "", root: 0, selected: -1 };
    const domains = [...new Set(chains.domain)].sort();
    let tree = null;
    let found = null;
    let rowHeight = icicle.rowHeight();
    let rows = 1;

    const write = (amount) => (state.measure === "total_count" ? format.count(amount) : format.size(amount));
    const canvas = element("canvas", { tabindex: "0", role: "application", "aria-label": "Flame graph: arrow keys move, Enter zooms, Escape goes back" });
    const space = element("div", { class: "space" }, canvas);
    const scroller = element("div", { class: "icicle" }, space);
    const search = element("input", {
      type: "search", placeholder: "Search functions and files  /", "aria-label": "Search frames", spellcheck: "false", class: "search",
      on: { input: () => { state.words = search.value.trim().toLowerCase(); lookUp(); draw(); } },
    });
    const matched = element("span", { class: "matched number", role: "status" });
    const status = element("p", { class: "reading", role: "status" });
    const back = element("button", { type: "button", class: "back", on: { click: () => zoom(0) } }, "Whole graph");
    const select = element("select", { "aria-label": "Domain", on: { change: () => { state.domain = select.value; rebuild(); } } },
      element("option", { value: "all" }, "All domains"),
      domains.map((domain) => element("option", { value: domain }, format.name(domain))));

    filled(target,
      element("div", { class: "controls" },
        choice("Measure", measures, state.measure, (value) => { state.measure = value; rebuild(); }),
        choice("Direction", ENDS, "callers", (value) => { state.isInverted = value === "lines"; rebuild(); }),
        domains.length > 1 ? select : null, search, matched, back),
      scroller, status,
      element("p", { class: "soft" }, qualified(capture)));

    const view = () => ({
      tree, frames, root: state.root, selected: state.selected, matches: found?.nodes ?? null, width: scroller.clientWidth,
      height: Math.min(TALLEST, rows * rowHeight), row: rowHeight, top: scroller.scrollTop, title: `all: ${write(tree.total)}`,
    });

    function rebuild() {
      tree = callTree.tree(capture, state.measure, state.domain, state.isInverted);
      state.root = 0;
      state.selected = -1;
      lookUp();
      draw();
    }

    function lookUp() {
      if (!state.words) {
        found = null;
        matched.textContent = "";
        return;
      }
      const isMatch = frames.map((frame) => `${frame.function} ${frame.file}:${frame.line}`.toLowerCase().includes(state.words));
      found = callTree.search(tree, isMatch, state.root);
      const share = tree.value[state.root] ? found.total / tree.value[state.root] : 0;
      matched.textContent = `${write(found.total)}, ${format.percent(share)} in ${format.plural(found.nodes.size, "frame")}`;
    }

    function draw() {
      back.hidden = state.root === 0;
      rowHeight = icicle.rowHeight();
      // A scroll bar that comes or goes changes the width, so the height is set first.
      rows = icicle.rowCount({ tree, root: state.root, width: scroller.clientWidth || 1 });
      scroller.style.height = `${Math.min(TALLEST, rows * rowHeight)}px`;
      space.style.height = `${rows * rowHeight}px`;
      if (scroller.clientWidth > 0) icicle.draw(canvas, view());
      tell(state.selected);
    }

    function readings(node) {
      return [
        [MEASURES.find(({ value }) => value === state.measure).text.toLowerCase(), write(tree.value[node])],
        ["of all", format.percent(tree.value[node] / tree.total)],
        state.root ? ["of this view", format.percent(tree.value[node] / tree.value[state.root])] : null,
        [state.isInverted ? "without deeper callers" : "in this line itself", write(tree.own[node])],
        state.measure === "total_count" ? null : ["exactly", format.exactBytes(tree.value[node])],
      ].filter(Boolean);
    }

    function nameOf(node) {
      const frame = tree.frame[node] >= 0 ? frames[tree.frame[node]] : null;
      return frame ? format.name(frame.function) || "(no function)" : "all";
    }

    function tell(node) {
      if (node < 0) {
        status.textContent = "Click a frame to zoom. Keys: / search, arrows move, Enter zooms, Escape goes back.";
        return;
      }
      const frame = frames[tree.frame[node]];
      const place = frame?.file ? `${format.name(frame.file)}${frame.line > 0 ? `:${frame.line}` : ""}` : "";
      const figures = readings(node).map(([label, value]) => `${value} ${label}`).slice(0, 2).join(", ");
      status.replaceChildren(element("b", {}, nameOf(node)), ` ${place} `, element("span", { class: "number" }, figures));
    }

    function zoom(node) {
      state.root = Math.max(0, node);
      state.selected = state.root || -1;
      lookUp();
      draw();
    }

    function choose(node) {
      if (node < 0) return;
      state.selected = node;
      const y = tree.depth[node] * rowHeight;
      if (y < scroller.scrollTop) scroller.scrollTop = y;
      else if (y + rowHeight > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = y + rowHeight - scroller.clientHeight;
      draw();
    }

    function neighbour(node, step) {
      const parent = tree.parent[node];
      if (parent < 0) return node;
      const brothers = tree.children.subarray(tree.first[parent], tree.first[parent + 1]);
      return brothers[brothers.indexOf(node) + step] ?? node;
    }

    canvas.addEventListener("pointermove", (event) => {
      const node = icicle.nodeAt(view(), event.offsetX, event.offsetY);
      canvas.style.cursor = node >= 0 ? "pointer" : "default";
      if (node < 0) {
        tooltip.hide();
        return;
      }
      const frame = frames[tree.frame[node]];
      const place = frame?.file ? [["at", format.place(frame.file, frame.line)], ["component", format.name(frame.component)]] : [];
      tooltip.show(event.clientX, event.clientY, format.shortened(nameOf(node), 90), [...place, ...readings(node)]);
    });
    canvas.addEventListener("pointerleave", tooltip.hide);
    canvas.addEventListener("click", (event) => {
      const node = icicle.nodeAt(view(), event.offsetX, event.offsetY);
      if (node >= 0) zoom(node);
    });
    canvas.addEventListener("keydown", (event) => {
      const at = state.selected < 0 ? state.root : state.selected;
      const largest = tree.first[at] < tree.first[at + 1] ? tree.children[tree.first[at]] : at;
      const moves = {
        ArrowDown: () => choose(largest),
        ArrowUp: () => {
          if (tree.depth[at] <= tree.depth[state.root]) zoom(tree.parent[state.root]);
          else choose(tree.parent[at]);
        },
        ArrowLeft: () => choose(neighbour(at, -1)),
        ArrowRight: () => choose(neighbour(at, 1)),
        Enter: () => zoom(at),
        Home: () => zoom(0),
      };
      if (!moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
    });
    target.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      if (state.words) {
        search.value = state.words = "";
        lookUp();
        draw();
      } else if (state.root) {
        zoom(0);
      }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
      event.preventDefault();
      search.focus();
      search.scrollIntoView({ block: "center" });
    });
    document.addEventListener(FIND, ({ detail }) => {
      zoom(0);
      search.value = detail;
      state.words = detail.toLowerCase();
      lookUp();
      draw();
      search.focus({ preventScroll: true });
      target.closest("section").scrollIntoView();
    });
    scroller.addEventListener("scroll", () => icicle.draw(canvas, view()), { passive: true });
    rebuild();
    drawnInto(scroller, draw);
  }

  /** Searches the graph for a place and goes there. */
  const find = (words) => document.dispatchEvent(new CustomEvent(FIND, { detail: words }));

  return { render, find };
})();
