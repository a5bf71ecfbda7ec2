// Passkeys (Web Authentication). A form with `data-passkey` stands hidden in the page; it is shown where the browser
// knows passkeys. Sent, it asks the portal for a challenge, the browser for the answer, and carries the answer along.

const RENEW_MS = 4 * 60 * 1000; // a challenge holds for ten minutes
let waiting = null; // for a passkey chosen in the list of the address field

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));

const toText = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const withBytes = (credentials) => (credentials ?? []).map((one) => ({ ...one, id: toBytes(one.id) }));

const challengeFor = async (form) => {
  const answer = await fetch(form.dataset.passkeyOptions, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": form.elements.csrf_token.value },
  });
  if (answer.redirected || answer.status === 404) location.reload(); // the password is asked for first, or all over again
  if (!answer.ok || answer.redirected) throw new Error(answer.status === 429 ? "busy" : "failed");
  const options = await answer.json();
  const asked = { ...options, challenge: toBytes(options.challenge) };
  if (options.user) {
    asked.user = { ...options.user, id: toBytes(options.user.id) };
    asked.excludeCredentials = withBytes(options.excludeCredentials);
  } else {
    asked.allowCredentials = withBytes(options.allowCredentials);
  }
  return asked;
};

const spelled = ({ id, rawId, type, response }) => {
  const parts = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) parts[name] = toText(response[name]);
  }
  if (response.getTransports) parts.transports = response.getTransports();
  return JSON.stringify({ id, rawId: toText(rawId), type, response: parts });
};

const send = (form, credential) => {
  form.elements.credential.value = spelled(credential);
  form.submit();
};

const tell = (form, error) => {
  const region = form.querySelector("[data-passkey-error]");
  const words = region.dataset;
  if (error.name === "InvalidStateError") region.textContent = words.known;
  else if (error.name === "NotAllowedError" || error.name === "AbortError") region.textContent = words.cancelled;
  else region.textContent = error.message === "busy" ? words.busy : words.failed;
  region.hidden = false;
};

const ask = async (form) => {
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  form.querySelector("[data-passkey-error]").hidden = true;
  waiting?.abort();
  try {
    const publicKey = await challengeFor(form);
    const isNew = form.dataset.passkey === "create";
    send(form, await (isNew ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey })));
  } catch (error) {
    tell(form, error);
    button.disabled = false;
  }
};

// The list that the browser offers in the address field holds passkeys as well; whoever takes none notices nothing.
const offerInField = async (form) => {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const mine = waiting = new AbortController();
  const renewal = setTimeout(() => { mine.abort(); offerInField(form); }, RENEW_MS);
  try {
    const publicKey = await challengeFor(form);
    if (mine.signal.aborted) return;
    send(form, await navigator.credentials.get({ publicKey, mediation: "conditional", signal: mine.signal }));
  } catch {
    if (waiting !== mine || !mine.signal.aborted) clearTimeout(renewal);
  }
};

if (window.PublicKeyCredential && navigator.credentials) {
  document.querySelectorAll("[data-passkey-unknown]").forEach((text) => { text.hidden = true; });
  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (form.reportValidity()) ask(form);
    });
    if (form.dataset.passkey === "field") offerInField(form);
  });
}
