/* Applied before anything is drawn, so that a page does not flash in the other theme. */
(function () {
  "use strict";
  var kept = null;
  try {
    kept = window.localStorage.getItem("fpbench-theme");
  } catch (error) {
    kept = null; // Storage can be switched off; then the system's theme holds.
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
