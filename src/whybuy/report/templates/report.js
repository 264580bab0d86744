"use strict";
// Draws the figures of the page, gives them the ink of the theme and the layout of the width, and filters the list.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [...document.querySelectorAll(".plot")];
  const config = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
  const NARROW = 560;

  const ink = () => {
    const css = getComputedStyle(document.documentElement);
    const of = (name) => css.getPropertyValue(name).trim();
    return { ink: of("--ink"), muted: of("--muted"), line: of("--line"), surface: of("--surface") };
  };

  const dressed = (figure, width) => {
    const layout = structuredClone(figure.layout);
    const color = ink();
    layout.font = { ...layout.font, color: color.ink };
    const axes = Object.keys(layout).filter((key) => /^[xy]axis/.test(key));
    for (const axis of new Set(["xaxis", "yaxis", ...axes])) {
      layout[axis] = { ...layout[axis], gridcolor: color.line, linecolor: color.line, zerolinecolor: color.muted };
    }
    layout.hoverlabel = {
      ...layout.hoverlabel, bgcolor: color.surface, bordercolor: color.muted,
      font: { ...layout.hoverlabel?.font, color: color.ink },
    };
    if (width < NARROW) {
      layout.font.size = 12;
      for (const [key, value] of Object.entries((layout.meta && layout.meta.narrow) || {})) {
        const [first, second] = key.split(".");
        if (second) layout[first] = { ...layout[first], [second]: value };
        else layout[first] = value;
      }
    }
    return layout;
  };

  const draw = (div) => {
    const width = div.clientWidth;
    if (!width) return; // inside a closed <details>: drawn when it opens
    const figure = (div.figure ??= JSON.parse(document.getElementById(`plot-${div.dataset.plot}`).textContent));
    div.wasNarrow = width < NARROW;
    Plotly.react(div, figure.data, dressed(figure, width), config);
  };

  plots.forEach(draw);
  dark.addEventListener("change", () => plots.forEach(draw));
  addEventListener("resize", () => {
    for (const div of plots) if (div.clientWidth && div.wasNarrow !== div.clientWidth < NARROW) draw(div);
  });
  document.querySelectorAll("details").forEach((details) => {
    details.addEventListener("toggle", () => details.querySelectorAll(".plot").forEach(draw));
  });

  const open = () => {
    const target = location.hash.startsWith("#effect-") && document.getElementById(location.hash.slice(1));
    if (target) { target.hidden = false; target.open = true; target.scrollIntoView({ block: "start" }); }
  };
  addEventListener("hashchange", open);
  open();

  const chips = document.querySelector(".chips");
  if (chips) {
    chips.hidden = false;
    chips.addEventListener("click", (event) => {
      const chip = event.target.closest("button");
      if (!chip) return;
      for (const other of chips.children) other.setAttribute("aria-pressed", String(other === chip));
      document.querySelectorAll(".list > details").forEach((row) => {
        row.hidden = chip.dataset.verdict !== "" && row.dataset.verdict !== chip.dataset.verdict;
      });
    });
  }
})();
