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
  // round joins are not seen at a pixel's width, and cost Firefox most of the time of a line
  const join = 'join   ??= "round";';
  if (!out.includes(join)) throw new Error("uPlot joins lines in another way");
  return out.replace(join, 'join ??= "bevel";');
}
