// The proof of work of a form: looks for a number whose SHA-256 with the form's challenge begins with so many zero
// bits. Hashed here and not by WebCrypto, which plain http lacks and which answers each hash by a promise.
// The page loads this file, and this file starts itself once more as a worker, so that the page stays quick.
(() => {
  "use strict";

  const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
  const primes = [];
  for (let number = 2; primes.length < 64; number += 1) {
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  }
  const K = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
  const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const W = new Int32Array(64);

  // One block of SHA-256 (FIPS 180-4, 6.2.2).
  const compress = (state, bytes, offset) => {
    for (let t = 0; t < 16; t += 1) {
      const at = offset + 4 * t;
      W[t] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    for (let t = 16; t < 64; t += 1) {
      const x = W[t - 15];
      const y = W[t - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      W[t] = (W[t - 16] + s0 + W[t - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 64; t += 1) {
      const S1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + S1 + ((e & f) ^ (~e & g)) + K[t] + W[t]) | 0;
      const S0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (S0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  };

  // The text's beginning is hashed once; what changes is the last block or two.
  const search = (challenge, bits) => {
    const prefix = new TextEncoder().encode(`${challenge}:`);
    const whole = prefix.length - (prefix.length % 64);
    const begun = START.slice();
    for (let offset = 0; offset < whole; offset += 64) compress(begun, prefix, offset);
    const rest = prefix.subarray(whole);
    const block = new Uint8Array(128);
    const state = new Int32Array(8);
    for (let number = 0; ; number += 1) {
      const digits = String(number);
      const length = rest.length + digits.length;
      const size = length < 56 ? 64 : 128;
      block.fill(0);
      block.set(rest);
      for (let at = 0; at < digits.length; at += 1) block[rest.length + at] = digits.charCodeAt(at);
      block[length] = 0x80;
      new DataView(block.buffer).setUint32(size - 4, 8 * (whole + length));
      state.set(begun);
      compress(state, block, 0);
      if (size === 128) compress(state, block, 64);
      if (state[0] >>> (32 - bits) === 0) return digits;
    }
  };

  if (typeof document === "undefined") {
    self.addEventListener("message", ({ data }) => self.postMessage(search(data.challenge, data.bits)));
    return;
  }

  const source = document.currentScript.src;

  const solve = (box) => {
    const form = box.closest("form");
    const answer = box.querySelector("[name=captcha_answer]");
    const status = box.querySelector("[role=status]");
    const { challenge, bits, working, ready, failed } = box.dataset;
    let isWanted = false;
    let hasFailed = false;
    status.textContent = working;
    const worker = new Worker(source);
    worker.addEventListener("message", ({ data }) => {
      answer.value = data;
      status.textContent = ready;
      worker.terminate();
      if (isWanted) form.requestSubmit();
    });
    worker.addEventListener("error", () => {
      status.textContent = failed;
      hasFailed = true;
    });
    worker.postMessage({ challenge, bits: Number(bits) });
    form.addEventListener("submit", (event) => {
      if (answer.value || hasFailed) return;
      event.preventDefault();  // it is sent as soon as the number is found
      isWanted = true;
    });
  };

  document.querySelectorAll("[data-captcha]").forEach(solve);
})();
