"use strict";

// The first look: how much, whose, and whether it grows.
flyweight.summary = (() => {
  const { element, filled, sized } = flyweight.elements;
  const { format, palette } = flyweight;
  const NAMED = 9;

  const figure = (title, value, note, key) =>
    element("div", { class: "figure", "data-figure": key }, element("dt", {}, title), element("dd", {}, value),
      note ? element("p", {}, note) : null);

  /** One bar of all components, in their order, with what each holds. */
  function distribution(components, total) {
    const shown = components.slice(0, NAMED);
    const rest = components.slice(NAMED);
    if (rest.length) {
      shown.push({
        name: "other", title: `${rest.length} more`, rss_bytes: rest.reduce((sum, one) => sum + one.rss_bytes, 0),
      });
    }
    const parts = shown.filter((one) => one.rss_bytes > 0);
    return element("div", { class: "distribution" },
      element("div", { class: "strip", role: "img", "aria-label": "Resident memory by component" },
        parts.map((one) => element("i", {
          title: `${format.name(one.title ?? one.name)}: ${format.exactBytes(one.rss_bytes)}`,
          style: { background: palette.css(one.name), "flex-grow": String(one.rss_bytes / total) },
        }))),
      element("ul", { class: "legend" }, parts.map((one) => element("li", {},
        element("i", { class: "swatch", style: { background: palette.css(one.name) } }),
        element("span", { class: "name" }, format.name(one.title ?? one.name)),
        sized(one.rss_bytes),
        element("span", { class: "number soft" }, format.percent(one.rss_bytes / total))))));
  }

  /** What the reader should know first, worst first: [tone, text]. */
  function findings(capture) {
    const found = [];
    const { growing, growth_bytes_per_s: rate } = capture.leak_totals;
    if (growing) {
      found.push(["bad", `${format.plural(growing, "site")} leak${growing === 1 ? "s" : ""}: ${format.size(rate)} more per second`]);
    } else if (Array.isArray(capture.leaks)) {
      found.push(["good", "No site leaks"]);
    }
    if (capture.steady) {
      const early = capture.verdict.startsWith("No verdict");
      found.push([early ? "plain" : capture.steady.steady ? "good" : "bad", capture.verdict]);
    }
    for (const budget of capture.budgets.filter((one) => one.used_bytes > one.limit_bytes)) {
      const whose = budget.component ? `The budget of ${budget.component}` : "The budget of the process";
      found.push(["bad", `${whose} is exceeded: ${format.size(budget.used_bytes)} of ${format.size(budget.limit_bytes)}`]);
    }
    for (const note of capture.notes) found.push(["plain", `${note.charAt(0).toUpperCase()}${note.slice(1)}`]);
    return found;
  }

  function how(report) {
    if (!report.mode) return "nothing was recorded";
    const what = report.tracks_native ? "Python and native" : "Python only";
    const interval = `sampled, one byte in ${format.size(report.sample_interval_bytes)}`;
    return `${what}, ${report.estimated ? interval : "every block"}`;
  }

  function heading(capture) {
    const { program, report } = capture;
    const words = (Array.isArray(program.arguments) ? program.arguments : []).map(format.name);
    const facts = [
      program.python ? `Python ${format.name(program.python)}` : null,
      format.isNumber(program.pid) ? `process ${program.pid}` : null,
      format.isNumber(program.elapsed_s ?? report.elapsed_s) ? `after ${format.duration(program.elapsed_s ?? report.elapsed_s)}` : null,
      how(report),
      format.isNumber(program.taken_unix_s) ? format.moment(program.taken_unix_s) : null,
    ].filter(Boolean);
    return element("div", { class: "heading" },
      element("h1", {}, element("span", { class: "name" }, format.shortened(words.join(" "), 160) || "Memory report")),
      element("ul", { class: "facts" }, facts.map((fact) => element("li", {}, fact))));
  }

  function figures(capture) {
    const { report, attribution, timeline } = capture;
    const found = [];
    if (attribution) {
      found.push(figure("Private", sized(attribution.private_bytes), "what this process alone costs", "private"));
      if (attribution.pss_bytes) {
        found.push(figure("Proportional", sized(attribution.pss_bytes), "shared pages counted by share", "pss"));
      }
    }
    if (format.isNumber(report.current_bytes)) {
      found.push(
        figure("Tracked now", sized(report.current_bytes), format.plural(report.live_count, "block"), "tracked"),
        figure("Tracked peak", sized(report.peak_bytes), "most at one time", "peak"),
        figure("Allocated in all", sized(report.allocated_bytes), format.plural(report.allocation_count, "allocation"), "allocated"));
    }
    if (format.isNumber(report.own_bytes)) {
      const kinds = Object.entries(report.own_memory ?? {}).filter(([, bytes]) => bytes)
        .map(([kind, bytes]) => `${kind.replaceAll("_", " ")} ${format.size(bytes)}`).join("\n");
      found.push(figure("The profiler itself",
        element("span", { class: "number", title: `${format.exactBytes(report.own_bytes)}\n${kinds}` }, format.size(report.own_bytes)),
        "its own data", "own"));
    }
    if (attribution && format.isNumber(attribution.named_share)) {
      found.push(figure("With a name", element("span", { class: "number" }, format.percent(attribution.named_share)), "of resident memory", "named"));
    }
    const highest = Math.max(
      attribution?.rss_bytes ?? 0, ...(timeline?.rss_bytes ?? []), ...capture.phases.map((phase) => phase.peak_rss_bytes ?? 0));
    if (highest > 0) found.push(figure("Resident peak", sized(highest), "highest seen", "rss-peak"));
    return element("dl", { class: "figures" }, found);
  }

  function hero(capture) {
    const { attribution, report, components } = capture;
    const [bytes, what] = attribution
      ? [attribution.rss_bytes, "resident in memory"]
      : [report.current_bytes, "tracked now"];
    const [number, unit] = format.size(bytes).split(" ");
    return element("div", { class: "hero" },
      element("p", { class: "headline", title: format.exactBytes(bytes), "data-figure": "rss" },
        element("b", {}, number), element("span", { class: "unit" }, unit ?? ""), element("span", { class: "what" }, what)),
      attribution ? distribution(components, attribution.rss_bytes || 1) : null);
  }

  function render(target, capture) {
    filled(target,
      heading(capture),
      hero(capture),
      element("ul", { class: "findings" }, findings(capture).map(([tone, text]) => element("li", { class: tone }, format.name(text)))),
      figures(capture));
  }

  return { render, findings, NAMED };
})();
