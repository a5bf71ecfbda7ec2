// Resolves the theme "auto" before anything is drawn, and follows the device when it changes.
(() => {
  const root = document.documentElement;
  if (root.dataset.theme !== "auto") return;
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { root.dataset.bsTheme = isDark.matches ? "dark" : "light"; };
  isDark.addEventListener("change", apply);
  apply();
})();
