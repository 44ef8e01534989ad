"use strict";

// The parts of the page that are tables: rows of resident memory, phases, hot sites, queries, budgets.
flyweight.sections = (() => {
  const { element, filled, empty, code } = flyweight.elements;
  const { format, palette, tables } = flyweight;

  const component = {
    key: "component", title: "Component", type: "text", minor: true, cell: (row) => tables.componentCell(row.component || "other"),
  };

  function named(key, title) {
    return {
      key, title, type: "text",
      cell: (row) => element("span", { class: "place", title: format.name(row.detail || row.name) },
        element("span", { class: "name" }, format.name(row.name)), element("span", { class: "file" }, format.name(row.kind))),
    };
  }

  function rows(target, capture) {
    const { attribution } = capture;
    if (!attribution?.rows?.length) return;
    const sums = ["rss_bytes", "private_bytes", "shared_bytes", "dirty_bytes", "pss_bytes", "live_bytes"];
    const total = { name: "Sum of all rows", kind: "", component: "", detail: "" };
    for (const key of sums) total[key] = attribution.rows.reduce((sum, row) => sum + (row[key] ?? 0), 0);
    filled(target, element("h3", {}, "Row by row"), tables.table({
      label: "Rows of resident memory", rows: attribution.rows, sortBy: "rss_bytes", pageSize: 15, total,
      filter: (row) => `${row.name} ${row.kind} ${row.component} ${row.detail}`,
      columns: [
        named("name", "What"),
        { ...component, cell: (row) => (row === total ? "" : component.cell(row)) },
        { key: "rss_bytes", title: "Resident", type: "size", bar: true, hint: "Pages of it that are in memory" },
        { key: "private_bytes", title: "Private", type: "size", hint: "Pages that this process alone has" },
        { key: "shared_bytes", title: "Shared", type: "size", minor: true, hint: "Pages that other processes have too" },
        { key: "dirty_bytes", title: "Dirty", type: "size", minor: true, hint: "Pages written to: they cannot just be dropped" },
        { key: "pss_bytes", title: "Proportional", type: "size", minor: true, hint: "Shared pages divided among those who share them" },
        { key: "live_bytes", title: "Tracked", type: "size", minor: true, hint: "Bytes asked for and live behind it" },
      ],
    }));
    const system = attribution.rollup?.rss_bytes;
    if (format.isNumber(system)) {
      const apart = total.rss_bytes - system;
      filled(target, element("p", { class: "soft" }, apart === 0
        ? `The rows sum to what the system says, to the byte: ${format.exactBytes(system)} resident.`
        : `The system says ${format.exactBytes(system)} resident: the rows differ by ${format.exactBytes(apart)}.`));
    }
  }

  /** A phase's resident memory by component, on the scale of the largest phase. */
  function strip(phase, most) {
    const parts = Object.entries(phase.components ?? {}).filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1]);
    const sum = parts.reduce((total, [, bytes]) => total + bytes, 0);
    return element("span", { class: "strip small", style: { width: `${(100 * sum) / (most || 1)}%` } },
      parts.map(([name, bytes]) => element("i", {
        title: `${format.name(name)}: ${format.size(bytes)}`,
        style: { background: palette.css(name), "flex-grow": String(bytes / (sum || 1)) },
      })));
  }

  function phases(target, capture) {
    const { phases: list, tracked } = capture;
    if (list.length) {
      const most = Math.max(...list.map((phase) => Object.values(phase.components ?? {}).reduce((sum, bytes) => sum + bytes, 0)));
      filled(target, tables.table({
        label: "Phases", rows: list, pageSize: 30,
        columns: [
          { key: "name", title: "Phase", type: "text" },
          { key: "elapsed_s", title: "Took", type: "time", hint: "Time from the end of the phase before" },
          { key: "rss_bytes", title: "Resident", type: "size" },
          { key: "rss_delta_bytes", title: "Change", type: "change", hint: "Of resident memory since the phase before" },
          { key: "peak_rss_bytes", title: "Peak", type: "size", hint: "Highest resident memory within the phase" },
          { key: "private_bytes", title: "Private", type: "size" },
          { key: "private_delta_bytes", title: "Change", type: "change", minor: true, hint: "Of private memory since the phase before" },
          { key: "python_bytes", title: "Python", type: "size", minor: true, hint: "Live bytes given out by Python's allocators" },
          { key: "native_bytes", title: "Native", type: "size", minor: true, hint: "Live bytes given out by malloc and its kin" },
          { key: "mapped_bytes", title: "Mapped", type: "size", minor: true, hint: "Live anonymous mappings" },
          { key: "builder_peak_bytes", title: "Builders", type: "size", minor: true, hint: "Most private memory of all builder processes together" },
          list.some((phase) => phase.store_private_bytes) ? { key: "store_private_bytes", title: "Store", type: "size", minor: true, hint: "Private memory of the process that holds a LanceDB index" } : null,
          most > 0 ? { key: "components", title: "By component", class: "wide minor", value: (row) => row.rss_bytes, cell: (row) => strip(row, most) } : null,
        ].filter(Boolean),
      }));
    } else {
      filled(target, empty("No phases were named.", code("memory.phase(\"After Init\")"), " ends one and takes the account; the engine names its own."));
    }
    if (!tracked.length) return;
    filled(target, element("h3", {}, "Tracked stretches of code"), tables.table({
      label: "Tracked stretches of code", rows: tracked, sortBy: "allocated_bytes", pageSize: 12, filter: (row) => row.name,
      columns: [
        { key: "name", title: "Name", type: "text" }, { key: "count", title: "Times", type: "count" },
        { key: "allocated_bytes", title: "Allocated", type: "size", bar: true }, { key: "net_bytes", title: "Kept", type: "change" },
        { key: "max_peak_net_bytes", title: "Peak of one", type: "size" },
        { key: "elapsed_s", title: "Time", type: "time", minor: true, value: (row) => row.elapsed_ms / 1000 },
        { key: "max_elapsed_s", title: "Longest", type: "time", minor: true, value: (row) => row.max_elapsed_ms / 1000 },
      ],
    }));
  }

  function sites(target, capture) {
    if (!capture.sites.length) {
      filled(target, empty("No allocations were recorded.", code("flyweight run program.py"), " or ", code("memory.start()"), " records them by line."));
      return;
    }
    filled(target, tables.table({
      label: "Hot sites", rows: capture.sites, sortBy: "live_bytes",
      filter: (row) => `${row.function} ${row.file}:${row.line} ${row.domain} ${row.component ?? ""} ${row.library ?? ""}`,
      columns: [
        { key: "place", title: "Where", type: "text", value: (row) => row.file, cell: (row) => tables.placeCell(row, () => flyweight.icicleView.find(`${row.file}:${row.line}`)) },
        component,
        { key: "live_bytes", title: "Live", type: "size", bar: true, hint: "Bytes that exist now" },
        { key: "live_count", title: "Blocks", type: "count", minor: true, hint: "Blocks that exist now" },
        { key: "at_peak_bytes", title: "At peak", type: "size", minor: true, hint: "Bytes that existed when tracked memory was highest" },
        { key: "peak_bytes", title: "Own peak", type: "size", minor: true, hint: "The most that existed at one time" },
        { key: "total_bytes", title: "Allocated", type: "size", hint: "Bytes of all allocations" },
        { key: "total_count", title: "Times", type: "count", minor: true },
        { key: "average_bytes", title: "Average", type: "size", minor: true },
        { key: "rate", title: "Per s", type: "rate", minor: true, hint: "Allocations per second" },
        {
          key: "domain", title: "Domain", type: "text", minor: true,
          cell: (row) => element("span", { class: "source", title: format.name(row.library) || null },
            element("span", {}, format.name(row.domain)),
            row.library ? element("span", { class: "file" }, format.name(row.library).split("/").pop()) : null),
        },
      ],
    }));
  }

  function queries(target, capture) {
    if (!capture.queries.length) {
      filled(target, empty("No queries were measured.", code("engine.measure_query(\"where is the retry loop\")"), " measures one."));
      return;
    }
    const list = capture.queries.map((query, index) => ({ number: index + 1, ...query }));
    filled(target, tables.table({
      label: "Queries", rows: list, pageSize: 20, filter: (row) => String(row.query ?? row.number),
      columns: [
        { key: "query", title: "Query", type: "text", value: (row) => row.query ?? `${row.number}` },
        { key: "hits", title: "Hits", type: "count", value: (row) => (Array.isArray(row.hits) ? row.hits.length : row.hits) },
        { key: "cached", title: "Cached", type: "text", value: (row) => (row.cached ? "yes" : "no") },
        { key: "elapsed_s", title: "Time", type: "time", value: (row) => row.elapsed_ms / 1000 },
        { key: "allocated_bytes", title: "Allocated", type: "size", minor: true },
        { key: "retained_bytes", title: "Retained", type: "size", hint: "Bytes of it that were still there after" },
        { key: "peak_bytes", title: "Peak", type: "size", minor: true },
        { key: "private_delta_bytes", title: "Private", type: "change", hint: "Change of private memory" },
        { key: "rss_delta_bytes", title: "Resident", type: "change", minor: true, hint: "Change of resident memory" },
      ],
    }));
  }

  function budgets(target, capture) {
    if (!capture.budgets.length) {
      filled(target, empty("No budgets were set.", code("memory.budget(50_000_000, on_exceed=\"warn\")"), " watches tracked memory, of the process or of one component."));
      return;
    }
    filled(target, tables.table({
      label: "Budgets", rows: capture.budgets,
      columns: [
        { key: "component", title: "Of", type: "text", value: (row) => row.component || "the process" },
        { key: "limit_bytes", title: "Budget", type: "size" },
        { key: "used_bytes", title: "In use", type: "size", hint: "Tracked bytes that count towards it" },
        {
          key: "share", title: "Share", value: (row) => row.used_bytes / row.limit_bytes,
          cell: ({ used_bytes: used, limit_bytes: limit }) => element("span", { class: `meter ${used > limit ? "over" : ""}` },
            element("i", { style: { width: `${Math.min(100, (100 * used) / limit)}%` } }),
            element("span", { class: "number" }, format.percent(used / limit))),
        },
        { key: "highest_bytes", title: "Highest", type: "size", minor: true },
        { key: "exceeded", title: "Exceeded", type: "count", minor: true, hint: "How often it was exceeded" },
        { key: "on_exceed", title: "Then", type: "text", minor: true, hint: "What happens when it is exceeded" },
        { key: "active", title: "State", type: "text", minor: true, value: (row) => (row.active ? "watched" : "cancelled") },
      ],
    }));
  }

  return { rows, phases, sites, queries, budgets };
})();
