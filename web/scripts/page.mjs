// The page: the server's own (src/rlfn/serve/page), without what only a server has.
import { readFileSync } from "node:fs";

export const SHARED = new URL("../../src/rlfn/serve/page/", import.meta.url);

const POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "img-src 'self' blob: data:",
  "connect-src 'self' blob:",
  "worker-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const PRIVACY = "Your pictures stay on this device: they are made larger here, in the browser.";

/** Return the app's index.html. */
export function html() {
  let text = readFileSync(new URL("index.html", SHARED), "utf8");
  text = text.replace(/[ \t]*<!-- server -->[\s\S]*?<!-- \/server -->\n/g, "");
  const put = (from, to) => {
    const changed = text.replace(from, to);
    if (changed === text) throw new Error(`the shared page has no ${from}`);
    text = changed;
  };
  put('<meta charset="utf-8">', `<meta charset="utf-8">\n  <meta http-equiv="Content-Security-Policy" content="${POLICY}">`);
  put('href="page/icon.svg"', 'href="icon.svg"');
  put('href="page/style.css"', 'href="style.css"');
  put('src="page/app.js"></script>', 'src="app.js"></script>\n  <link rel="manifest" href="app.webmanifest">');
  put(/(id="privacy">)[^<]*/, `$1${PRIVACY}`);
  put('<option value="">Like the picture</option>', '<option value="">PNG</option>');
  put(/accept="[^"]*"/, 'accept="image/*"');
  put(/<footer>\s*<\/footer>/, '<footer>\n    <p id="offline" role="status"></p>\n  </footer>');
  return text;
}

/** What a phone or a desktop shows of the page once it is installed. */
export const manifest = {
  name: "rlfn: make pictures larger",
  short_name: "rlfn",
  description: "Make pictures larger and sharper, on your device.",
  start_url: "./",
  display: "standalone",
  background_color: "#f5f5f3",
  theme_color: "#0b5cc0",
  icons: [{ src: "icon.svg", sizes: "any", type: "image/svg+xml" }],
};
