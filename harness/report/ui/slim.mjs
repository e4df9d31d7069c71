// What of uPlot the report never reaches: its own cursor, legend, selection, sync, time axis and further kinds of lines.
// A bundler cannot see that, because one large function holds them all; here their bodies are emptied before bundling.
// The lock file pins the version, and a name that is not found stops the build.

const WITHIN = [
  "initLegendRow", "initCursorPt", "addSeries", "delSeries", "setSelect", "toggleDOM", "setSeries", "setBand", "addBand", "delBand",
  "setAlpha", "setFocus", "closestIdxFromXpos", "setSelH", "setSelV", "syncLegend", "setLegend", "setLegendValues", "updateCursor",
  "syncRect", "mouseMove", "cacheMouse", "hideSelect", "mouseDown", "mouseUp", "mouseLeave", "dblClick", "pubSync", "pub",
  "onMouse", "offMouse", "posToVal",
]; // prettier-ignore
const BESIDE = [
  "timeAxisStamps", "timeAxisVals", "timeAxisVal", "timeSeriesStamp", "timeSeriesVal", "fmtDate", "tzDate", "genTimeStuffs",
  "logAxisSplits", "asinhAxisSplits", "log2AxisValsFilt", "log10AxisValsFilt", "rangeLog", "rangeAsinh", "snapLogY", "snapAsinhY",
  "stepped", "bars", "splineInterp", "_monotoneCubic", "legendStroke", "legendFill", "cursorPointShow", "cursorPointFill",
  "cursorPointStroke", "cursorPointSize", "cursorMove", "filtBtn0", "filtTarg", "_sync", "join", "clipBandLine", "bandFillClipDirs",
]; // prettier-ignore

/** What callers need of an empty body. */
const LEFT = { genTimeStuffs: "return [[], [], noop];", _sync: "return { sub: noop, unsub: noop, pub: noop };", bandFillClipDirs: "return [0, 0];" };

/** What is so here always, so that what depends on it goes; and joins of lines, which nobody sees but which cost Firefox most. */
const SAID = [
  ["const showLegend = legend.show;", "const showLegend = false;"],
  ["const showCursor =                cursor.show;", "const showCursor = false;"],
  ["const cursorFocus = focus.prox >= 0;", "const cursorFocus = false;"],
  ["const cursorOnePt = cursorFocus && points.one;", "const cursorOnePt = false;"],
  ["mode == 2", "false"],
  ["mode == 1", "true"],
  ['join   ??= "round";', 'join ??= "bevel";'],
];

/** The source with the bodies of those functions gone. */
export function slim(source) {
  let out = source;
  for (const [names, indent] of [[WITHIN, "\t"], [BESIDE, ""]]) {
    for (const name of names) {
      const found = new RegExp(`^${indent}function ${name}\\((.*)\\) \\{\\n[^]*?^${indent}\\}`, "m");
      if (!found.test(out)) throw new Error(`uPlot has no function ${name}`);
      out = out.replace(found, (_all, given) => `${indent}function ${name}(${given}) {${LEFT[name] ?? ""}}`);
    }
  }
  for (const [before, after] of SAID) {
    if (!out.includes(before)) throw new Error(`uPlot does not say ${before.trim()}`);
    out = out.replaceAll(before, after);
  }
  return out;
}
