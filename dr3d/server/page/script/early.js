// Runs before the first paint, so that a chosen theme does not flash.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("dr3d-theme");
  } catch {
    // A browser that keeps nothing shows its own theme.
  }
  if (theme) document.documentElement.dataset.theme = theme;
})();
