/** The theme: light, dark, or that of the system. */

const KEY = "dr3d-theme";
const NEXT = { "": "light", light: "dark", dark: "" };
const NAMES = { "": "system", light: "light", dark: "dark" };
const ICONS = { "": "◐", light: "☀", dark: "☾" };

/** Makes a button change the theme. */
export function attach(button) {
  const root = document.documentElement;
  const describe = () => {
    const theme = root.dataset.theme ?? "";
    button.textContent = ICONS[theme];
    const text = `Theme: ${NAMES[theme]}`;
    button.title = text;
    button.setAttribute("aria-label", text);
  };
  button.addEventListener("click", () => {
    const theme = NEXT[root.dataset.theme ?? ""];
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // Storage is blocked: the theme lasts until reload.
    }
    describe();
  });
  describe();
}
