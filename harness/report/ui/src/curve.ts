// Memory during the profiled request: a line through the moments the profiler saw, and who was running at the highest of them.

import uPlot from "uplot";
import { element } from "./dom";
import { bytes, nanoseconds } from "./format";
import type { ProfileData } from "./profile_data";
import { colour, onThemeChange } from "./theme";
import { rowsTable } from "./table";
import { FONT } from "./tracks/frame";
import { BINARY_STEPS } from "./tracks/lines";

const HEIGHT = 220;

export function curve(data: ProfileData): HTMLElement {
  const { header, moments } = data;
  if (moments.offset.length < 2) return element("div", {}, element("p", { class: "empty" }, "The tool saw no curve, only its highest moment."), ...stack(data));
  const name = (i: number): string => header.curve.labels[moments.label[i]!] ?? "";
  const say = (i: number): string => [nanoseconds(moments.offset[i]!), bytes(moments.bytes[i]!), name(i)].filter(Boolean).join(" · ");
  const plot = element("div", { class: "curve", role: "img", "aria-label": "Memory held during the request; the same as a table below" });
  const readout = element("output", { class: "readout" });
  const highest = moments.bytes.reduce((best, v, i) => (v > moments.bytes[best]! ? i : best), 0);
  const rest = `Highest: ${say(highest)}`;
  readout.textContent = rest;
  let chart: uPlot | null = null;
  const make = (): void => {
    const width = plot.clientWidth;
    if (!width) return;
    if (chart) chart.setSize({ width, height: HEIGHT });
    else chart = create(width);
  };
  const create = (width: number): uPlot => {
    const axis = { font: FONT, stroke: () => colour("--faint"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false } };
    const options: uPlot.Options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_u, _least, most) => [0, most * 1.06 || 1] } },
      axes: [
        { ...axis, values: (_u, at) => at.map((v) => nanoseconds(v)) },
        { ...axis, size: 76, incrs: BINARY_STEPS, values: (_u, at) => at.map((v) => bytes(v)) },
      ],
      series: [{}, { stroke: () => colour("--c0"), width: 1.4, points: { show: false } }],
    };
    return new uPlot(options, [moments.offset, moments.bytes] as unknown as uPlot.AlignedData, plot);
  };
  plot.addEventListener("pointermove", (event) => {
    if (!chart) return;
    const { left } = plot.getBoundingClientRect();
    const at = chart.valToPos(0, "x"); // u.posToVal belongs to the cursor, which is not built in
    const unit = chart.valToPos(1, "x") - at;
    const wanted = (event.clientX - left - chart.bbox.left / devicePixelRatio - at) / unit;
    readout.textContent = say(moments.offset.reduce((best, v, i) => (Math.abs(v - wanted) < Math.abs(moments.offset[best]! - wanted) ? i : best), 0));
  });
  plot.addEventListener("pointerleave", () => (readout.textContent = rest));
  new ResizeObserver(make).observe(plot);
  onThemeChange(() => chart?.redraw());
  const table = rowsTable(
    "Moments",
    moments.offset.length,
    [
      { title: "After", numeric: true, key: (row) => moments.offset[row]!, show: (row) => nanoseconds(moments.offset[row]!) },
      { title: "Memory held", numeric: true, key: (row) => moments.bytes[row]!, show: (row) => bytes(moments.bytes[row]!) },
      { title: "What happened", key: name, show: name, className: "code" },
    ],
    null,
    name,
  );
  return element("div", {}, plot, readout, ...stack(data), element("details", {}, element("summary", {}, "The curve in numbers"), table));
}

/** The calls that were running at the peak, the innermost first: that is where to look. */
function stack({ header }: ProfileData): HTMLElement[] {
  if (!header.peak) return [];
  const [offset, held, frames] = header.peak;
  const rows = [...frames].reverse().map((number) => {
    if (number < 0) return element("li", {}, "…");
    const [name, file, line] = header.frames[number] ?? ["?", "", null];
    return element("li", {}, element("code", {}, name), ` ${line === null ? file : `${file}:${line}`}`);
  });
  return [element("h4", {}, `Running at the peak of ${bytes(held)}, after ${nanoseconds(offset)}`), element("ol", { class: "stack" }, ...rows)];
}
