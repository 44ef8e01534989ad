"use strict";

// Tables that sort by any column, filter by text and show a page at a time.
flyweight.tables = (() => {
  const { element, sized } = flyweight.elements;
  const { format } = flyweight;
  const PAGE = 25;

  const sizeCell = (value) => sized(value);
  const plain = (text, title) => element("span", { class: "number", title }, text);
  const WRITE = {
    size: sizeCell,
    change: (value) => element("span", {
      class: `number change ${value > 0 ? "up" : value < 0 ? "down" : ""}`, title: format.exactBytes(value) || null,
    }, format.sizeChange(value)),
    count: (value) => plain(format.count(value)),
    time: (value) => plain(format.duration(value), format.isNumber(value) ? `${value} s` : null),
    rate: (value) => plain(format.isNumber(value) ? (value < 100 ? value.toFixed(1) : format.count(value)) : "–"),
    share: (value) => plain(format.percent(value)),
    text: (value) => element("span", { class: "name", title: format.name(value) }, format.name(value)),
  };

  /** A place in the code over two lines: the function, then file and line; a button where `onClick` is given. */
  function placeCell(row, onClick = null) {
    return element(onClick ? "button" : "span", {
      class: "place", type: onClick ? "button" : null, on: onClick ? { click: onClick } : null,
      title: format.name(row.file) + (row.line > 0 ? `:${row.line}` : ""),
    },
      element("span", { class: "name" }, format.name(row.function) || "(no function)"),
      element("span", { class: "file" }, format.place(row.file, row.line)));
  }

  function componentCell(component) {
    return element("span", { class: "component" },
      element("i", { class: "swatch", style: { background: flyweight.palette.css(component) } }),
      element("span", { class: "name" }, format.name(component)));
  }

  function compared(one, other) {
    const [here, there] = [one ?? null, other ?? null];
    if (here === null || there === null) return (here === null ? 1 : 0) - (there === null ? 1 : 0);
    if (typeof here === "string" || typeof there === "string") return String(here).localeCompare(String(there));
    return here - there;
  }

  /** Rows in order; what has no value comes last either way, equals keep their order. */
  function sorted(rows, value, descending) {
    return [...rows].sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      const missing = (one === null || one === undefined) || (other === null || other === undefined);
      return descending && !missing ? compared(other, one) : compared(one, other);
    });
  }

  const valueOf = (column) => column.value ?? ((row) => row[column.key]);

  /**
   * label: what the table is, for readers of the screen. columns: {key, title, type, value, cell, hint, minor, bar}: type
   * says how a value is written; `cell` makes the cell of a row itself; `minor` ones hide where it is narrow; `bar` draws
   * the value as a bar too. sortBy: a key or null for the order given. filter: the text of a row, to filter by. total: a
   * row that stays at the end.
   */
  function table({ label, columns, rows, sortBy = null, descending = true, pageSize = PAGE, filter = null, total = null }) {
    const state = { sortBy, descending, page: 0, words: "" };
    const largest = new Map(columns.filter((column) => column.bar).map((column) =>
      [column.key, rows.reduce((most, row) => Math.max(most, valueOf(column)(row) ?? 0), 0)]));
    const texts = filter ? rows.map((row) => filter(row).toLowerCase()) : [];
    const numeric = (column) => !column.cell && column.type && column.type !== "text";
    const classOf = (column) =>
      [numeric(column) ? "numeric" : "", column.minor ? "minor" : "", column.class ?? ""].join(" ").trim() || null;

    const heads = columns.map((column) => {
      const button = element("button", { type: "button", title: column.hint, on: { click: () => sortByColumn(column) } },
        column.title, element("i", { class: "arrow", "aria-hidden": "true" }));
      return element("th", { scope: "col", class: classOf(column), "data-key": column.key }, button);
    });
    const body = element("tbody");
    const status = element("span", { class: "status", role: "status" });
    const back = element("button", { type: "button", on: { click: () => turn(-1) } }, "Previous");
    const next = element("button", { type: "button", on: { click: () => turn(1) } }, "Next");
    const pager = element("div", { class: "pager" }, status, back, next);
    const search = filter && rows.length > 8
      ? element("input", {
        type: "search", class: "filter", placeholder: "Filter", "aria-label": `Filter ${label}`, spellcheck: "false",
        on: {
          input: (event) => { state.words = event.target.value.trim().toLowerCase(); state.page = 0; show(); },
          keydown: (event) => {
            if (event.key !== "Escape" || !search.value) return;
            search.value = state.words = "";
            state.page = 0;
            show();
          },
        },
      })
      : null;

    function sortByColumn(column) {
      state.descending = state.sortBy === column.key ? !state.descending : column.type !== "text";
      state.sortBy = column.key;
      state.page = 0;
      show();
    }

    function turn(pages) {
      state.page += pages;
      show();
    }

    function cell(column, row) {
      const value = valueOf(column)(row);
      const share = largest.get(column.key) ? Math.max(0, (value ?? 0) / largest.get(column.key)) : 0;
      const made = column.cell ? column.cell(row) : WRITE[column.type ?? "text"](value);
      return element("td", { class: classOf(column) },
        share > 0 ? element("i", { class: "bar", style: { width: `${(100 * share).toFixed(2)}%` } }) : null, made);
    }

    function show() {
      let shown = state.words ? rows.filter((_, index) => texts[index].includes(state.words)) : rows;
      const column = columns.find((one) => one.key === state.sortBy);
      if (column) shown = sorted(shown, valueOf(column), state.descending);
      const pages = Math.max(1, Math.ceil(shown.length / pageSize));
      state.page = Math.min(Math.max(0, state.page), pages - 1);
      const first = state.page * pageSize;
      const page = shown.slice(first, first + pageSize);
      body.replaceChildren(...page.map((row) => element("tr", {}, columns.map((one) => cell(one, row)))));
      if (total && !state.words) {
        body.append(element("tr", { class: "total" }, columns.map((one) => cell({ ...one, bar: false, key: "" , value: valueOf(one) }, total))));
      }
      if (!page.length) {
        body.append(element("tr", {}, element("td", { colspan: columns.length, class: "none" }, "Nothing matches.")));
      }
      heads.forEach((head, index) => {
        const isSorted = columns[index].key === state.sortBy;
        if (isSorted) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const range = shown.length > pageSize ? `${first + 1}–${first + page.length} of ` : "";
      status.textContent = `${range}${format.plural(shown.length, "row")}`;
      back.disabled = state.page === 0;
      next.disabled = state.page === pages - 1;
      back.hidden = next.hidden = pages === 1;
      pager.classList.toggle("single", pages === 1 && !state.words);
    }

    show();
    return element("div", { class: "tabular" },
      search ? element("div", { class: "controls" }, search) : null,
      element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": label },
        element("table", {}, element("thead", {}, element("tr", {}, heads)), body)),
      pager);
  }

  return { table, sorted, placeCell, componentCell };
})();
