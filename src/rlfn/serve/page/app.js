/** The page of the server: the backend is the HTTP API beside it. */

import { HttpBackend } from "./http.js";
import { startPage } from "./page.js";

const key = document.getElementById("key");
const backend = new HttpBackend({
  key: () => key.value.trim(),
  keyNeeded: () => {
    document.getElementById("key-field").hidden = false;
    document.getElementById("fold").open = true;
  },
  offered: (offer) => { document.getElementById("local-app").hidden = !offer.app; },
});
const page = startPage(backend);
key.addEventListener("change", () => page.renew());
