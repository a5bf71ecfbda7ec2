// The form of a connection: each method keeps what stands in the fields that it shares with others; the port follows the encryption until somebody changes it, and a provider's link takes
// along what was typed already. Secrets never go into an address. The page of a check: its outcome is announced.
(() => {
  "use strict";

  const USUAL_PORTS = { implicit_tls: "465", starttls: "587", auto: "587", none: "25" };
  const TAKEN_ALONG = ["name", "from_address", "display_name"];

  const followEncryption = ({ security, port, security_before: shown }) => {
    shown.disabled = true; // the server need not let the port follow
    let before = security.value;
    const follow = () => {
      const isUntouched = port.value.trim() === "" || port.value.trim() === USUAL_PORTS[before];
      if (isUntouched) port.value = USUAL_PORTS[security.value];
      before = security.value;
    };
    security.addEventListener("change", follow);
    security.form.addEventListener("change", (event) => {
      if (event.target.name === "method") before = security.value;
    });
    if (port.value.trim() === "") follow();
  };

  // A button of a group is chosen by its value; a box is ticked; all else is text.
  const read = (control) => (control.type === "checkbox" ? control.checked : control.value);
  const write = (control, value) => {
    if (control.type === "checkbox") control.checked = value; else control.value = value;
  };

  const requireFor = (control, isRequired) => {
    control.required = isRequired;
    control.labels[0].classList.toggle("is-required", isRequired);
  };

  const NEED_MAILBOX = ["microsoft_app", "google_service_account"];

  // What is stored for one method is neither kept nor removed for another.
  const showSecrets = (form, held) => {
    for (const radio of form.querySelectorAll(".secret-actions input[value=keep]")) {
      const isHeld = held.includes(radio.name.replace(/_action$/, ""));
      radio.closest(".secret").classList.toggle("is-other", !isHeld);
      form.elements[radio.name].value = isHeld ? "keep" : "replace";
    }
  };

  const keepByMethod = (form) => {
    const settings = JSON.parse(form.dataset.settings);
    const held = JSON.parse(form.dataset.held);
    const { method, method_shown: shown } = form.elements;
    let before = method.value;
    form.addEventListener("change", (event) => {
      if (event.target.name !== "method") return;
      if (settings[before]) {
        for (const name of Object.keys(settings[before])) settings[before][name] = read(form.elements[name]);
      }
      before = method.value;
      shown.value = before;
      for (const [name, value] of Object.entries(settings[before] ?? {})) write(form.elements[name], value);
      showSecrets(form, held[before] ?? []);
      requireFor(form.elements.host, before === "smtp");
      requireFor(form.elements.mailbox, NEED_MAILBOX.includes(before));
    });
  };

  const takeAlong = (link, fields) => {
    const target = new URL(link.href);
    for (const name of TAKEN_ALONG) {
      if (fields[name].value) target.searchParams.set(name, fields[name].value);
    }
    link.href = target.href;
  };

  const form = document.getElementById("connection-form");
  if (form) {
    keepByMethod(form);
    followEncryption(form.elements);
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-preset]");
      if (link) takeAlong(link, form.elements);
    });
  }

  // The outcome arrives with its element, which screen readers pass over; a region that stood before is read out.
  document.addEventListener("htmx:after:swap", () => {
    const outcome = document.querySelector("#check.is-finished [data-outcome]");
    const region = document.getElementById("check-outcome");
    if (outcome && region) region.textContent = outcome.innerText.trim().replace(/\s+/g, " ");
  });
})();
