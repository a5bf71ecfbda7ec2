// Consent in a window of its own. The form follows what is stored, never the window: a provider may cut it off, and a
// window that was closed proves nothing. Without script, or where windows are blocked, the same window goes there.
(() => {
  "use strict";

  const WINDOW = "connect-popup";
  const WIDTH = 520;
  const HEIGHT = 720;
  const CLOSES_AFTER_MS = 1500;

  // Between windows of this portal alone, and without any news in it: whoever hears it asks the server.
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("portal-consent") : null;

  const follow = (address) => {
    const region = document.getElementById("consent-state");
    if (region) htmx.ajax("GET", address, { target: region, swap: "outerHTML" });
  };

  const lookAgain = () => {
    const region = document.querySelector("[data-consent-status]");
    if (region) follow(region.dataset.consentStatus);
  };

  // What was shown already counts no more: the next start is waited for.
  const statusOfTheNext = (button) => {
    const address = new URL(button.dataset.connect, location.href);
    const shown = document.querySelector("[data-consent-flow]");
    if (shown) address.searchParams.set("after", shown.dataset.consentFlow);
    return address.pathname + address.search;
  };

  const openWindow = () => {
    const left = Math.max(0, Math.round(screenX + (outerWidth - WIDTH) / 2));
    const top = Math.max(0, Math.round(screenY + (outerHeight - HEIGHT) / 2));
    return window.open("", WINDOW, `popup,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`);
  };

  // What is plainly missing the browser says itself: no window opens, and secrets that were typed stay. All else the
  // server judges, which knows more of addresses than a browser does.
  const missingIn = (form) => [...form.elements].find((control) => {
    const isShown = control.checkVisibility?.() ?? control.offsetParent !== null;
    return isShown && control.validity?.valueMissing;
  });

  const connect = (button) => {
    const address = button.getAttribute("formaction");
    const opened = openWindow();
    if (!opened) return; // blocked: the button goes there in this window
    button.formTarget = WINDOW;
    const target = new URL(address, location.href);
    target.searchParams.set("popup", "1");
    button.formAction = target.pathname + target.search;
    setTimeout(() => { // once the form is on its way
      button.removeAttribute("formtarget");
      button.setAttribute("formaction", address);
    });
    opened.focus();
    follow(statusOfTheNext(button));
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-connect]");
    const missing = button && missingIn(button.form);
    if (missing) {
      event.preventDefault();
      missing.reportValidity();
    }
    if (button && !event.defaultPrevented) connect(button);
    if (event.target.closest("[data-close-window]")) window.close();
  });

  channel?.addEventListener("message", lookAgain);

  // The outcome arrives with its element, which screen readers pass over; a region that stood before is read out.
  document.addEventListener("htmx:after:swap", () => {
    const outcome = document.querySelector("#consent-state [data-outcome]");
    const region = document.getElementById("consent-outcome");
    if (outcome && region) region.textContent = outcome.innerText.trim().replace(/\s+/g, " ");
  });

  const result = document.querySelector("[data-consent-result]");
  if (result) channel?.postMessage("look again");
  if (result?.dataset.consentResult === "done") setTimeout(() => window.close(), CLOSES_AFTER_MS);
  document.querySelectorAll("[data-close-window]").forEach((button) => { button.hidden = false; });
})();
