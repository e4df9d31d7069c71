// Bundles the report's script and style into ../static (or a directory given as the first argument).
// The result is committed: whoever installs the package needs no Node. A test rebuilds it and compares bytes.
import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { dirname, join, resolve } from "node:path";
import { minify } from "terser";
import { slim } from "./slim.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "..", "static"));
const uplot = join(here, "node_modules", "uplot");
const { version } = JSON.parse(await readFile(join(uplot, "package.json"), "utf8"));
const licence = (await readFile(join(uplot, "LICENSE"), "utf8")).trim();
const notice = `uPlot ${version}\n${licence}`;
if (notice.includes("*/")) throw new Error("the licence text would end the banner");

await mkdir(out, { recursive: true });
const built = await build({
  absWorkingDir: here,
  entryPoints: { report: "src/main.ts" },
  outdir: out,
  bundle: true,
  minifyWhitespace: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none", // uPlot's comment is not marked as one to keep: the banner carries its licence instead
  logLevel: "warning",
  write: false,
  plugins: [
    {
      name: "slim",
      setup: (bundler) => bundler.onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => ({ contents: slim(await readFile(path, "utf8")) })),
    },
  ],
});
for (const { path, text } of built.outputFiles) await writeFile(path, path.endsWith(".js") ? await smaller(text) : text);
await writeFile(join(out, "THIRD-PARTY.txt"), `report.js includes parts of:\n\n${notice}\n`);

/** esbuild alone leaves 6 % more, packed. */
async function smaller(script) {
  const { code } = await minify(script, {
    compress: { passes: 3, ecma: 2020, unsafe_arrows: true, pure_getters: true, toplevel: true },
    mangle: { toplevel: true },
    format: { ascii_only: true, ecma: 2020 },
  });
  return `/*!\nIncludes parts of ${notice}\n*/\n${code}\n`;
}
