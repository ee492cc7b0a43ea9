/**
 * <compare-slider>: two pictures of the same scene, one over the other, with a divider, zoom and pan.
 *
 * It draws on a canvas of the screen's own pixels, so that it is sharp on every display, and only the part in view, so
 * that large pictures cost no more than small ones. It needs no other file and keeps to a strict content security policy.
 *
 * Attributes and properties
 *   before, after      what is compared: a URL (attribute or property), or as a property any CanvasImageSource, such as an
 *                      ImageBitmap; null for none. With one of them alone there is no divider. The larger sets the size.
 *   position           where the divider stands, 0 to 100 per cent of what is seen of the picture; 50 at first
 *   label-before, label-after   the words at both sides; "Before" and "After" at first
 *   pixels             (boolean) show single pixels as squares in place of smoothing them
 * Read-only: scale     screen pixels for each pixel of the larger picture
 * Methods
 *   show(before, after)  set both and return a promise of the moment when both are drawn; it rejects with an Error where
 *                        one cannot be decoded
 *   focus()              the divider, or the picture where there is none
 *   fit()                show the whole picture
 *   zoomTo(scale, x, y)  zoom about a point of the element in CSS px, its middle by default; 1 is pixel by pixel
 * Events: "slide" (the divider was moved), "zoom" (scale or place changed), "ready" (both are drawn), "fault" (detail:
 *   the Error)
 * Keys, on the divider: left and right, with Shift by ten, Home, End. On the picture: arrows pan, + and - zoom, 0 fits,
 *   1 shows pixel by pixel, P shows single pixels.
 * CSS: the custom properties --compare-surface, --compare-ink, --compare-accent; the parts "bar" and "handle".
 */

const CSS = `
:host { display: block; position: relative; overflow: hidden; min-height: 12rem; background: var(--compare-surface, #222);
  --ink: var(--compare-ink, #fff); --accent: var(--compare-accent, #6db1ff); user-select: none; -webkit-user-select: none; }
:host([hidden]) { display: none; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: pan-y; cursor: ew-resize; }
canvas.single { cursor: default; }
canvas.zoomed { touch-action: none; cursor: grab; }
canvas.zoomed:active { cursor: grabbing; }
canvas:focus-visible { outline: 3px solid var(--accent); outline-offset: -3px; }
.divider { position: absolute; top: 0; bottom: 0; left: 0; width: 44px; margin-left: -22px; cursor: ew-resize;
  touch-action: none; outline: none; }
.divider::before { content: ""; position: absolute; top: 0; bottom: 0; left: 21px; width: 2px; background: #fff;
  box-shadow: 0 0 3px #000c; }
.knob { position: absolute; top: 50%; left: 0; width: 44px; height: 44px; margin-top: -22px; border-radius: 50%;
  background: #fff; color: #1c1d1f; box-shadow: 0 1px 6px #0009; display: grid; place-items: center; box-sizing: border-box; }
.knob svg { width: 24px; height: 24px; }
.divider:focus-visible .knob { outline: 3px solid var(--accent); outline-offset: 2px; box-shadow: 0 0 0 7px #000a; }
.label { position: absolute; top: .6rem; padding: .15rem .55rem; border-radius: 1rem; font-size: .8125rem; line-height: 1.4;
  background: #000000b8; color: #fff; pointer-events: none; max-width: 40%; }
.label.before { left: .6rem; }
.label.after { right: .6rem; }
.bar { position: absolute; bottom: .6rem; left: 50%; transform: translateX(-50%); display: flex; align-items: center;
  background: #000000c9; color: #fff; border-radius: .6rem; padding: 2px; font-size: .8125rem; }
.bar button { all: unset; box-sizing: border-box; min-width: 40px; height: 40px; padding: 0 .5rem; display: grid;
  place-items: center; border-radius: .5rem; cursor: pointer; font-size: .8125rem; color: #fff; white-space: nowrap; }
.bar button:hover { background: #ffffff2b; }
.bar button:focus-visible { outline: 3px solid var(--accent); outline-offset: -2px; }
.bar button[aria-pressed="true"] { background: #fff; color: #111; }
.bar svg { width: 18px; height: 18px; }
.bar output { min-width: 3.4rem; text-align: center; font-variant-numeric: tabular-nums; }
[hidden] { display: none !important; }
@media (max-width: 30rem) { .bar output { min-width: 3rem; } .bar button { padding: 0 .3rem; } }
`;

const ICON = (path) =>
  `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
   stroke-linejoin="round" aria-hidden="true">${path}</svg>`;

const HTML = `
<canvas part="picture" tabindex="0" role="img"></canvas>
<span class="label before" aria-hidden="true"></span><span class="label after" aria-hidden="true"></span>
<div class="divider" part="handle" role="slider" tabindex="0" aria-orientation="horizontal" aria-valuemin="0"
  aria-valuemax="100"><span class="knob">${ICON('<path d="M9 6l-5 6 5 6M15 6l5 6-5 6"/>')}</span></div>
<div class="bar" part="bar" role="group" aria-label="View">
  <button type="button" data-do="out" aria-label="Zoom out" title="Zoom out (-)">${ICON('<path d="M5 12h14"/>')}</button>
  <output aria-label="Zoom"></output>
  <button type="button" data-do="in" aria-label="Zoom in" title="Zoom in (+)">${ICON('<path d="M5 12h14M12 5v14"/>')}</button>
  <button type="button" data-do="fit" title="Show the whole picture (0)">Fit</button>
  <button type="button" data-do="one" title="One pixel of the picture on each pixel of the screen (1)"
    aria-label="1:1, pixel by pixel">1:1</button>
  <button type="button" data-do="pixels" aria-pressed="false" title="Show single pixels in place of smoothing them (P)"
    >Pixels</button>
</div>`;

const MAX_SCALE = 64;
const STEP = 1.25;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function sizeOf(source) {
  return { width: source.naturalWidth ?? source.displayWidth ?? source.width,
    height: source.naturalHeight ?? source.displayHeight ?? source.height };
}

async function decoded(source) {
  if (source === null || typeof source !== "string") return source;
  const image = new Image();
  image.src = source;
  try {
    await image.decode();
  } catch {
    throw new Error("This browser cannot show the picture.");
  }
  return image;
}

export class CompareSlider extends HTMLElement {
  static observedAttributes = ["before", "after", "position", "label-before", "label-after", "pixels"];

  #root = this.attachShadow({ mode: "open" });
  #given = { before: null, after: null };
  #images = { before: null, after: null };
  #turn = 0;
  #position = 50;
  #scale = 1;
  #fitted = true;
  #middle = { x: 0.5, y: 0.5 };
  #size = null;
  #device = { width: 0, height: 0 };
  #frame = 0;
  #pointers = new Map();
  #pinch = 0;

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.innerHTML = HTML;
    this.canvas = this.#root.querySelector("canvas");
    this.divider = this.#root.querySelector(".divider");
    this.#labels();
    this.#listen();
    this.#observer = new ResizeObserver((entries) => this.#resized(entries[0]));
  }

  #observer;

  connectedCallback() {
    try {
      this.#observer.observe(this.canvas, { box: "device-pixel-content-box" });
    } catch {
      this.#observer.observe(this.canvas);
    }
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  attributeChangedCallback(name, old, value) {
    if (name === "before" || name === "after") this[name] = value;
    else if (name === "position") this.position = Number(value ?? 50);
    else this.#labels();
  }

  get before() { return this.#given.before; }
  set before(source) { this.show(source, this.#given.after).catch(() => {}); }
  get after() { return this.#given.after; }
  set after(source) { this.show(this.#given.before, source).catch(() => {}); }
  get position() { return this.#position; }
  set position(value) {
    this.#position = clamp(Number.isFinite(value) ? value : 50, 0, 100);
    this.#redraw();
  }
  get pixels() { return this.hasAttribute("pixels"); }
  set pixels(on) { this.toggleAttribute("pixels", Boolean(on)); }
  get scale() { return this.#scale; }

  async show(before, after) {
    const turn = ++this.#turn;
    const changed = { before, after };
    const kept = { ...this.#given };
    this.#given = changed;
    try {
      const [one, two] = await Promise.all(["before", "after"].map((side) =>
        changed[side] === kept[side] && this.#images[side] ? this.#images[side] : decoded(changed[side])));
      if (turn !== this.#turn) return;
      this.#images = { before: one, after: two };
    } catch (error) {
      if (turn === this.#turn) this.dispatchEvent(new CustomEvent("fault", { detail: error }));
      throw error;
    }
    const sizes = Object.values(this.#images).filter(Boolean).map(sizeOf);
    const size = sizes.sort((a, b) => b.width * b.height - a.width * a.height)[0] ?? null;
    const same = size && this.#size && size.width === this.#size.width && size.height === this.#size.height;
    this.#size = size;
    this.#labels();
    if (same) this.#redraw();
    else this.fit();
    this.#draw();
    this.dispatchEvent(new CustomEvent("ready"));
  }

  /** Focus the divider, or the picture where there is no divider. */
  focus(options) {
    (this.divider.hidden ? this.canvas : this.divider).focus(options);
  }

  fit() {
    this.#fitted = true;
    this.#middle = { x: 0.5, y: 0.5 };
    this.#scale = this.#fitScale();
    this.#moved();
  }

  zoomTo(scale, x, y) {
    if (!this.#size) return;
    const { width, height } = this.#device;
    const ratio = this.#ratio();
    const [px, py] = [(x === undefined ? width / 2 : x * ratio.x), (y === undefined ? height / 2 : y * ratio.y)];
    const least = Math.min(this.#fitScale(), 1);
    const next = clamp(scale, least, MAX_SCALE);
    // the point of the picture under (px, py) stays there
    const place = this.#place();
    const u = (px - place.left) / place.width;
    const v = (py - place.top) / place.height;
    this.#scale = next;
    this.#fitted = Math.abs(next - this.#fitScale()) < 1e-6;
    const [w, h] = [this.#size.width * next, this.#size.height * next];
    this.#middle = { x: u + (width / 2 - px) / w, y: v + (height / 2 - py) / h };
    this.#moved();
  }

  #fitScale() {
    if (!this.#size || !this.#device.width) return 1;
    return Math.min(this.#device.width / this.#size.width, this.#device.height / this.#size.height);
  }

  #ratio() {
    const box = this.canvas.getBoundingClientRect();
    return { x: this.#device.width / (box.width || 1), y: this.#device.height / (box.height || 1) };
  }

  /** Where the picture lies on the canvas, in the screen's pixels. */
  #place() {
    const width = this.#size.width * this.#scale;
    const height = this.#size.height * this.#scale;
    return { left: Math.round(this.#device.width / 2 - this.#middle.x * width),
      top: Math.round(this.#device.height / 2 - this.#middle.y * height), width, height };
  }

  #moved() {
    if (this.#size) {
      for (const [axis, side] of [["x", "width"], ["y", "height"]]) {
        const half = this.#device[side] / 2 / (this.#size[side] * this.#scale);
        this.#middle[axis] = half >= 0.5 ? 0.5 : clamp(this.#middle[axis], half, 1 - half);
      }
    }
    this.#redraw();
    this.dispatchEvent(new CustomEvent("zoom"));
  }

  #resized(entry) {
    const box = entry.devicePixelContentBoxSize?.[0];
    const ratio = window.devicePixelRatio || 1;
    let width = Math.round(entry.contentRect.width * ratio);
    let height = Math.round(entry.contentRect.height * ratio);
    // the browser's own count is exact where sides are no whole pixels; emulated screens report another one
    if (box && Math.abs(box.inlineSize - width) <= 2 && Math.abs(box.blockSize - height) <= 2) {
      [width, height] = [box.inlineSize, box.blockSize];
    }
    if (!width || !height) return;
    this.#device = { width, height };
    this.canvas.width = width;
    this.canvas.height = height;
    if (this.#fitted) this.fit();
    else this.#moved();
    this.#draw();
  }

  #redraw() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const both = Boolean(this.#images.before && this.#images.after);
    this.divider.hidden = !both;
    this.canvas.classList.toggle("zoomed", !this.#fitted);
    this.canvas.classList.toggle("single", !both);
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.#size || !this.#device.width) return;
    const seen = this.#seen();
    const cut = both ? Math.round(seen.left + (seen.right - seen.left) * this.#position / 100) : 0;
    const from = both ? cut : this.#images.before ? this.#device.width : 0;
    this.#paint(context, this.#images.after, from, this.#device.width);
    this.#paint(context, this.#images.before, 0, from);
    const ratio = this.#ratio();
    this.divider.style.transform = `translateX(${cut / ratio.x}px)`;
    this.#tell();
  }

  #seen() {
    const place = this.#place();
    return { left: Math.max(place.left, 0), right: Math.min(place.left + place.width, this.#device.width) };
  }

  /** Draw what lies between two columns of the canvas: only the pixels in view are touched. */
  #paint(context, source, from, to) {
    if (!source || to <= from) return;
    const place = this.#place();
    const size = sizeOf(source);
    const [fx, fy] = [place.width / size.width, place.height / size.height];
    const x0 = clamp(Math.floor((from - place.left) / fx) - 2, 0, size.width);
    const x1 = clamp(Math.ceil((to - place.left) / fx) + 2, 0, size.width);
    const y0 = clamp(Math.floor(-place.top / fy) - 2, 0, size.height);
    const y1 = clamp(Math.ceil((this.#device.height - place.top) / fy) + 2, 0, size.height);
    if (x1 <= x0 || y1 <= y0) return;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, this.#device.height);
    context.clip();
    context.imageSmoothingEnabled = !(this.pixels && fx >= 1);
    context.imageSmoothingQuality = "high";
    context.drawImage(source, x0, y0, x1 - x0, y1 - y0,
      place.left + x0 * fx, place.top + y0 * fy, (x1 - x0) * fx, (y1 - y0) * fy);
    context.restore();
  }

  #labels() {
    const words = { before: this.getAttribute("label-before") ?? "Before", after: this.getAttribute("label-after") ?? "After" };
    for (const side of ["before", "after"]) {
      const label = this.#root.querySelector(`.label.${side}`);
      label.textContent = words[side];
      label.hidden = !this.#images[side];
    }
    this.#root.querySelector('[data-do="pixels"]').setAttribute("aria-pressed", String(this.pixels));
    this.divider.setAttribute("aria-label", `Divider between ${words.before} and ${words.after}`);
    this.canvas.setAttribute("aria-label",
      `Picture: ${words.before} on the left, ${words.after} on the right. Arrow keys pan, plus and minus zoom, 0 fits, 1 is pixel by pixel.`);
    this.#redraw();
  }

  #tell() {
    const per = Math.round(this.#position);
    this.divider.setAttribute("aria-valuenow", String(per));
    this.divider.setAttribute("aria-valuetext", `${per}% before, ${100 - per}% after`);
    const zoom = this.#scale * 100;
    const text = `${zoom < 10 ? zoom.toFixed(1) : Math.round(zoom)}%`;
    const output = this.#root.querySelector("output");
    if (output.textContent !== text) output.textContent = text;
  }

  #listen() {
    const canvas = this.canvas;
    this.#root.querySelector(".bar").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#command(button.dataset.do);
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    this.divider.addEventListener("keydown", (event) => this.#slideKey(event));
    this.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      const amount = clamp(event.deltaY * (event.deltaMode === 1 ? 16 : 1), -120, 120);
      this.zoomTo(this.#scale * Math.exp(-amount * (event.ctrlKey ? 0.01 : 0.002)),
        event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => {
      const box = canvas.getBoundingClientRect();
      if (this.#fitted) this.zoomTo(Math.max(1, this.#fitScale() * 4), event.clientX - box.left, event.clientY - box.top);
      else this.fit();
    });
    for (const target of [canvas, this.divider]) {
      target.addEventListener("pointerdown", (event) => this.#down(event, target));
      target.addEventListener("pointermove", (event) => this.#drag(event, target));
      for (const end of ["pointerup", "pointercancel"]) {
        target.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
      }
    }
  }

  #command(what) {
    if (what === "in") this.zoomTo(this.#scale * STEP * STEP);
    else if (what === "out") this.zoomTo(this.#scale / STEP / STEP);
    else if (what === "fit") this.fit();
    else if (what === "one") this.zoomTo(1);
    else if (what === "pixels") this.pixels = !this.pixels;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "one", p: "pixels", P: "pixels" }[event.key];
    const pan = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!name && !(pan && this.#size && !this.#fitted)) return;
    event.preventDefault();
    if (name) this.#command(name);
    else this.#pan(pan[0] * this.#device.width * 0.1, pan[1] * this.#device.height * 0.1);
  }

  #slideKey(event) {
    const step = event.shiftKey ? 10 : 1;
    const next = { ArrowLeft: this.#position - step, ArrowDown: this.#position - step, ArrowRight: this.#position + step,
      ArrowUp: this.#position + step, PageDown: this.#position - 10, PageUp: this.#position + 10, Home: 0, End: 100 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.#slide(next);
  }

  #slide(position) {
    this.position = position;
    this.dispatchEvent(new CustomEvent("slide"));
  }

  #pan(x, y) {
    const place = this.#place();
    this.#middle = { x: this.#middle.x + x / place.width, y: this.#middle.y + y / place.height };
    this.#moved();
  }

  #down(event, target) {
    if (event.button !== 0 || !this.#size) return;
    target.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.#pinch = 0;
    if (target === this.divider) target.focus({ preventScroll: true });
    else if (this.#slides(target, event)) this.#follow(event);
  }

  /** Whether a drag moves the divider: on its handle, and anywhere while the whole picture is in view. */
  #slides(target) {
    return !this.divider.hidden && (target === this.divider || this.#fitted);
  }

  #follow(event) {
    const box = this.canvas.getBoundingClientRect();
    const seen = this.#seen();
    const x = (event.clientX - box.left) * this.#ratio().x;
    this.#slide(100 * (x - seen.left) / Math.max(seen.right - seen.left, 1));
  }

  #drag(event, target) {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const ratio = this.#ratio();
    if (this.#pointers.size === 2) {
      const [a, b] = [...this.#pointers.values()];
      const apart = Math.hypot(a.x - b.x, a.y - b.y);
      const box = this.canvas.getBoundingClientRect();
      if (this.#pinch) this.zoomTo(this.#scale * apart / this.#pinch, (a.x + b.x) / 2 - box.left, (a.y + b.y) / 2 - box.top);
      this.#pinch = apart;
    } else if (this.#slides(target)) {
      this.#follow(event);
    } else {
      this.#pan((last.x - event.clientX) * ratio.x, (last.y - event.clientY) * ratio.y);
    }
  }
}

if (!customElements.get("compare-slider")) customElements.define("compare-slider", CompareSlider);
