// The form of a connection: the port follows the encryption until somebody changes it, and a provider's link takes
// along what was typed already. Secrets never go into an address. The page of a check: its outcome is announced.
(() => {
  "use strict";

  const USUAL_PORTS = { implicit_tls: "465", starttls: "587", auto: "587", none: "25" };
  const TAKEN_ALONG = ["name", "from_address", "display_name"];

  const followEncryption = ({ security, port }) => {
    let before = security.value;
    const follow = () => {
      const isUntouched = port.value.trim() === "" || port.value.trim() === USUAL_PORTS[before];
      if (isUntouched) port.value = USUAL_PORTS[security.value];
      before = security.value;
    };
    security.addEventListener("change", follow);
    if (port.value.trim() === "") follow();
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
