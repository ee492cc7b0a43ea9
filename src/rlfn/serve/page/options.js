/** The options form: filled with the backend's capabilities, read as the options of one picture. */

const find = (id) => document.getElementById(id);
const chosen = () => document.querySelector('input[name="size"]:checked')?.value;

let offered = { families: [], formats: [] };

function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

/** Fill the lists of models and formats, and keep the selection. */
export function fillOptions(offer) {
  offered = offer;
  const [model, format] = [find("model"), find("format")];
  const kept = [model.value, format.value];
  model.replaceChildren(...offer.families.map((family) => option(family.name, family.name)));
  format.replaceChildren(format.options[0], ...offer.formats.map((row) => option(row.name, row.title)));
  if (kept[0] && offer.families.some((family) => family.name === kept[0])) model.value = kept[0];
  format.value = kept[1];
  changed();
}

/** Keep the form consistent: sizes that the model supports, quality only for lossy formats. */
export function watchOptions() {
  find("options").addEventListener("change", changed);
  find("options").addEventListener("input", ({ target }) => target.removeAttribute("aria-invalid"));
  find("options").addEventListener("submit", (event) => event.preventDefault());
}

function changed() {
  const family = offered.families.find((row) => row.name === find("model").value);
  const largest = family ? Math.max(...family.scales) : 4;
  for (const input of document.querySelectorAll('input[name="size"]')) {
    if (input.value !== "exact") input.disabled = Number(input.value) > largest;
  }
  if (document.querySelector('input[name="size"]:checked')?.disabled) {
    document.querySelector(`input[name="size"][value="${largest}"]`).checked = true;
  }
  find("model-hint").textContent = family?.about ?? "";
  find("exact")?.toggleAttribute("hidden", chosen() !== "exact");
  const row = offered.formats.find((each) => each.name === find("format").value);
  find("quality-field").hidden = !row?.lossy;
  find("quality").placeholder = row?.quality ? String(row.quality) : "";
}

/** An error that names its field. */
function misfit(id, message) {
  return Object.assign(new RangeError(message), { field: find(id) });
}

function whole(id, name, low, high) {
  const text = find(id).value.trim();
  if (text === "" && !find(id).validity.badInput) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || text === "" || number < low || number > high) {
    throw misfit(id, `${name}: enter a whole number from ${low} to ${high.toLocaleString("en")}.`);
  }
  return number;
}

/** Return { options } for a picture, or { problem, field }: a message and the field that it is about. */
export function readOptions() {
  for (const field of find("options").querySelectorAll("[aria-describedby]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
  const options = {};
  try {
    if (chosen() === "exact") {
      options.width = whole("width", "Width", 1, 1_000_000);
      options.height = whole("height", "Height", 1, 1_000_000);
      if (options.width === undefined && options.height === undefined) {
        throw misfit("width", "Enter a width or a height in pixels, or choose a factor.");
      }
    } else {
      options.scale = Number(chosen());
    }
    if (!find("quality-field").hidden) options.quality = whole("quality", "Quality", 1, 100);
  } catch (error) {
    error.field.setAttribute("aria-invalid", "true");
    error.field.setAttribute("aria-describedby", "notice");
    return { problem: error.message, field: error.field };
  }
  options.model = find("model").value || undefined;
  options.restore = find("restore")?.value;
  options.format = find("format").value || undefined;
  for (const name of ["self_ensemble", "wrap", "keep_hidden"]) if (find(name)?.checked) options[name] = true;
  return { options };
}
