"use strict";

// A call tree as an icicle on a canvas: callers above, what they call below, as wide as what was allocated. Only what can
// be seen is drawn, so that the number of frames does not matter.
flyweight.icicle = (() => {
  const { palette, format } = flyweight;
  const NARROWEST = 0.5;
  const LABELLED = 40;
  const PADDING = 5;
  const FONT = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

  // Heights follow the text size that the reader has.
  const letterHeight = () => 0.74 * parseFloat(getComputedStyle(document.documentElement).fontSize);

  const rowHeight = () => Math.round(1.8 * letterHeight());

  function colours(frames) {
    const paper = palette.resolved("--paper");
    const fills = new Map();
    for (const { component } of frames) {
      if (!fills.has(component)) fills.set(component, palette.mixed(palette.colour(component), paper, 0.3));
    }
    return {
      fills, paper, surface: palette.resolved("--sunken"), soft: palette.resolved("--soft"), faded: palette.resolved("--faded"),
      match: palette.resolved("--match"), edge: palette.resolved("--accent"),
    };
  }

  /** The function and its place, or the function alone where there is less room; the file of what has no better name. */
  function label(frame, letters) {
    const whole = `${format.name(frame.function)}  ${format.place(frame.file, frame.line)}`.trim();
    if (whole.length <= letters) return whole;
    const isNamed = frame.function && !["<module>", "<import>"].includes(frame.function);
    return format.shortened(isNamed ? format.name(frame.function) : format.file(frame.file), letters);
  }

  /**
   * view: {tree, frames, root, selected, matches, title, width, height, row, top}; root fills the width, its callers stand above it;
   * row: height of one, top: pixels scrolled away; matches: a Set of nodes, or null.
   */
  function draw(canvas, view) {
    const ratio = devicePixelRatio || 1;
    const [across, down] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (canvas.width !== across || canvas.height !== down) {
      canvas.width = across;
      canvas.height = down;
      canvas.style.width = `${view.width}px`;
      canvas.style.height = `${view.height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    context.font = `${letterHeight()}px ${FONT}`;
    context.textBaseline = "middle";
    const brush = { context, colours: colours(view.frames), letter: context.measureText("m").width };
    const { tree, root } = view;
    for (let node = root; node >= 0; node = tree.parent[node]) {
      if (node !== root) box(brush, view, node, 0, view.width, true);
    }
    const scale = view.width / (tree.value[root] || 1);
    const waiting = [root];
    let drawn = 0;
    while (waiting.length) {
      const node = waiting.pop();
      const x = (tree.start[node] - tree.start[root]) * scale;
      const width = tree.value[node] * scale;
      if (tree.depth[node] * view.row - view.top > view.height) continue;
      box(brush, view, node, x, width, false);
      drawn += 1;
      for (let index = tree.first[node]; index < tree.first[node + 1]; index += 1) {
        const child = tree.children[index];
        // The largest come first: once one is too narrow, all that follow are.
        if (tree.value[child] * scale < NARROWEST) break;
        waiting.push(child);
      }
    }
    return drawn;
  }

  function box(brush, view, node, x, width, isCaller) {
    const { context, colours: theme } = brush;
    const y = view.tree.depth[node] * view.row - view.top;
    if (y + view.row < 0) return;
    const number = view.tree.frame[node];
    const frame = number >= 0 ? view.frames[number] : null;
    const isMatch = view.matches?.has(node);
    let fill = frame ? theme.fills.get(frame.component) : theme.surface;
    if (view.matches) fill = isMatch ? theme.match : theme.faded;
    else if (isCaller && frame) fill = palette.mixed(fill, theme.paper, 0.55);
    const gap = width > 3 ? 1 : 0;
    context.fillStyle = fill;
    context.fillRect(x, y, Math.max(width - gap, NARROWEST), view.row - 1);
    if (node === view.selected) {
      context.strokeStyle = theme.edge;
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, Math.max(1, width - gap - 2), view.row - 3);
    }
    if (width < LABELLED) return;
    const letters = Math.floor((width - 2 * PADDING) / brush.letter);
    const text = frame ? label(frame, letters) : format.shortened(view.title, letters);
    context.fillStyle = fill === theme.faded ? theme.soft : palette.ink(fill);
    context.fillText(text, Math.max(x, 0) + PADDING, y + view.row / 2);
  }

  /** How many rows have anything wide enough to be seen, from the top of the tree down. */
  function rowCount({ tree, root, width }) {
    const least = (NARROWEST / width) * tree.value[root];
    const end = tree.start[root] + tree.value[root];
    let deepest = tree.depth[root];
    for (let node = root + 1; node < tree.value.length; node += 1) {
      const isShown = tree.value[node] >= least && tree.start[node] >= tree.start[root] && tree.start[node] < end;
      if (isShown && tree.depth[node] > deepest) deepest = tree.depth[node];
    }
    return deepest + 1;
  }

  /** The node at a point of the canvas, or -1. */
  function nodeAt(view, x, y) {
    const { tree, root } = view;
    const row = Math.floor((y + view.top) / view.row);
    if (row < 0 || x < 0 || x >= view.width) return -1;
    let node = root;
    if (row < tree.depth[root]) {
      while (tree.depth[node] > row) node = tree.parent[node];
      return node;
    }
    const point = tree.start[root] + (x / view.width) * tree.value[root];
    while (node >= 0 && tree.depth[node] < row) node = flyweight.callTree.childAt(tree, node, point);
    return node;
  }

  return { rowHeight, rowCount, draw, nodeAt };
})();
