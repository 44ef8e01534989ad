"use strict";

// The capture that the page shows: unpacked from the data element, see packing.py.
flyweight.capture = (() => {
  /** Rows of an object each, from columns; numbers of texts become texts. */
  function rows(table, texts) {
    const inText = new Set(table.text);
    const names = Object.keys(table.columns);
    return Array.from({ length: table.rows }, (_, index) => {
      const row = {};
      for (const name of names) {
        const value = table.columns[name][index];
        row[name] = inText.has(name) ? texts[value] : value;
      }
      return row;
    });
  }

  const list = (value) => (Array.isArray(value) ? value : []);

  /** Sums of an attribution's rows by component, largest first. */
  function components(attribution) {
    const sums = new Map();
    for (const row of list(attribution?.rows)) {
      const name = row.component || "other";
      const sum = sums.get(name) ?? { name, rss_bytes: 0, private_bytes: 0, rows: [] };
      sum.rss_bytes += row.rss_bytes;
      sum.private_bytes += row.private_bytes;
      sum.rows.push(row);
      sums.set(name, sum);
    }
    return [...sums.values()].sort((a, b) => b.rss_bytes - a.rss_bytes);
  }

  function read(text) {
    const packed = JSON.parse(text);
    const { texts, frames, nodes, chains } = packed;
    const read = {
      ...packed,
      program: packed.program ?? {},
      report: packed.report ?? {},
      components: components(packed.attribution),
      sites: rows(packed.sites, texts),
      phases: list(packed.phases),
      tracked: list(packed.tracked),
      queries: list(packed.queries),
      budgets: list(packed.budgets),
      frames: frames.file.map((file, index) => ({
        file: texts[file],
        line: frames.line[index],
        function: texts[frames.function[index]],
        component: texts[frames.component[index]],
      })),
      nodes,
      chains: { ...chains, domain: chains.domain.map((number) => texts[number]) },
    };
    for (const site of read.sites) {
      site.average_bytes = site.total_count ? site.total_bytes / site.total_count : 0;
    }
    return read;
  }

  return { read, components };
})();
