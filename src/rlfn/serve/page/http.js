/** The backend that sends pictures to an rlfn server; page.js defines the interface. */

const sleep = (seconds, signal) => new Promise((resolve, reject) => {
  const stop = () => reject(new DOMException("Cancelled", "AbortError"));
  if (signal?.aborted) stop();
  const timer = setTimeout(resolve, seconds * 1000);
  signal?.addEventListener("abort", () => { clearTimeout(timer); stop(); }, { once: true });
});

const UNREACHABLE = "The server does not respond. Check that it is running, and try again.";
const TRIES = 20;

/** Yield { event, data } from a stream of server-sent events. */
export async function* serverEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const found = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const [, name, rest] = line.match(/^(\w+): ?(.*)$/) ?? [];
        if (name === "event" || name === "data") found[name] = rest;
      }
      if (found.data) yield found;
    }
  }
}

/** Wait for a promise or for the signal's abort; a value that arrives after the abort is passed to late(). */
function unless(signal, promise, late) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      reject(new DOMException("Cancelled", "AbortError"));
      promise.then(late, () => {});
    };
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

export class HttpBackend {
  /** key: () => the API key; keyNeeded: called when the server requires one; offered: called with its capabilities. */
  constructor({ key = () => "", keyNeeded = () => {}, offered = () => {}, base = "" } = {}) {
    Object.assign(this, { key, keyNeeded, offered, base });
  }

  async offer() {
    const offer = await (await this.#call("v1/models")).json();
    this.offered(offer);
    // one is uploaded while another is processed
    return { families: offer.families, formats: offer.formats, atOnce: offer.limits.at_once + 1, limits: offer.limits };
  }

  async run(file, options, { onState, signal }) {
    const job = await this.#submit(file, options, { onState, signal });
    const address = `v1/jobs/${job.id}`;
    try {
      const last = await this.#follow(address, job, { onState, signal });
      if (last.status !== "done") throw new Error(last.problem?.detail ?? "The server cancelled the job. Try again.");
      const response = await this.#call(`${address}/result`, { signal });
      return this.#result(last.details, await response.blob());
    } catch (error) {
      if (signal.aborted) {
        this.#drop(job);
        throw new DOMException("Cancelled", "AbortError");
      }
      throw error;
    }
  }

  /** Cancel a job that is no longer wanted. */
  #drop(job) {
    this.#call(`v1/jobs/${job.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  /** Submit the picture; when the server has no room, wait for its Retry-After. */
  async #submit(file, options, { onState, signal }) {
    const key = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    for (let round = 1; ; round++) {
      const form = new FormData();
      for (const [name, value] of Object.entries(options)) if (value !== undefined) form.append(name, String(value));
      form.append("picture", file);
      onState({ stage: "waiting", share: 0 });
      try {
        signal.throwIfAborted();
        // not aborted by the signal: the server may have accepted the job already, which then has to be cancelled
        const sent = this.#call("v1/jobs", { method: "POST", body: form, headers: { "Idempotency-Key": key } });
        return await unless(signal, sent.then((response) => response.json()), (job) => this.#drop(job));
      } catch (error) {
        if (!error.retryAfter || round >= TRIES) throw error;
        await sleep(error.retryAfter, signal);
      }
    }
  }

  /** Follow a job until it finishes; reconnect when the stream breaks. */
  async #follow(address, job, { onState, signal }) {
    let last = job;
    for (let broken = 0; broken < 5; broken++) {
      if (["done", "failed", "cancelled"].includes(last.status)) return last;
      try {
        const response = await this.#call(address, { signal, headers: { Accept: "text/event-stream" } });
        for await (const { data } of serverEvents(response.body)) {
          last = JSON.parse(data);
          if (last.status === "waiting" || last.status === "running") {
            onState({ stage: last.status, share: last.progress, ahead: last.jobs_ahead ?? 0 });
            broken = 0;
          }
        }
      } catch (error) {
        if (signal.aborted || error.status) throw error;
      }
      if (!["done", "failed", "cancelled"].includes(last.status)) await sleep(1, signal);
    }
    return ["done", "failed", "cancelled"].includes(last.status) ? last : Promise.reject(new Error(UNREACHABLE));
  }

  #result(details, blob) {
    const [width, height] = details.output_size;
    const facts = [details.cached ? "from the cache" : `${details.seconds.toFixed(details.seconds < 10 ? 1 : 0)} s`,
      details.model, `${details.engine} ${details.precision}`];
    if (details.restore > 0) facts.push(`restored ${Math.round(details.restore * 100)}% (${details.restore_reason})`);
    else if (details.restore_reason) facts.push(`not restored (${details.restore_reason})`);
    return { blob, format: details.format, width, height, facts, warnings: details.warnings };
  }

  /** fetch with the API key; a failure becomes an Error with the server's message. */
  async #call(address, options = {}) {
    const headers = { ...options.headers };
    if (this.key()) headers.Authorization = `Bearer ${this.key()}`;
    let response;
    try {
      response = await fetch(this.base + address, { ...options, headers, cache: "no-store" });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error(UNREACHABLE);
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    if (response.status === 401) this.keyNeeded();
    throw Object.assign(new Error(problem.detail ?? `The server answered with ${response.status}.`),
      { status: response.status, retryAfter: Number(response.headers.get("Retry-After")) || 0 });
  }
}
