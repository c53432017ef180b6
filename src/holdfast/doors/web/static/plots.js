// The plots: columns of numbers from the server, drawn by uPlot. They follow the colours of the page.
"use strict";
(function () {
  const PLOTS = {
    rates: { series: [["Enqueued", "in", "--fill"], ["Completed", "out", "--good"], ["Failed", "failed", "--full"]], unit: perSecond },
    depth: { series: [["Unfinished", "depth", "--fill"]], unit: count },
    wait: { series: [["p50", "wait_p50", "--fill"], ["p95", "wait_p95", "--high"]], unit: span },
    run: { series: [["p50", "run_p50", "--fill"], ["p95", "run_p95", "--high"]], unit: span },
  };
  const HEIGHT = 165, LEGEND = 22;
  const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE; // ticks that are read without reckoning
  const SPANS = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat(
    [1, 2, 5, 10, 20, 30].map((n) => n * SECOND), [1, 2, 5, 10, 20, 30].map((n) => n * MINUTE), [1, 2, 4, 6, 12, 24, 48, 96, 240, 720].map((n) => n * HOUR));

  function trim(number) { return String(+number.toPrecision(3)); }
  function count(value) {
    if (value == null) return "–";
    return value >= 1e6 ? trim(value / 1e6) + "M" : value >= 1e4 ? trim(value / 1e3) + "k" : trim(value);
  }
  function perSecond(value) { return value == null ? "–" : count(value); }
  function span(ms) {
    if (ms == null) return "–";
    if (ms < 1000) return trim(ms) + " ms";
    if (ms < 60000) return trim(ms / 1000) + " s";
    if (ms < 3600000) return trim(ms / 60000) + " min";
    return trim(ms / 3600000) + " h";
  }
  const local = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });
  const clock = (seconds) => local.format(new Date(seconds * 1e3)); // in the reader's zone
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  function options(kind, width) {
    const plot = PLOTS[kind], muted = colour("--muted"), grid = { stroke: colour("--line-soft"), width: 1 };
    return {
      width: width, height: HEIGHT - LEGEND, pxAlign: 0,
      legend: { live: true }, cursor: { y: false, drag: { x: false, y: false } },
      hooks: { ready: [latest], setData: [latest], setCursor: [(plot) => { if (plot.cursor.idx == null) latest(plot); else plot.root.classList.remove("latest"); }] },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { stroke: muted, grid: grid, ticks: grid, font: "11px system-ui", size: 26, space: 64,
          values: (_, ticks) => ticks.map((at) => clock(at).slice(0, ticks.some((one) => one % 60) ? 8 : 5)) },
        Object.assign({ stroke: muted, grid: grid, ticks: grid, font: "11px system-ui", size: 60, values: (_, ticks) => ticks.map(plot.unit) }, plot.unit === span ? { incrs: SPANS } : {}),
      ],
      series: [{ label: "at", value: (_, at) => at == null ? "–" : clock(at) }].concat(
        plot.series.map(([label, , name]) => ({
          label: label, stroke: colour(name), width: 1.5, spanGaps: false, points: { show: plot.unit === span ? true : undefined, size: 4, fill: colour(name) }, value: (_, value) => plot.unit(value),
        }))),
    };
  }

  function latest(plot) { // while nobody points at another moment
    plot.root.classList.add("latest");
    plot.setLegend({ idx: plot.data[0].length - 1 }, false);
  }

  function none(element, text) {
    element.replaceChildren();
    const words = document.createElement("p");
    words.className = "none"; words.textContent = text;
    element.append(words);
  }

  function draw(box, data) {
    for (const element of box.querySelectorAll("[data-plot]")) {
      const plot = PLOTS[element.dataset.plot];
      const columns = [data.at].concat(plot.series.map(([, key]) => data[key]));
      const known = columns.slice(1).some((column) => column.some((value) => value != null));
      if (data.at.length < 2 || !known) {
        if (element.uplot) { element.uplot.destroy(); element.uplot = null; }
        none(element, data.at.length < 2 ? "No history yet." : "No data in this time range.");
        continue;
      }
      if (element.uplot) { element.uplot.setData(columns); continue; }
      element.replaceChildren();
      element.uplot = new uPlot(options(element.dataset.plot, element.clientWidth), columns, element);
    }
  }

  async function load(box) {
    const span = box.querySelector('[data-span][aria-pressed="true"]').dataset.span;
    const url = new URL(box.dataset.plots, location.href);
    url.searchParams.set("span", span);
    try {
      const answer = await fetch(url, { headers: { accept: "application/json" } });
      if (answer.ok) draw(box, await answer.json());
    } catch (error) { /* the server is away: the next look comes */ }
  }

  function begin(box) {
    for (const button of box.querySelectorAll("[data-span]")) {
      button.addEventListener("click", () => {
        for (const other of box.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", String(other === button));
        forget(box); load(box);
      });
    }
    load(box);
  }

  function forget(box) {
    for (const element of box.querySelectorAll("[data-plot]")) if (element.uplot) { element.uplot.destroy(); element.uplot = null; }
  }

  const boxes = () => document.querySelectorAll("[data-plots]");
  window.holdfastPlots = {
    refresh() { boxes().forEach(load); },
    redraw() { boxes().forEach((box) => { forget(box); load(box); }); },
  };
  boxes().forEach(begin);
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; window.holdfastPlots.redraw(); } });
})();
