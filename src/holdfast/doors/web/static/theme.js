// Before anything is drawn: the colours that were chosen, if any were.
"use strict";
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("holdfast-theme"); } catch (error) { /* storage is switched off: follow the system */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
