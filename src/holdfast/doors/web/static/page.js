// What an open screen does by itself: look again when something was committed, keys, selected rows, copying, and work on many jobs bite by bite.
// Without it every screen still works: links, forms and buttons are plain.
"use strict";
(function () {
  const $ = (id) => document.getElementById(id);
  const home = document.body.dataset.home;
  const say = (text) => { $("said").textContent = text; };

  // Colours
  const theme = $("theme");
  const THEMES = ["auto", "light", "dark"];
  function chosen() { return document.documentElement.dataset.theme || "auto"; }
  function paint(name) {
    if (name === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
    try { localStorage.setItem("holdfast-theme", name); } catch (error) { /* storage is switched off: it lasts as long as the screen */ }
    theme.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
    if (window.holdfastPlots) window.holdfastPlots.redraw();
  }
  theme.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[chosen()];
  theme.hidden = false;
  theme.addEventListener("click", () => paint(THEMES[(THEMES.indexOf(chosen()) + 1) % 3]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.holdfastPlots && window.holdfastPlots.redraw());

  // Times are shown in the reader's zone, with UTC when one points at them; without scripts they are UTC.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const day = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short" }), clock = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });
  const zoned = new Intl.DateTimeFormat("en", { timeZoneName: "short" });
  const hour = (at) => clock.format(at) + " " + zoned.formatToParts(at).find((part) => part.type === "timeZoneName").value;
  function times() {
    for (const element of document.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (isNaN(at)) continue;
      const utc = at.toISOString().slice(0, 19).replace("T", " ") + " UTC", here = day.format(at) + " " + hour(at), said = element.textContent;
      const only = /^\d\d:\d\d:\d\d UTC$/.test(said) ? hour(at) : / UTC$/.test(said) ? here : "";
      if (only && only !== said) element.textContent = only;
      element.title = only || here === utc ? utc : here + "\n" + utc;
    }
  }
  times();
  if (!/^(Etc\/)?(UTC|GMT)$/.test(zone)) $("zone").textContent = "times are of " + zone + ", UTC when you point at them";
  const shown = document.querySelector(".top nav [aria-current]");
  if (shown) shown.parentElement.scrollLeft = shown.offsetLeft - shown.parentElement.offsetLeft - 24;

  // Live: the server says that something was committed, and the part of the screen that shows it is fetched anew.
  const live = $("live"), part = () => document.querySelector("[data-live]");
  const POLL_MS = 5000, PLOT_MS = 10000;
  let source = null, timer = null, busy = false, again = false, plotted = Date.now();
  let paused = sessionStorage.getItem("holdfast-paused") === "yes";

  // Somebody is typing or reading, or has typed what is not sent yet: rows may change places, and what was typed would be lost, or stand in the form of another.
  const typed = (field) => field.type !== "checkbox" && field.type !== "hidden" && field.value !== field.defaultValue;
  const held = () => document.querySelector("[data-live] form :focus:not([type=checkbox]), [data-live] details[open]")
    || [...document.querySelectorAll("[data-live] form :is(input, textarea)")].some(typed);
  async function look() {
    if (!part() || !window.htmx || document.querySelector("[data-searched]")) return;
    if (busy) { again = true; return; }
    if (held()) return;
    busy = true;
    try {
      await htmx.ajax("GET", location.pathname + location.search, {
        source: part(), target: "[data-live]", select: "[data-live]", swap: "morph:outerHTML", headers: { "X-Live": "1" },
      });
    } catch (error) { /* the server is away: the next look comes */ }
    if (Date.now() - plotted > PLOT_MS && window.holdfastPlots) { plotted = Date.now(); window.holdfastPlots.refresh(); }
    busy = false;
    if (again) { again = false; setTimeout(look, 500); }
  }
  // What is shown may be old: then it is said, and since when.
  let seen = Date.now();
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.target !== part()) return;
    const stale = $("stale"), status = event.detail.xhr.status;
    if (event.detail.successful) { seen = Date.now(); stale.hidden = true; delete live.dataset.stale; return; }
    stale.textContent = (status ? "The server refused this screen (" + status + ")." : "The server does not answer.") + " Last update: " + hour(new Date(seen)) + ".";
    stale.hidden = false;
    live.dataset.stale = "yes";
  });
  function poll() { if (!timer) timer = setInterval(look, POLL_MS); live.dataset.how = "polling"; }
  function listen() {
    source = new EventSource(home + "/stream");
    source.addEventListener("open", () => { clearInterval(timer); timer = null; live.dataset.how = "stream"; });
    source.addEventListener("change", look);
    source.addEventListener("error", () => { if (source && source.readyState === EventSource.CLOSED) source = null; poll(); });
  }
  function hush() { if (source) source.close(); source = null; clearInterval(timer); timer = null; }
  function set(on) {
    paused = !on;
    sessionStorage.setItem("holdfast-paused", paused ? "yes" : "no");
    live.setAttribute("aria-pressed", String(on));
    live.textContent = on ? "Live" : "Paused";
    hush();
    if (on && !document.hidden) { listen(); }
  }
  if (part()) {
    live.hidden = false;
    live.addEventListener("click", () => { set(paused); say(paused ? "Live updates are paused." : "Live updates are on."); if (!paused) look(); });
    document.addEventListener("visibilitychange", () => { if (document.hidden) hush(); else if (!paused) { listen(); look(); } });
    set(!paused);
  }
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target === part() && held()) event.detail.shouldSwap = false; // begun while the answer was on its way
    if (event.detail.xhr.status >= 400 && event.detail.target.id === "tested") event.detail.shouldSwap = true;
  });

  // What is ticked stays ticked when the rows are fetched anew, and what was loaded into a screen stays loaded.
  if (window.Idiomorph) {
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (node) => !(node.matches && node.matches("[data-keep]"));
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(node.matches && node.matches("input[type=checkbox]") && (name === "checked" || name === "disabled"));
  }
  function count() {
    const rows = document.querySelectorAll("#rows-form input[name=ids]"), all = $("pick-all");
    if (!$("picked")) return;
    const picked = [...rows].filter((box) => box.checked).length;
    $("picked").textContent = all.checked ? "all that match" : picked ? picked + " selected" : "";
    $("pick-page").checked = rows.length > 0 && picked === rows.length;
    rows.forEach((box) => { box.disabled = all.checked; });
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "pick-page") document.querySelectorAll("#rows-form input[name=ids]").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.closest && event.target.closest("#rows-form")) count();
  });
  document.addEventListener("htmx:afterSettle", () => { times(); count(); mark(at, false); });
  count();

  // A list that has too few, because only so many jobs are looked at for one answer, is searched on until it is full, there are no more, or it is
  // stopped. It stays as it is then: what was found is more than the one answer at its address.
  async function search(pager) {
    let stopped = false, missing = Number(pager.dataset.missing);
    document.body.dataset.searched = ""; // no live update takes its place meanwhile
    pager.addEventListener("click", (event) => { if (event.target.id === "search-stop") { stopped = true; event.target.hidden = true; } });
    while (!stopped && missing > 0 && "search" in pager.dataset) {
      if (document.hidden) await new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }));
      $("search-stop").hidden = false;
      $("next-page").hidden = true;
      let came;
      try {
        const answer = await fetch($("next-page").href, { headers: { "X-Live": "1" } });
        if (!answer.ok) break;
        came = new DOMParser().parseFromString(await answer.text(), "text/html");
      } catch (error) { break; /* the server is away: the link is still there */ }
      const rows = came.querySelectorAll("#found tbody tr"), list = document.querySelector("#found tbody");
      missing -= rows.length;
      if (list) rows.forEach((row) => list.append(document.importNode(row, true)));
      else $("found").replaceChildren(...document.importNode(came.getElementById("found"), true).childNodes);
      if (stopped) came.querySelectorAll("#search-stop").forEach((button) => { button.hidden = true; });
      const next = came.getElementById("pager");
      pager.replaceChildren(...document.importNode(next, true).childNodes);
      if ("search" in next.dataset) pager.dataset.search = ""; else delete pager.dataset.search;
      count();
    }
    if ($("search-stop")) { $("search-stop").hidden = true; $("next-page").hidden = false; }
    say(stopped ? "The search was stopped." : "The search has ended: " + document.querySelectorAll("#found tbody tr").length + " jobs.");
  }
  const pager = document.querySelector("[data-search]");
  if (pager) search(pager);

  // Copying works on plain HTTP too, where there is no clipboard to write to.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const element = $(button.dataset.copy), range = document.createRange(), picked = getSelection();
    const done = () => { say("Copied."); button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
    if (navigator.clipboard && isSecureContext) { navigator.clipboard.writeText(element.textContent).then(done, () => say("Copying failed.")); return; }
    range.selectNodeContents(element); picked.removeAllRanges(); picked.addRange(range);
    if (document.execCommand("copy")) done();
  });

  // After a refusal: back to the form, in which the browser keeps what was typed
  const back = $("back");
  if (back && history.length > 1) { back.hidden = false; back.addEventListener("click", () => history.back()); }

  // Keys
  const PLACES = { o: "", j: "/jobs", f: "/failures", w: "/workers", i: "/interests", s: "/schedules", b: "/operations", t: "/batches", u: "/budgets", e: "/enqueue", a: "/audit" };
  const help = $("help");
  let at = -1, going = 0;
  $("help-open").hidden = false;
  $("help-open").addEventListener("click", () => help.showModal());
  function rows() { return [...document.querySelectorAll("[data-row]")]; }
  function mark(index, focus) {
    const all = rows();
    all.forEach((row, number) => row.classList.toggle("at", number === index));
    if (all[index] && focus) { const link = all[index].querySelector("th a, a"); if (link) link.focus(); all[index].scrollIntoView({ block: "nearest" }); }
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) { if (event.key === "Escape") event.target.blur(); return; }
    if (Date.now() - going < 1500 && event.key in PLACES) { going = 0; location.href = home + PLACES[event.key]; return; }
    const all = rows();
    switch (event.key) {
      case "/": event.preventDefault(); $("find").focus(); break;
      case "g": going = Date.now(); break;
      case "j": at = Math.min(at + 1, all.length - 1); mark(at, true); break;
      case "k": at = Math.max(at - 1, 0); mark(at, true); break;
      case "x": { const box = all[at] && all[at].querySelector("input[name=ids]"); if (box) { box.checked = !box.checked; count(); } break; }
      case "Enter": if (all[at] && all[at].dataset.href && event.target === document.body) location.href = all[at].dataset.href; break;
      case "p": if (!live.hidden) live.click(); break;
      case "t": theme.click(); break;
      case "?": help.showModal(); break;
    }
  });
})();
