// The form of a connection: the port follows the encryption until somebody changes it, and a provider's link takes
// along what was typed already. Secrets never go into an address.
(() => {
  "use strict";

  const USUAL_PORTS = { implicit_tls: "465", starttls: "587", auto: "587", none: "25" };
  const TAKEN_ALONG = ["name", "from_address", "display_name"];

  const form = document.getElementById("connection-form");
  if (!form) return;
  const { security, port } = form.elements;
  let before = security.value;

  const follow = () => {
    const isUntouched = port.value.trim() === "" || port.value.trim() === USUAL_PORTS[before];
    if (isUntouched) port.value = USUAL_PORTS[security.value];
    before = security.value;
  };

  security.addEventListener("change", follow);
  if (port.value.trim() === "") follow();

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-preset]");
    if (!link) return;
    const target = new URL(link.href);
    for (const name of TAKEN_ALONG) {
      if (form.elements[name].value) target.searchParams.set(name, form.elements[name].value);
    }
    link.href = target.href;
  });
})();
