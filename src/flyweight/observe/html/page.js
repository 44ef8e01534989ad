"use strict";

// Puts the parts in their places. When all stand, the page says so: data-ready on the root, with the time it took.
flyweight.page = (() => {
  const { element } = flyweight.elements;
  const PARTS = [
    ["summary", [flyweight.summary.render]],
    ["timeline", [flyweight.timeline.render]],
    ["resident", [flyweight.treemap.render, flyweight.sections.rows]],
    ["calls", [flyweight.icicleView.render]],
    ["leaks", [flyweight.leaks.render]],
    ["sites", [flyweight.sections.sites]],
    ["phases", [flyweight.sections.phases]],
    ["queries", [flyweight.sections.queries]],
    ["budgets", [flyweight.sections.budgets]],
  ];

  /** One part that fails leaves the others standing, and says so in its place. */
  function fill(name, renders, capture) {
    const target = document.querySelector(`#${name} .content`);
    for (const render of renders) {
      try {
        render(target, capture);
      } catch (error) {
        target.append(element("p", { class: "fault" }, `This part could not be drawn: ${error.message}`));
        console.error(error);
      }
    }
  }

  /** The link of the part that is being read is marked. */
  function followReader() {
    const links = new Map([...document.querySelectorAll("nav.parts a")].map((link) => [link.hash.slice(1), link]));
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-20% 0px -70% 0px" });
    for (const [name] of PARTS) observer.observe(document.getElementById(name));
  }

  /** Components outnumber colours: those of the first pictures get the first, with the program's own among them. */
  function assignColours({ components, timeline, sites, frames }) {
    flyweight.palette.assign([
      ...components.slice(0, flyweight.summary.NAMED).map((component) => component.name),
      "program",
      ...flyweight.timeline.layers(timeline).shown.map((layer) => layer.name),
      ...components.map((component) => component.name),
      ...Object.keys(timeline?.components ?? {}),
      ...sites.map((site) => site.component ?? ""),
      ...frames.map((frame) => frame.component),
    ]);
  }

  function open() {
    const capture = flyweight.capture.read(document.getElementById("capture").textContent);
    flyweight.shown = capture;
    assignColours(capture);
    for (const [name, renders] of PARTS) fill(name, renders, capture);
    followReader();
    // On paper nothing can be opened.
    addEventListener("beforeprint", () => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    document.documentElement.dataset.readyMs = performance.now().toFixed(1);
    document.documentElement.dataset.ready = "true";
  }

  return { open };
})();

flyweight.page.open();
