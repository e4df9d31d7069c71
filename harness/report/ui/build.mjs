// Bundles the report's script and style into ../static (or a directory given as the first argument).
// The result is committed: whoever installs the package needs no Node. A test rebuilds it and compares bytes.
import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { dirname, join, resolve } from "node:path";
import { slim } from "./slim.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "..", "static"));
const uplot = join(here, "node_modules", "uplot");
const { version } = JSON.parse(await readFile(join(uplot, "package.json"), "utf8"));
const licence = (await readFile(join(uplot, "LICENSE"), "utf8")).trim();
const notice = `uPlot ${version}\n${licence}`;
if (notice.includes("*/")) throw new Error("the licence text would end the banner");

await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { report: "src/main.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none", // uPlot's comment is not marked as one to keep: the banner carries its licence instead
  banner: { js: `/*!\nIncludes parts of ${notice}\n*/` },
  logLevel: "warning",
  plugins: [
    {
      name: "slim",
      setup: (bundler) => bundler.onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => ({ contents: slim(await readFile(path, "utf8")) })),
    },
  ],
});
await writeFile(join(out, "THIRD-PARTY.txt"), `report.js includes parts of:\n\n${notice}\n`);
