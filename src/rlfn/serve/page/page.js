/**
 * The page: uploads, the list with progress, the comparison, downloads. The backend that enlarges pictures is injected.
 *
 * startPage(backend) fills index.html. A backend is an object with
 *   offer()   -> Promise of { families, formats, atOnce }:
 *               families: [{ name, scales: [2, 3, 4], about }], the default first
 *               formats: [{ name, title, suffix, lossy, quality }], what can be written; quality is the default
 *               atOnce: how many pictures run() processes at a time
 *   run(file, options, { onState, signal }) -> Promise of { blob, format, width, height, facts, warnings, preview }
 *               file: a File; options: { scale | width, height, model, restore, format, quality, self_ensemble, wrap,
 *               keep_hidden }, without those that the visitor did not set
 *               onState({ stage: "waiting" | "running", share: 0 to 1, ahead: number of jobs before this one })
 *               facts: [text] about the computation; warnings: [text] about losses
 *               preview: an ImageBitmap to show instead of a blob that is too large to display, or undefined
 *               It rejects with an Error whose message is shown, or with an AbortError after signal.abort().
 */

import "./compare-slider.js";
import { fillOptions, readOptions, watchOptions } from "./options.js";
import { Row } from "./row.js";
import { themeButton } from "./theme.js";
import { distinct, zipped } from "./zip.js";

const find = (id) => document.getElementById(id);

/** Download a Blob as a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

class Page {
  #rows = [];
  #running = 0;
  #shown = null;
  #atOnce = 1;

  constructor(backend) {
    this.backend = backend;
    this.compare = find("compare");
    themeButton(find("theme"));
    this.#input();
    this.#actions();
    watchOptions();
    this.#ready = this.#offer();
  }

  #ready;

  async #offer() {
    try {
      const offer = await this.backend.offer();
      this.#atOnce = offer.atOnce;
      this.#formats = offer.formats;
      fillOptions(offer);
      this.#notice("");
    } catch (error) {
      this.#notice(error.message, "offer");
    }
  }

  #formats = [];

  /** Load the capabilities again, for example after a key was entered. */
  renew() {
    this.#ready = this.#offer();
    return this.#ready;
  }

  #input() {
    const file = find("file");
    find("choose").addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      this.add([...file.files]);
      file.value = "";
    });
    let depth = 0;
    const dragging = (change) => {
      depth = Math.max(0, depth + change);
      document.body.classList.toggle("dragging", depth > 0);
    };
    const files = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragenter", (event) => files(event) && dragging(1));
    addEventListener("dragleave", (event) => files(event) && dragging(-1));
    addEventListener("dragover", (event) => files(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      depth = 0;
      dragging(0);
      this.add([...event.dataTransfer.files]);
    });
    addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])];
      if (!pasted.length) return;
      event.preventDefault();
      this.add(pasted);
    });
  }

  #actions() {
    find("clear").addEventListener("click", () => {
      for (const row of [...this.#rows]) this.remove(row);
      find("choose").focus();
    });
    find("cancel-all").addEventListener("click", () => this.#rows.forEach((row) => row.cancel()));
    find("zip").addEventListener("click", () => this.#zip());
  }

  async #zip() {
    const button = find("zip");
    button.disabled = true;
    try {
      save(await zipped(this.#done().map((row) => ({ name: row.outputName, blob: row.result.blob }))), "rlfn-pictures.zip");
    } catch (error) {
      this.#notice(error.message);
    } finally {
      button.disabled = false;
    }
  }

  #done() {
    return this.#rows.filter((row) => row.result);
  }

  /** Add files, one row each, and start them; with invalid options, show the problem and start nothing. */
  async add(files) {
    if (!files.length) return;
    await this.#ready;
    const names = distinct(files.map((file) => file.name || "picture.png"));
    const asked = readOptions();
    if (asked.problem) {
      this.#misfit(asked, `${files.length === 1 ? `${names[0]} was` : `${files.length} pictures were`} not added; choose again.`);
      return;
    }
    this.#notice("");
    files.forEach((file, index) => {
      const row = new Row(this, file, names[index], asked.options);
      this.#rows.push(row);
      find("list").append(row.element);
    });
    if (!this.#shown) this.show(this.#rows.at(-files.length));
    this.#say(files.length === 1 ? `${names[0]} was added.` : `${files.length} pictures were added.`);
    this.next();
  }

  /** Run a picture once more with the options as they are now. */
  again(row) {
    const asked = readOptions();
    if (asked.problem) {
      this.#misfit(asked, `${row.name} was not run again.`);
      return;
    }
    this.#notice("");
    row.reset(asked.options);
    this.next();
  }

  /** Begin what waits, as far as the backend takes it. */
  next() {
    this.refresh();
    for (const row of this.#rows) {
      if (this.#running >= this.#atOnce) return;
      if (row.status !== "waiting" || row.begun) continue;
      this.#running += 1;
      row.run(this.backend).then(() => {
        this.#running -= 1;
        if (this.#rows.includes(row)) this.#ended(row);
        this.next();
      });
    }
  }

  #ended(row) {
    if (row.status === "done") {
      this.#say(`${row.name} is done.`);
      if (this.#shown === row || !this.#shown || ["failed", "cancelled"].includes(this.#shown.status)) this.show(row);
    } else if (row.status === "failed") {
      this.#say(`${row.name} failed: ${row.problem}`);
    }
  }

  /** Show a picture in the comparison, alone until its result is there, and go there where the visitor asked for it. */
  async show(row, go = false) {
    this.#shown = row;
    for (const each of this.#rows) each.element.toggleAttribute("aria-current", false);
    row.element.setAttribute("aria-current", "true");
    this.updateCaption(row);
    this.#compact();
    const [before, after] = await row.sources();
    if (this.#shown !== row) return;
    this.compare.hidden = !before && !after;
    if (!this.compare.hidden) await this.compare.show(before, after);
    if (!go) return;
    this.compare.scrollIntoView({ block: "nearest" });
    (this.compare.hidden ? find("download") : this.compare).focus({ preventScroll: true });
  }

  /** Make room for the pictures: in the one-column layout, fold the options when the first picture is added. */
  #compact() {
    if (document.body.classList.contains("compact")) return;
    document.body.classList.add("compact");
    if (matchMedia("(max-width: 56rem)").matches) find("fold").open = false;
  }

  /** Update the caption below the comparison for the picture that it shows. */
  updateCaption(row) {
    if (this.#shown !== row) return;
    const caption = find("caption");
    caption.querySelector(".name").textContent = row.outputName ?? row.name;
    caption.querySelector(".facts").textContent = row.facts ?? row.state;
    const download = find("download");
    download.hidden = !row.url;
    if (row.url) Object.assign(download, { href: row.url, download: row.outputName });
    caption.hidden = false;
  }

  remove(row) {
    row.cancel();
    row.free();
    const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const focused = row.element.contains(document.activeElement);
    row.element.remove();
    if (focused) ([...(next?.querySelectorAll("[data-do]:not([hidden])") ?? [])].at(-1) ?? find("choose")).focus();
    this.#rows = this.#rows.filter((each) => each !== row);
    if (this.#shown === row) {
      this.#shown = null;
      const other = this.#done()[0];
      if (other) this.show(other);
      else this.#empty();
    }
    this.refresh();
  }

  #empty() {
    this.compare.hidden = true;
    find("caption").hidden = true;
    document.body.classList.remove("compact");
    this.compare.show(null, null);
    find("fold").open = true;
  }

  /** Update the buttons. */
  refresh() {
    const open = this.#rows.filter((row) => row.status === "waiting" || row.status === "running").length;
    find("pictures").hidden = !this.#rows.length;
    find("clear").hidden = find("when").hidden = !this.#rows.length;
    find("cancel-all").hidden = open < 2;
    find("zip").hidden = this.#done().length < 2;
    find("pictures-title").textContent = this.#rows.length > 1 ? `${this.#rows.length} pictures, ${this.#done().length} done` : "Pictures";
  }

  suffix(format) {
    return this.#formats.find((row) => row.name === format)?.suffix ?? `.${format}`;
  }

  #notice(text) {
    const notice = find("notice");
    if (notice.previousElementSibling !== find("drop")) find("drop").after(notice);
    notice.textContent = text;
    notice.hidden = !text;
    this.refresh();
  }

  /** Show below its field which option is invalid and what was not done, and focus it. */
  #misfit({ problem, field }, undone) {
    find("fold").open = true;
    const notice = find("notice");
    this.#notice("");
    field.closest(".field").append(notice);
    notice.textContent = `${problem} ${undone}`;
    notice.hidden = false;
    field.focus();
    notice.scrollIntoView({ block: "nearest" });
  }

  #say(text) {
    find("live").textContent = text;
  }
}

export function startPage(backend) {
  return new Page(backend);
}
