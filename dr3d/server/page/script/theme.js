/** Light, dark, or as the system has it. */

const KEY = "dr3d-theme";
const NEXT = { "": "light", light: "dark", dark: "" };
const WORDS = { "": "as the system", light: "light", dark: "dark" };
const SIGNS = { "": "◐", light: "☀", dark: "☾" };

/** Lets a button change the theme. */
export function attach(button) {
  const root = document.documentElement;
  const describe = () => {
    const theme = root.dataset.theme ?? "";
    button.textContent = SIGNS[theme];
    const text = `Theme: ${WORDS[theme]}`;
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
      // It lasts until the page is left.
    }
    describe();
  });
  describe();
}
