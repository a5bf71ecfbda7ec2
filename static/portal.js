// What every page may use and HTML cannot do alone. Everything works without it, only less comfortably.
(() => {
  "use strict";

  // Buttons that need script stand hidden in the page.
  const reveal = (root) => root.querySelectorAll("[data-show][hidden], [data-copy][hidden]").forEach((button) => {
    button.hidden = false;
  });

  const toggleShown = (button) => {
    const field = document.getElementById(button.dataset.show);
    const isShown = field.type === "text";
    field.type = isShown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!isShown));
  };

  const copy = async (button) => {
    const field = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    const before = label.textContent;
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      if (!document.execCommand("copy")) return;  // no clipboard without https: the text stays selected
    }
    label.textContent = button.dataset.copied;
    announce(button.dataset.copied);
    setTimeout(() => { label.textContent = before; }, 2000);
  };

  const announce = (text) => {
    let region = document.getElementById("announcement");
    if (!region) {
      region = Object.assign(document.createElement("div"), { id: "announcement", className: "visually-hidden" });
      region.setAttribute("role", "status");
      document.body.append(region);
    }
    region.textContent = text;
  };

  const dirty = new Set();

  const markDirty = (form, isDirty) => {
    if (isDirty) dirty.add(form); else dirty.delete(form);
    form.querySelectorAll("[data-unsaved] .unsaved-text").forEach((text) => { text.hidden = !isDirty; });
  };

  const focusErrors = () => {
    const summary = document.querySelector("[data-error-summary]");
    if (!summary) return;
    summary.focus();
    const form = summary.closest("form[data-guard]") ?? document.querySelector("form[data-guard]");
    if (form) markDirty(form, true);  // what was refused is not saved either
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-show], [data-copy]");
    if (!button) return;
    if (button.dataset.show) toggleShown(button); else copy(button);
  });

  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-guard]");
    if (form) markDirty(form, true);
  });

  // A shown password goes back to dots before the browser may remember it as an ordinary text.
  document.addEventListener("submit", (event) => {
    event.target.querySelectorAll("[data-show][aria-pressed=true]").forEach(toggleShown);
    markDirty(event.target, false);
  });

  document.addEventListener("reset", (event) => markDirty(event.target, false));

  addEventListener("beforeunload", (event) => {
    if ([...dirty].some((form) => form.isConnected)) event.preventDefault();
  });

  // Only a refused form may take the focus, not a part of the page that refreshes itself.
  document.addEventListener("htmx:after:swap", (event) => {
    reveal(document);
    if (event.detail?.ctx?.response?.status === 422) focusErrors();
  });

  reveal(document);
  focusErrors();
})();
