// Runs before the first paint, so that a chosen theme does not flash.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("dr3d-theme");
  } catch {
    // Storage is blocked: the theme of the system applies.
  }
  if (theme) document.documentElement.dataset.theme = theme;
})();
