// Above the tracks: the whole run with a brush, then phases, floors, events and the time axis of what is shown.

import { element, sized } from "../dom";
import { wallClock } from "../format";
import { ends, type Series, valueAt } from "../lines";
import type { Requests } from "../requests";
import { colour } from "../theme";
import { FONT, type Frame, LEFT, RIGHT, clipToPlot, fitted, tickLabel, ticks, x } from "./frame";

const OVERVIEW = 40;
const RULER = 40;
const PHASES = 17;
const HANDLE = 6;
const TROUBLE = ["ended", "OOM kills", "other"]; // marks that the ruler shows too

/** The whole run in one strip; dragging in it moves, resizes or makes the range that is shown. */
export class Overview {
  readonly canvas = element("canvas", { class: "overview", "aria-hidden": "true" });

  private readonly whole = element("canvas");
  private painted = "";

  constructor(private readonly frame: Frame, private readonly totals: Series[], private readonly requests: Requests) {
    this.listen();
  }

  private width(): number {
    return this.canvas.parentElement?.clientWidth ?? 0;
  }

  private position(time: number, width: number): number {
    const { view } = this.frame;
    return LEFT + ((time - view.first) / (view.last - view.first)) * (width - LEFT - RIGHT);
  }

  private time(px: number, width: number): number {
    const { view } = this.frame;
    return view.first + ((px - LEFT) / (width - LEFT - RIGHT)) * (view.last - view.first);
  }

  draw(): void {
    const width = this.width();
    if (width <= LEFT + RIGHT) return;
    const context = sized(this.canvas, width, OVERVIEW);
    const still = `${width} ${devicePixelRatio} ${colour("--sunken")} ${this.frame.marked}`;
    if (still !== this.painted) {
      this.painted = still;
      this.paintWhole(sized(this.whole, width, OVERVIEW), width);
    }
    context.drawImage(this.whole, 0, 0, width, OVERVIEW);
    this.paintBrush(context, width);
  }

  /** What stays as it is while the range moves. */
  private paintWhole(context: CanvasRenderingContext2D, width: number): void {
    const right = width - RIGHT;
    context.fillStyle = colour("--sunken");
    context.fillRect(LEFT, 0, right - LEFT, OVERVIEW);
    this.paintRequests(context, width);
    this.paintMemory(context, width);
    this.paintFindings(context, width);
    context.font = FONT;
    context.fillStyle = colour("--faint");
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText("whole run", LEFT - 6, OVERVIEW / 2);
    context.textAlign = "left";
    context.fillText("memory", right + 11, 10);
    context.fillText("requests", right + 11, OVERVIEW - 12);
  }

  private paintMemory(context: CanvasRenderingContext2D, width: number): void {
    const first = this.totals[0];
    if (!first) return;
    const columns = Math.round(width - LEFT - RIGHT);
    const sums = new Float64Array(columns);
    for (const series of this.totals) {
      const found = ends(series);
      if (!found) continue;
      const [begin, end] = [series.base[found.from]!, series.base[found.to]!];
      for (let i = 0; i < columns; i++) {
        const time = this.time(LEFT + i, width);
        if (time >= begin && time <= end) sums[i]! += valueAt(series.base, series, time) ?? 0;
      }
    }
    const most = sums.reduce((a, b) => Math.max(a, b), 0);
    if (!most) return;
    context.beginPath();
    let drawing = false;
    for (let i = 0; i < columns; i++) {
      const py = OVERVIEW - 3 - (sums[i]! / most) * (OVERVIEW - 8);
      if (!sums[i]) drawing = false;
      else if (drawing) context.lineTo(LEFT + i, py);
      else {
        context.moveTo(LEFT + i, py);
        drawing = true;
      }
    }
    context.strokeStyle = colour("--c0");
    context.lineWidth = 1.5;
    context.stroke();
  }

  private paintRequests(context: CanvasRenderingContext2D, width: number): void {
    const bin = 3;
    const bins = new Float64Array(Math.ceil((width - LEFT - RIGHT) / bin));
    for (const start of this.requests.start) {
      const i = Math.floor((this.position(start, width) - LEFT) / bin);
      if (i >= 0 && i < bins.length) bins[i]!++;
    }
    const most = bins.reduce((a, b) => Math.max(a, b), 0);
    context.fillStyle = colour("--context");
    bins.forEach((n, i) => {
      if (n) context.fillRect(LEFT + i * bin, OVERVIEW - (n / most) * 16, bin - 1, (n / most) * 16);
    });
  }

  private paintFindings(context: CanvasRenderingContext2D, width: number): void {
    this.frame.meta.findings.forEach((finding, i) => {
      if (!finding.range) return;
      const from = this.position(finding.range[0] / 1e6, width);
      const to = this.position(finding.range[1] / 1e6, width);
      context.fillStyle = colour(finding.severity === "critical" ? "--bad" : finding.severity === "warning" ? "--warn" : "--info");
      context.fillRect(from, i === this.frame.marked ? 0 : 1, Math.max(to - from, 2), i === this.frame.marked ? 4 : 2);
    });
  }

  private paintBrush(context: CanvasRenderingContext2D, width: number): void {
    const { view } = this.frame;
    const right = width - RIGHT;
    const from = this.position(view.lo, width);
    const to = this.position(view.hi, width);
    if (!view.whole) {
      context.fillStyle = colour("--shade");
      context.fillRect(LEFT, 0, from - LEFT, OVERVIEW);
      context.fillRect(to, 0, right - to, OVERVIEW);
    }
    context.strokeStyle = colour("--accent");
    context.lineWidth = 1.5;
    context.strokeRect(from + 0.75, 0.75, Math.max(to - from - 1.5, 1), OVERVIEW - 1.5);
    context.fillStyle = colour("--accent");
    for (const px of [from, to]) context.fillRect(px - 2, OVERVIEW / 2 - 8, 4, 16);
  }

  private listen(): void {
    const { view } = this.frame;
    let drag: { kind: "from" | "to" | "move" | "new"; at: number; lo: number; hi: number } | null = null;
    const place = (event: PointerEvent) => event.clientX - this.canvas.getBoundingClientRect().left;
    this.canvas.addEventListener("pointerdown", (event) => {
      const width = this.width();
      const px = place(event);
      const from = this.position(view.lo, width);
      const to = this.position(view.hi, width);
      const near = (edge: number) => Math.abs(px - edge) <= HANDLE;
      const kind = near(from) ? "from" : near(to) ? "to" : px > from && px < to && !view.whole ? "move" : "new";
      drag = { kind, at: this.time(px, width), lo: view.lo, hi: view.hi };
      this.canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const time = this.time(place(event), this.width());
      if (drag.kind === "move") view.show(drag.lo + time - drag.at, drag.hi + time - drag.at);
      else if (drag.kind === "from") view.show(time, drag.hi);
      else if (drag.kind === "to") view.show(drag.lo, time);
      else if (Math.abs(time - drag.at) > (view.last - view.first) / 500) view.show(drag.at, time);
    });
    this.canvas.addEventListener("pointerup", () => (drag = null));
    this.canvas.addEventListener("pointercancel", () => (drag = null));
    this.canvas.addEventListener("dblclick", () => view.reset());
  }
}

/** Phases and rounds by name, floors as ticks, events, and the labels of the time axis. */
export class Ruler {
  readonly canvas = element("canvas", { class: "ruler", "aria-hidden": "true" });

  constructor(private readonly frame: Frame) {}

  draw(): void {
    const width = this.canvas.parentElement?.clientWidth ?? 0;
    if (width <= LEFT + RIGHT) return;
    const context = sized(this.canvas, width, RULER);
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillStyle = colour("--faint");
    context.fillText("phase", LEFT - 6, PHASES / 2);
    if (this.frame.wall) context.fillText(wallClock(0, this.frame.meta.utcOffsetS).slice(13), LEFT - 26, PHASES + 13);
    context.save();
    clipToPlot(context, width, RULER);
    this.paintPhases(context, width);
    this.paintMarks(context, width);
    context.restore();
    this.paintAxis(context, width);
  }

  private paintPhases(context: CanvasRenderingContext2D, width: number): void {
    const { view, phases } = this.frame;
    context.textAlign = "center";
    for (const phase of phases) {
      const from = Math.max(x(view, phase.lo, width), LEFT);
      const to = Math.min(x(view, phase.hi, width), width - RIGHT);
      if (to - from < 1) continue;
      context.fillStyle = colour(phase.name === "rounds" ? "--phase-round" : phase.name === "profiled" ? "--phase-profiled" : "--phase-other");
      context.fillRect(from + 0.5, 0, to - from - 1, PHASES - 2);
      const room = to - from - 6;
      context.fillStyle = colour("--text");
      const label = phase.round !== null && room > 60 ? `round ${phase.label}` : phase.label;
      if (context.measureText(label).width <= room) context.fillText(label, (from + to) / 2, PHASES / 2);
      else if (room > 24) context.fillText(fitted(context, label, room), (from + to) / 2, PHASES / 2);
    }
  }

  private paintMarks(context: CanvasRenderingContext2D, width: number): void {
    const { view, floors, meta } = this.frame;
    context.fillStyle = colour("--accent");
    for (const floor of floors) {
      const px = x(view, floor, width);
      context.beginPath();
      context.moveTo(px - 4, PHASES - 1);
      context.lineTo(px + 4, PHASES - 1);
      context.lineTo(px, PHASES + 5);
      context.fill();
    }
    context.fillStyle = colour("--warn");
    for (const [row, at] of meta.marks) {
      if (!TROUBLE.includes(meta.rows[row]!)) continue;
      const px = x(view, at / 1e6, width);
      context.fillRect(px - 1, PHASES - 1, 2, 6);
    }
  }

  private paintAxis(context: CanvasRenderingContext2D, width: number): void {
    const { at, step } = ticks(this.frame, width - LEFT - RIGHT);
    context.textAlign = "center";
    context.strokeStyle = colour("--line");
    context.beginPath();
    context.moveTo(LEFT, RULER - 0.5);
    context.lineTo(width - RIGHT, RULER - 0.5);
    for (const time of at) {
      const px = Math.round(x(this.frame.view, time, width)) + 0.5;
      context.moveTo(px, RULER - 5);
      context.lineTo(px, RULER);
    }
    context.stroke();
    context.fillStyle = colour("--faint");
    for (const time of at) context.fillText(tickLabel(this.frame, time, step), x(this.frame.view, time, width), PHASES + 13);
  }
}
