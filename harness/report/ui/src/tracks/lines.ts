// A track of lines or stacked areas, drawn by uPlot; axis, labels, gaps and background are ours.

import uPlot from "uplot";
import { element } from "../dom";
import { DASH, value as inUnit } from "../format";
import { type Line, resample, valueAt } from "../lines";
import { DASHES, colour, palette, softened } from "../theme";
import { FONT, type Frame, LEFT, RIGHT, fitted, measured, paintBackground, ticks } from "./frame";
import { type Key, Track } from "./track";

export interface TrackLine {
  label: string;
  /** Number in the palette, or the name of a CSS variable. */
  ink: number | string;
  dash?: number;
  line: Line;
  /** What legend and readout show, when it is not what is drawn (a layer of a stack). */
  shown?: Line;
  /** Context only: thin, grey, without label and legend. */
  faint?: boolean;
  /** Filled down to the axis, with this share of its colour; with several, the later ones cover the earlier. */
  filled?: number;
  /** Whether the run saw it begin and end. */
  marks?: { born: boolean; died: boolean };
}

export interface LinesContent {
  base: Float64Array;
  unit: string;
  lines: TrackLine[];
  /** Whether the axis starts at zero. */
  fromZero?: boolean;
  /** Values are changes: signed on the axis. */
  signed?: boolean;
  /** Said in the legend, such as how many lines were left out. */
  note?: string;
}

export interface Choice {
  label: string;
  make: () => LinesContent | null;
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
export const BINARY_STEPS = [1, 1024, 1024 ** 2, 1024 ** 3, 1024 ** 4].flatMap((unit) => STEPS.map((s) => s * unit));
const DECIMAL_STEPS = Array.from({ length: 16 }, (_, i) => 10 ** i).flatMap((unit) => [1, 2, 5].map((s) => s * unit));
const LABEL_HEIGHT = 13;

export class LinesTrack extends Track {
  private chart: uPlot | null = null;
  private content: LinesContent | null = null;
  private keys: { key: Key; of: TrackLine }[] = [];

  constructor(frame: Frame, id: string, title: string, what: string, private readonly height: number, private readonly choices: Choice[]) {
    super(frame, id, title, what);
    if (choices.length > 1) this.tools.append(this.chooser());
    this.choose(0);
  }

  /** Draw another content of the same track. */
  private choose(index: number): void {
    this.content = this.choices[index]!.make();
    this.chart?.destroy();
    this.chart = null;
    this.legend.replaceChildren();
    const content = this.content;
    if (!content) {
      this.legend.append(element("span", { class: "empty" }, "not measured in this run"));
      this.plot.hidden = true;
      return;
    }
    this.plot.hidden = !this.visible;
    this.keys = content.lines
      .filter((l) => !l.faint)
      .map((l) => ({ key: this.key(swatch(l), l.label), of: l }));
    if (content.note) this.legend.append(element("span", { class: "empty" }, content.note));
  }

  private chooser(): HTMLElement {
    const group = element("div", { class: "choice", role: "group", "aria-label": "what to draw" });
    const buttons = this.choices.map((choice, i) =>
      element("button", { type: "button", "aria-pressed": String(i === 0), click: () => pick(i) }, choice.label),
    );
    const pick = (index: number): void => {
      buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === index)));
      this.choose(index);
      this.draw();
      this.read(this.frame.view.cursor);
    };
    group.append(...buttons);
    return group;
  }

  override draw(): void {
    const { content, frame } = this;
    const width = this.width();
    if (!content || !this.visible || width <= LEFT + RIGHT) return;
    const { view } = frame;
    const drawn = content.lines.map((l) => l.line);
    const data = resample(content.base, drawn, view.lo, view.hi, width - LEFT - RIGHT);
    const dense = data[0].length > width; // thin lines cost a third where they go up and down in every pixel
    if (!this.chart) {
      this.chart = this.create(content, width, data as uPlot.AlignedData);
    } else {
      if (this.chart.width !== width) this.chart.setSize({ width, height: this.height });
      content.lines.forEach((l, i) => (this.chart!.series[i + 1]!.width = thickness(l, dense)));
      this.chart.batch(() => {
        this.chart!.setData(data as uPlot.AlignedData, false);
        this.chart!.setScale("x", { min: view.lo, max: view.hi });
      });
    }
  }

  override read(time: number | null): void {
    const { content } = this;
    if (!content) return;
    const { lo, hi } = this.frame.view;
    const [, end] = measured(this.frame.meta);
    const at = time ?? (end > lo && end < hi ? end : hi);
    for (const { key, of } of this.keys) {
      const found = valueAt(content.base, of.shown ?? of.line, at) ?? (time === null ? lastValue(of.shown ?? of.line) : null);
      key.value.textContent = found === null ? DASH : this.say(found);
    }
  }

  private say(amount: number): string {
    const text = inUnit(amount, this.content!.unit);
    return this.content!.signed && amount > 0 ? `+${text}` : text;
  }

  private create(content: LinesContent, width: number, data: uPlot.AlignedData): uPlot {
    const { view } = this.frame;
    const binary = content.unit.startsWith("bytes");
    const options: uPlot.Options = {
      width,
      height: this.height,
      padding: [8, RIGHT, 6, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: {
        x: { time: false, range: () => [view.lo, view.hi] },
        y: { range: (_u, least, most) => extent(least, most, content.fromZero ?? false) },
      },
      axes: [
        {
          size: 0,
          splits: (u) => ticks(this.frame, u.bbox.width / devicePixelRatio).at,
          values: (_u, splits) => splits.map(() => ""),
          ticks: { show: false },
          grid: { stroke: () => colour("--grid"), width: 1 },
        },
        {
          size: LEFT,
          gap: 6,
          font: FONT,
          stroke: () => colour("--faint"),
          ticks: { show: false },
          grid: { stroke: () => colour("--grid"), width: 1 },
          incrs: binary ? BINARY_STEPS : DECIMAL_STEPS,
          space: 28,
          values: (_u, splits) => axisLabels(splits, content),
        },
      ],
      series: [{}, ...content.lines.map((l) => this.series(l))],
      hooks: {
        drawClear: [(u) => inCssPixels(u, (context) => paintBackground(context, this.frame, u.width, 0, this.height))],
        draw: [(u) => inCssPixels(u, (context) => this.annotate(u, context))],
      },
    };
    return new uPlot(options, data, this.plot);
  }

  private series(of: TrackLine): uPlot.Series {
    const ink = () => (of.faint ? colour("--context") : typeof of.ink === "number" ? palette(of.ink) : colour(of.ink));
    return {
      stroke: ink,
      ...(of.filled ? { fill: () => softened(ink(), of.filled!) } : {}),
      width: thickness(of, false),
      dash: DASHES[(of.dash ?? 0) % DASHES.length]!,
      spanGaps: false,
      points: { show: true, size: 4, stroke: ink, fill: ink, filter: isolated },
    };
  }

  /** Births, deaths and direct labels. */
  private annotate(u: uPlot, context: CanvasRenderingContext2D): void {
    const ratio = devicePixelRatio;
    const top = u.bbox.top / ratio;
    const bottom = top + u.bbox.height / ratio;
    const labels: { y: number; text: string; ink: string }[] = [];
    this.content!.lines.forEach((of, i) => {
      const values = u.data[i + 1]!;
      const ink = of.faint ? colour("--context") : typeof of.ink === "number" ? palette(of.ink) : colour(of.ink);
      if (of.marks) markLife(u, context, values, of.marks, ink);
      if (of.faint) return;
      const last = lastDrawn(values);
      if (last === null) return;
      const position = u.valToPos(last, "y") + top;
      labels.push({ y: Math.min(Math.max(position, top), bottom), text: of.label, ink });
    });
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const right = u.width - RIGHT;
    for (const label of apart(labels, top, bottom)) {
      context.strokeStyle = label.ink;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(right + 2, label.from);
      context.lineTo(right + 8, label.y);
      context.stroke();
      context.fillStyle = label.ink;
      context.fillText(fitted(context, label.text, RIGHT - 14), right + 11, label.y);
    }
  }
}

function thickness(of: TrackLine, dense: boolean): number {
  return of.faint || dense ? 1 : of.filled ? 1.2 : 1.6;
}

/** Classes of a line's legend mark: its colour, and its dashes or how strongly it is filled. */
function swatch(of: TrackLine): string {
  const ink = typeof of.ink === "number" ? `c${of.ink % 8}` : of.ink.slice(2);
  return of.filled ? `${ink} area a${Math.round(of.filled * 100)}` : `${ink} d${of.dash ?? 0}`;
}

function lastValue(of: Line): number | null {
  for (let i = of.y.length - 1; i >= 0; i--) if (Number.isFinite(of.y[i]!)) return of.y[i]!;
  return null;
}

function lastDrawn(values: ArrayLike<number | null | undefined>): number | null {
  for (let i = values.length - 1; i >= 0; i--) {
    const v = values[i];
    if (v !== null && v !== undefined) return v;
  }
  return null;
}

/** Points that no line reaches: their neighbours were not measured. */
function isolated(u: uPlot, seriesIndex: number): number[] {
  const values = u.data[seriesIndex]!;
  const out: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] == null) continue;
    let left = i - 1;
    while (left >= 0 && values[left] === undefined) left--;
    let right = i + 1;
    while (right < values.length && values[right] === undefined) right++;
    if ((left < 0 || values[left] === null) && (right >= values.length || values[right] === null)) out.push(i);
  }
  return out;
}

function extent(least: number | null, most: number | null, fromZero: boolean): [number, number] {
  if (least === null || most === null || least === undefined || most === undefined) return [0, 1];
  if (fromZero) least = Math.min(least, 0);
  const room = (most - least) * 0.06 || Math.max(Math.abs(most) * 0.05, 1);
  return [fromZero && least === 0 ? 0 : least - room, most + room];
}

/** All labels of an axis in one unit, with as many decimals as tell them apart. */
function axisLabels(splits: number[], content: LinesContent): string[] {
  const step = splits.length > 1 ? splits[1]! - splits[0]! : 1;
  const largest = Math.max(...splits.map(Math.abs), 0);
  const plus = (v: number, text: string) => (content.signed && v > 0 ? `+${text}` : text.replace(/^-/, "−"));
  if (content.unit.startsWith("bytes")) {
    const power = largest >= 1024 ** 3 ? 3 : largest >= 1024 ** 2 ? 2 : largest >= 1024 ? 1 : 0;
    const unit = 1024 ** power;
    const digits = step / unit >= 1 ? 0 : step / unit >= 0.1 ? 1 : 2;
    return splits.map((v) => plus(v, v === 0 ? "0" : `${(v / unit).toFixed(digits)} ${["B", "KiB", "MiB", "GiB"][power]}`));
  }
  if (content.unit === "ns") {
    const [unit, name] = largest >= 1e9 ? [1e9, "s"] : largest >= 1e6 ? [1e6, "ms"] : largest >= 1e3 ? [1e3, "µs"] : [1, "ns"];
    const digits = step / unit >= 1 ? 0 : step / unit >= 0.1 ? 1 : 2;
    return splits.map((v) => plus(v, v === 0 ? "0" : `${(v / unit).toFixed(digits)} ${name}`));
  }
  if (content.unit === "percent") return splits.map((v) => `${(v / 100).toFixed(step >= 100 ? 0 : step >= 10 ? 1 : 2)} %`);
  return splits.map((v) => plus(v, v.toFixed(step >= 1 ? 0 : 1)));
}

function inCssPixels(u: uPlot, paint: (context: CanvasRenderingContext2D) => void): void {
  u.ctx.save();
  u.ctx.scale(devicePixelRatio, devicePixelRatio);
  paint(u.ctx);
  u.ctx.restore();
}

/** A ring where a process began, a cross where it ended. */
function markLife(u: uPlot, context: CanvasRenderingContext2D, values: ArrayLike<number | null | undefined>, marks: { born: boolean; died: boolean }, ink: string): void {
  const top = u.bbox.top / devicePixelRatio;
  const left = u.bbox.left / devicePixelRatio;
  const place = (i: number): [number, number] => [u.valToPos(u.data[0]![i]!, "x") + left, u.valToPos(values[i]!, "y") + top];
  const inside = (px: number) => px >= LEFT && px <= u.width - RIGHT;
  let first = 0;
  while (first < values.length && values[first] == null) first++;
  let last = values.length - 1;
  while (last >= 0 && values[last] == null) last--;
  if (last < first) return;
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  if (marks.born && first > 0) {
    const [px, py] = place(first);
    if (inside(px)) {
      context.beginPath();
      context.arc(px, py, 3, 0, 7);
      context.stroke();
    }
  }
  if (marks.died && last < values.length - 1) {
    const [px, py] = place(last);
    if (inside(px)) {
      context.beginPath();
      context.moveTo(px - 3.5, py - 3.5);
      context.lineTo(px + 3.5, py + 3.5);
      context.moveTo(px - 3.5, py + 3.5);
      context.lineTo(px + 3.5, py - 3.5);
      context.stroke();
    }
  }
}

/** Labels moved up and down until none covers another; those that do not fit are left to the legend. */
function apart<T extends { y: number }>(labels: T[], top: number, bottom: number): (T & { from: number })[] {
  const room = Math.max(1, Math.floor((bottom - top) / LABEL_HEIGHT) + 1);
  const placed = labels.slice(0, room).map((l) => ({ ...l, from: l.y }));
  placed.sort((a, b) => a.y - b.y);
  for (let i = 1; i < placed.length; i++) placed[i]!.y = Math.max(placed[i]!.y, placed[i - 1]!.y + LABEL_HEIGHT);
  const last = placed[placed.length - 1];
  if (last && last.y > bottom) {
    last.y = bottom;
    for (let i = placed.length - 2; i >= 0; i--) placed[i]!.y = Math.min(placed[i]!.y, placed[i + 1]!.y - LABEL_HEIGHT);
  }
  return placed;
}
