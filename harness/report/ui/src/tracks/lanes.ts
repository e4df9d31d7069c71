// Requests as a lane per worker: where, how long, how it ended, and what it left behind.

import { element, sized } from "../dom";
import { bytes, count, nanoseconds, signedBytes } from "../format";
import { lowerBound } from "../lines";
import { HAS_DELTA, HAS_PEAK, PROFILED, type Requests } from "../requests";
import { colour, rgb } from "../theme";
import { FONT, type Frame, LEFT, RIGHT, clipToPlot, fitted, paintBackground, paintGrid, timeAt } from "./frame";
import { Track } from "./track";

const LANES = 40;
const GRADES = ["--ok", "--redirect", "--refused", "--failed"];
const GRADE_NAMES = ["2xx or done", "3xx", "4xx or failed check", "5xx or no response"];
const BAD = 2; // from this grade on
const FAINT = 0.45; // opacity of a request that left nothing behind
const NEAR = 4; // pixels

interface Lane {
  label: string;
  workers: Set<number>;
}

export class LanesTrack extends Track {
  private readonly canvas = element("canvas", { "aria-hidden": "true" });
  private readonly lanes: Lane[];
  private readonly laneOf = new Map<number, number>();
  /** By row: its lane, how it ended, how strong it is drawn; asked for each request of each frame. */
  private readonly looks: { lane: Uint8Array; grade: Uint8Array; strength: Float32Array };
  private readonly cells = element("canvas");
  private readonly laneHeight: number;
  private readonly readout = element("span", { class: "readout" });

  constructor(frame: Frame, private readonly requests: Requests, private readonly openProfile: (row: number) => boolean) {
    super(frame, "requests", "Requests", "one lane per worker; stronger colour where its memory grew; diamonds open a profile");
    this.lanes = this.makeLanes();
    this.looks = {
      lane: Uint8Array.from(requests.worker, (w) => this.laneOf.get(w)!),
      grade: Uint8Array.from(requests.start, (_, row) => requests.grade(row)),
      strength: Float32Array.from(requests.start, (_, row) => this.strength(row)),
    };
    this.laneHeight = this.lanes.length > 24 ? 6 : this.lanes.length > 10 ? 10 : 14;
    const used = new Set(this.looks.grade);
    GRADE_NAMES.forEach((name, grade) => {
      if (used.has(grade)) this.key(GRADES[grade]!.slice(2), name);
    });
    this.legend.append(this.readout);
    this.plot.append(this.canvas);
    if (!requests.count) {
      this.legend.replaceChildren(element("span", { class: "empty" }, "no request was sent in this run"));
      this.plot.hidden = true;
    }
  }

  /** The busiest workers in order of birth, then the others together, then requests nobody could be found for. */
  private makeLanes(): Lane[] {
    const answered = new Map<number, number>();
    for (const worker of this.requests.worker) answered.set(worker, (answered.get(worker) ?? 0) + 1);
    const busy = [...answered.keys()].filter((w) => w >= 0).sort((a, b) => answered.get(b)! - answered.get(a)! || a - b);
    const own = busy.slice(0, LANES).sort((a, b) => a - b);
    const lanes: Lane[] = own.map((w) => ({ label: this.frame.meta.processes[w]!.name, workers: new Set([w]) }));
    const rest = busy.slice(LANES);
    if (rest.length) lanes.push({ label: `${rest.length} others`, workers: new Set(rest) });
    if (answered.has(-1)) lanes.push({ label: "unknown", workers: new Set([-1]) });
    lanes.forEach((lane, i) => lane.workers.forEach((w) => this.laneOf.set(w, i)));
    return lanes;
  }

  override draw(): void {
    const width = this.width();
    if (!this.visible || !this.requests.count || width <= LEFT + RIGHT) return;
    const height = this.lanes.length * this.laneHeight + 4;
    const context = sized(this.canvas, width, height);
    paintBackground(context, this.frame, width, 0, height);
    this.paintLabels(context, width);
    context.save();
    clipToPlot(context, width, height);
    paintGrid(context, this.frame, width, height);
    this.paintRequests(context, width);
    context.restore();
    context.globalAlpha = 1;
  }

  private paintLabels(context: CanvasRenderingContext2D, width: number): void {
    context.font = FONT;
    context.textBaseline = "middle";
    const every = Math.ceil(12 / this.laneHeight);
    this.lanes.forEach((lane, i) => {
      const top = i * this.laneHeight + 2;
      context.fillStyle = colour("--grid");
      context.fillRect(LEFT, top + this.laneHeight - 1, width - LEFT - RIGHT, 1);
      if (i % every) return;
      context.textAlign = "right";
      context.fillStyle = colour("--faint");
      context.fillText(fitted(context, lane.label, LEFT - 10), LEFT - 6, top + this.laneHeight / 2);
    });
  }

  /** Wide requests one by one; where several share a pixel, the worst and the one that left most behind is shown. */
  private paintRequests(context: CanvasRenderingContext2D, width: number): void {
    const { requests, frame, looks } = this;
    const { start, duration, flags } = requests;
    const [from, to] = this.inView();
    const columns = Math.ceil(width);
    const grades = new Int8Array(this.lanes.length * columns).fill(-1);
    const strengths = new Float32Array(this.lanes.length * columns);
    const diamonds: [number, number][] = [];
    const scale = (width - LEFT - RIGHT) / frame.view.length;
    const shift = LEFT - frame.view.lo * scale;
    for (let row = from; row < to; row++) {
      const begin = start[row]! * scale + shift;
      const wide = duration[row]! * scale;
      if (begin + wide < LEFT || begin > width - RIGHT) continue;
      const lane = looks.lane[row]!;
      if (flags[row]! & PROFILED) diamonds.push([(Math.max(begin, LEFT) + begin + wide) / 2, lane]);
      if (wide >= 2) {
        this.bar(context, begin, wide, lane, looks.grade[row]!, looks.strength[row]!);
        continue;
      }
      const cell = lane * columns + Math.max(0, Math.floor(begin));
      if (looks.grade[row]! > grades[cell]!) grades[cell] = looks.grade[row]!;
      if (looks.strength[row]! > strengths[cell]!) strengths[cell] = looks.strength[row]!;
    }
    context.globalAlpha = 1;
    this.paintCells(context, columns, grades, strengths);
    for (const [px, lane] of diamonds) this.diamond(context, px, lane);
  }

  /** One pixel a cell, made at once and stretched to the height of a lane: thousands of small rectangles would take longer. */
  private paintCells(context: CanvasRenderingContext2D, columns: number, grades: Int8Array, strengths: Float32Array): void {
    const inks = GRADES.map(rgb);
    const image = new ImageData(columns, this.lanes.length);
    grades.forEach((grade, cell) => {
      if (grade < 0) return;
      image.data.set(inks[grade]!, 4 * cell);
      image.data[4 * cell + 3] = grade >= BAD ? 255 : 255 * strengths[cell]!;
    });
    this.cells.width = columns;
    this.cells.height = this.lanes.length;
    this.cells.getContext("2d")!.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    this.lanes.forEach((_, lane) => context.drawImage(this.cells, 0, lane, columns, 1, 0, this.topOf(lane), columns, this.barHeight));
    grades.forEach((grade, cell) => {
      if (grade >= BAD) this.bar(context, cell % columns, 1.2, Math.floor(cell / columns), grade, 1);
    });
    context.globalAlpha = 1;
  }

  private topOf(lane: number): number {
    return lane * this.laneHeight + 3;
  }

  private get barHeight(): number {
    return this.laneHeight - (this.laneHeight > 8 ? 4 : 2);
  }

  private inView(): [number, number] {
    const { start, longest } = this.requests;
    const { view } = this.frame;
    return [lowerBound(start, view.lo - longest), lowerBound(start, view.hi)];
  }

  private strength(row: number): number {
    const { requests } = this;
    if (!(requests.flags[row]! & HAS_DELTA) || requests.largestDelta <= 0) return 0.8;
    const grown = Math.max(requests.delta[row]!, 0) / requests.largestDelta;
    return FAINT + (1 - FAINT) * Math.sqrt(grown);
  }

  private bar(context: CanvasRenderingContext2D, px: number, wide: number, lane: number, grade: number, strength: number): void {
    const bad = grade >= BAD; // taller as well as coloured
    context.globalAlpha = bad ? 1 : strength;
    context.fillStyle = colour(GRADES[grade]!);
    context.fillRect(px, this.topOf(lane) - (bad ? 1 : 0), wide, bad ? this.laneHeight - 2 : this.barHeight);
  }

  private diamond(context: CanvasRenderingContext2D, px: number, lane: number): void {
    const py = lane * this.laneHeight + 2 + this.laneHeight / 2 - 1;
    context.beginPath();
    context.moveTo(px, py - 6);
    context.lineTo(px + 6, py);
    context.lineTo(px, py + 6);
    context.lineTo(px - 6, py);
    context.closePath();
    context.fillStyle = colour("--profiled");
    context.fill();
    context.strokeStyle = colour("--surface");
    context.lineWidth = 1.5;
    context.stroke();
  }

  /** The request nearest to a place in the plot; profiled ones win. */
  /** The profiled request nearest to a time; null when there is none. */
  profiled(time: number): number | null {
    const { requests } = this;
    let best: number | null = null;
    for (let row = 0; row < requests.count; row++) {
      if (!(requests.flags[row]! & PROFILED)) continue;
      if (best === null || Math.abs(requests.start[row]! - time) < Math.abs(requests.start[best]! - time)) best = row;
    }
    return best;
  }

  private find(px: number, py: number): number | null {
    const { requests, frame } = this;
    const width = this.width();
    const wanted = Math.floor((py - 2) / this.laneHeight);
    const time = timeAt(frame.view, px, width);
    const reach = (NEAR * frame.view.length) / Math.max(width - LEFT - RIGHT, 1);
    const from = lowerBound(requests.start, time - requests.longest - reach);
    const to = lowerBound(requests.start, time + 2 * reach);
    let best: number | null = null;
    let nearest = Infinity;
    for (let row = from; row < to; row++) {
      if (this.laneOf.get(requests.worker[row]!) !== wanted) continue;
      const begin = requests.start[row]!;
      const end = begin + requests.duration[row]!;
      let distance = time < begin ? begin - time : time > end ? time - end : 0;
      if (requests.flags[row]! & PROFILED) distance = distance <= 2 * reach ? -1 : distance;
      if (distance <= reach && distance < nearest) {
        nearest = distance;
        best = row;
      }
    }
    return best;
  }

  override hover(px: number, py: number | null): void {
    const row = py === null ? null : this.find(px, py);
    this.plot.classList.toggle("clickable", row !== null && (this.requests.flags[row]! & PROFILED) !== 0);
    this.readout.textContent = row === null ? this.total() : this.describe(row);
  }

  override click(px: number, py: number): boolean {
    const row = this.find(px, py);
    return row !== null && this.openProfile(row);
  }

  private describe(row: number): string {
    const { requests, frame } = this;
    const worker = requests.worker[row]!;
    const parts = [
      requests.endpoints[requests.endpoint[row]!] ?? "",
      requests.status[row] ? `status ${requests.status[row]}` : requests.failed(row) ? "no response" : "done",
      nanoseconds(requests.duration[row]! * 1e9),
      worker >= 0 ? `worker ${frame.meta.processes[worker]!.name}` : "worker unknown",
    ];
    if (requests.waited[row]! > 0) parts.push(`started ${nanoseconds(requests.waited[row]! * 1e9)} late`);
    if (requests.flags[row]! & HAS_DELTA) parts.push(`RSS ${signedBytes(requests.delta[row]!)}`);
    if (requests.flags[row]! & HAS_PEAK) parts.push(`peak ${bytes(requests.peak[row]!)}`);
    const trouble = requests.troubles[requests.trouble[row]!];
    if (trouble) parts.push(trouble);
    return parts.join(" · ");
  }

  private total(): string {
    const [from, to] = this.requests.between(this.frame.view.lo, this.frame.view.hi);
    return `${count(to - from)} requests shown`;
  }

  override read(): void {
    if (!this.readout.textContent || this.readout.textContent.endsWith("shown")) this.readout.textContent = this.total();
  }
}
