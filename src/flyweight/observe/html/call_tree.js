"use strict";

// Call chains merged into a tree with sums: from the outermost frame on, or from the line that allocated.
flyweight.callTree = (() => {
  /**
   * The tree of one measure. Nodes are numbers, 0 is above all; a child's number is larger than its parent's. Each has
   * parent, frame, value, own (without its children), depth and start: siblings lie side by side
   * from their parent's start on, the largest first. children: numbers, those of node n from first[n] to first[n + 1].
   */
  function tree({ nodes, chains }, measure, domain, isInverted) {
    const shape = isInverted ? inverted(nodes, chains, measure, domain) : merged(nodes, chains, measure, domain);
    return arranged(shape);
  }

  const counts = (chains, index, domain) => domain === "all" || chains.domain[index] === domain;

  function merged(nodes, chains, measure, domain) {
    const size = nodes.parent.length;
    const value = new Float64Array(size);
    chains.node.forEach((node, index) => {
      if (!counts(chains, index, domain)) return;
      value[node] += chains[measure][index];
    });
    for (let node = size - 1; node > 0; node -= 1) {
      value[nodes.parent[node]] += value[node];
    }
    return { parent: nodes.parent, frame: nodes.frame, value };
  }

  function inverted(nodes, chains, measure, domain) {
    const shape = { parent: [-1], frame: [-1], value: [0] };
    const known = new Map();
    const frames = nodes.frame.reduce((most, frame) => Math.max(most, frame), 0) + 1;
    chains.node.forEach((leaf, index) => {
      const amount = chains[measure][index];
      if (!amount || !counts(chains, index, domain)) return;
      let node = 0;
      shape.value[0] += amount;
      for (let at = leaf; at > 0; at = nodes.parent[at]) {
        const key = node * frames + nodes.frame[at];
        let child = known.get(key);
        if (child === undefined) {
          child = shape.parent.length;
          known.set(key, child);
          shape.parent.push(node);
          shape.frame.push(nodes.frame[at]);
          shape.value.push(0);
        }
        shape.value[child] += amount;
        node = child;
      }
    });
    return shape;
  }

  function arranged({ parent, frame, value }) {
    const size = parent.length;
    const first = new Int32Array(size + 1);
    for (let node = 1; node < size; node += 1) {
      if (value[node] > 0) first[parent[node] + 1] += 1;
    }
    for (let node = 0; node < size; node += 1) first[node + 1] += first[node];
    const next = first.slice(0, size);
    const children = new Int32Array(first[size]);
    const own = Float64Array.from(value);
    for (let node = 1; node < size; node += 1) {
      if (!(value[node] > 0)) continue;
      children[next[parent[node]]] = node;
      next[parent[node]] += 1;
      own[parent[node]] -= value[node];
    }
    const depth = new Int32Array(size);
    const start = new Float64Array(size);
    for (let node = 0; node < size; node += 1) {
      if (!(value[node] > 0)) continue;
      const mine = children.subarray(first[node], first[node + 1]).sort((a, b) => value[b] - value[a]);
      let at = start[node];
      for (const child of mine) {
        depth[child] = depth[node] + 1;
        start[child] = at;
        at += value[child];
      }
    }
    return { parent, frame, value, own, depth, start, first, children, total: value[0] ?? 0 };
  }

  /** The nodes of frames that match, and what those not below another match sum to, within `root`. */
  function search(tree, isMatch, root = 0) {
    const nodes = new Set();
    let total = 0;
    const waiting = [[root, false]];
    while (waiting.length) {
      const [node, isWithin] = waiting.pop();
      const matches = tree.frame[node] >= 0 && isMatch[tree.frame[node]];
      if (matches) {
        nodes.add(node);
        if (!isWithin) total += tree.value[node];
      }
      for (let index = tree.first[node]; index < tree.first[node + 1]; index += 1) {
        waiting.push([tree.children[index], isWithin || Boolean(matches)]);
      }
    }
    return { nodes, total };
  }

  /** The child of a node that covers a point of its width, or -1. */
  function childAt(tree, node, point) {
    let low = tree.first[node];
    let high = tree.first[node + 1] - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const child = tree.children[middle];
      if (point < tree.start[child]) high = middle - 1;
      else if (point >= tree.start[child] + tree.value[child]) low = middle + 1;
      else return child;
    }
    return -1;
  }

  return { tree, search, childAt };
})();
