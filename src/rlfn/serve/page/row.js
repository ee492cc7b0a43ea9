/** One picture of the list: its state, its buttons, its result. */

const find = (element, selector) => element.querySelector(selector);

const number = (value) => value.toLocaleString("en");

function bytes(count) {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/** Return the estimated time left, given the ms spent and the finished share; empty when it is short. */
function left(spent, share) {
  const seconds = (spent * (1 - share)) / share / 1000;
  if (seconds < 20) return "";
  return seconds < 90 ? `, about ${Math.round(seconds / 10) * 10} s left` : `, about ${number(Math.round(seconds / 60))} min left`;
}

/** Return an upright ImageBitmap of the file, or null if the browser cannot decode it. */
async function bitmap(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

export class Row {
  constructor(page, file, name, options) {
    this.page = page;
    this.file = file;
    this.name = name;
    // imported, because images in a template's own document are never loaded
    this.element = document.importNode(document.getElementById("picture-template").content.firstElementChild, true);
    find(this.element, ".name").textContent = name;
    find(this.element, ".name").title = name;
    this.#thumbnail();
    this.element.addEventListener("click", (event) => this.#click(event));
    this.reset(options);
  }

  #abort = new AbortController();
  #since = 0;

  /** Restart with other options. */
  reset(options) {
    this.free();
    this.options = options;
    this.#abort = new AbortController();
    this.begun = false;
    this.problem = "";
    this.#set("waiting", "Waiting");
  }

  async run(backend) {
    this.begun = true;
    try {
      const result = await backend.run(this.file, this.options, { signal: this.#abort.signal, onState: (state) => this.#state(state) });
      this.result = result;
      this.url = URL.createObjectURL(result.blob);
      const stem = this.name.replace(/\.[^.]*$/, "");
      this.outputName = `${stem}_${this.#label()}${this.page.suffix(result.format)}`;
      const short = [`${number(result.width)} × ${number(result.height)} px`, bytes(result.blob.size)];
      this.facts = [...short, ...result.facts].join(" · ");
      this.#set("done", short.join(" · "));
      this.#warnings(result.warnings);
    } catch (error) {
      if (error.name === "AbortError") {
        this.#set("cancelled", "Cancelled");
      } else {
        this.problem = error.message;
        this.#set("failed", error.message);
      }
    }
  }

  cancel() {
    if (this.status !== "waiting" && this.status !== "running") return;
    this.#abort.abort();
    if (!this.begun) this.#set("cancelled", "Cancelled");
  }

  /** Release the result. */
  free() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = this.result = this.outputName = this.facts = undefined;
    this.#warnings([]);
  }

  /** Return [before, after] for the comparison; null for what the browser cannot display. */
  async sources() {
    return Promise.all([bitmap(this.file), this.result?.preview ?? (this.result ? bitmap(this.result.blob) : null)]);
  }

  #label() {
    const { scale, width, height } = this.options;
    if (width && height) return `${width}x${height}`;
    return width ? `w${width}` : height ? `h${height}` : `x${scale}`;
  }

  async #thumbnail() {
    const image = find(this.element, "img");
    const url = URL.createObjectURL(this.file);
    image.src = url;
    try {
      await image.decode();
      image.hidden = false;
      // keep a small copy and release the large one
      const side = 144;
      const scale = side / Math.min(image.naturalWidth, image.naturalHeight);
      const small = document.createElement("canvas");
      small.width = small.height = side;
      const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
      small.getContext("2d").drawImage(image, (side - w) / 2, (side - h) / 2, w, h);
      small.toBlob((blob) => {
        if (blob) image.src = URL.createObjectURL(blob);
        URL.revokeObjectURL(url);
      });
    } catch {
      URL.revokeObjectURL(url);
    }
  }

  #state({ stage, share, ahead }) {
    if (this.#abort.signal.aborted) return;
    if (stage === "waiting") {
      this.#set("waiting", ahead ? `Waiting, ${ahead} ahead` : "Waiting");
      return;
    }
    if (this.status !== "running") this.#since = performance.now();
    const bar = find(this.element, "progress");
    if (share > 0) bar.value = share;
    else bar.removeAttribute("value");
    this.#set("running", share > 0 ? `Working, ${Math.floor(share * 100)}%${left(performance.now() - this.#since, share)}` : "Working");
  }

  #set(status, text) {
    this.status = status;
    this.state = text;
    this.element.dataset.status = status;
    find(this.element, ".state").textContent = text;
    const open = status === "waiting" || status === "running";
    const bar = find(this.element, "progress");
    bar.hidden = status !== "running";
    bar.setAttribute("aria-label", `Progress of ${this.name}`);
    let lost = false;
    for (const [name, shown] of Object.entries({ compare: status === "done", download: status === "done", cancel: open,
      again: !open, remove: !open })) {
      const button = find(this.element, `[data-do="${name}"]`);
      if (!shown) lost ||= document.activeElement === button;
      button.hidden = !shown;
    }
    if (lost) find(this.element, "[data-do]:not([hidden])").focus();
    const link = find(this.element, '[data-do="download"]');
    if (this.url) Object.assign(link, { href: this.url, download: this.outputName });
    else link.removeAttribute("href");
    const thumb = find(this.element, ".thumb");
    thumb.disabled = status !== "done";
    thumb.setAttribute("aria-label", `Compare ${this.name}`);
    const verbs = { compare: "Compare", download: "Download", again: "Run again with the options", cancel: "Cancel", remove: "Remove" };
    for (const [name, verb] of Object.entries(verbs)) {
      find(this.element, `[data-do="${name}"]`).setAttribute("aria-label", `${verb}: ${this.name}`);
    }
    this.page.refresh();
    this.page.updateCaption(this);
  }

  #warnings(texts) {
    const list = find(this.element, ".warnings");
    list.hidden = !texts.length;
    list.replaceChildren(...texts.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
  }

  #click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const what = button.classList.contains("thumb") ? "compare" : button.dataset.do;
    if (what === "compare") this.page.show(this, true);
    else if (what === "again") this.page.again(this);
    else if (what === "cancel") this.cancel();
    else if (what === "remove") this.page.remove(this);
  }
}
