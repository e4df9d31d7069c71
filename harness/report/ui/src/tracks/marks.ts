// What happened at an instant, a row for each kind: births, ends, kills, floors, collections, trims, profiled requests.

import { element, sized } from "../dom";
import { clock, count } from "../format";
import { colour } from "../theme";
import { FONT, type Frame, LEFT, RIGHT, clipToPlot, paintBackground, paintGrid, timeAt, x } from "./frame";
import { Track } from "./track";

const ROW = 15;
const NEAR = 5; // pixels
const INKS = ["--c2", "--c5", "--bad", "--accent", "--c6", "--c3", "--profiled", "--warn"];

interface Mark {
  at: number;
  end: number;
  text: string;
}

export class MarksTrack extends Track {
  private readonly canvas = element("canvas", { "aria-hidden": "true" });
  private readonly readout = element("span", { class: "readout" });
  private readonly rows: { name: string; ink: string; marks: Mark[] }[];

  constructor(frame: Frame) {
    super(frame, "events", "Events", "collections, probes and lives; the same as a table below");
    const { rows, marks, cut } = frame.meta;
    this.rows = rows
      .map((name, row) => ({
        name,
        ink: INKS[row]!,
        marks: marks.filter((m) => m[0] === row).map(([, at, end, text]) => ({ at: at / 1e6, end: (end ?? at) / 1e6, text })),
      }))
      .filter((row) => row.marks.length);
    this.legend.append(this.readout, ...cut.map((text) => element("span", { class: "empty" }, text)));
    this.plot.append(this.canvas);
  }

  override draw(): void {
    const width = this.width();
    if (!this.visible || width <= LEFT + RIGHT) return;
    const { view } = this.frame;
    const height = this.rows.length * ROW + 4;
    const context = sized(this.canvas, width, height);
    paintBackground(context, this.frame, width, 0, height);
    context.font = FONT;
    context.textBaseline = "middle";
    this.rows.forEach((row, i) => {
      const inside = row.marks.filter((m) => m.end >= view.lo && m.at <= view.hi).length;
      context.fillStyle = colour("--faint");
      context.textAlign = "right";
      context.fillText(row.name, LEFT - 6, 2 + (i + 0.5) * ROW);
      context.textAlign = "left";
      context.fillText(count(inside), width - RIGHT + 11, 2 + (i + 0.5) * ROW);
    });
    context.save();
    clipToPlot(context, width, height);
    paintGrid(context, this.frame, width, height);
    this.rows.forEach((row, i) => {
      context.fillStyle = colour(row.ink);
      for (const mark of row.marks) {
        const from = x(view, mark.at, width);
        context.fillRect(from - 1, 4 + i * ROW, Math.max(x(view, mark.end, width) - from, 2), ROW - 4);
      }
    });
    context.restore();
  }

  override hover(px: number, py: number | null): void {
    const row = py === null ? undefined : this.rows[Math.floor((py - 2) / ROW)];
    const { view } = this.frame;
    const width = this.width();
    const time = timeAt(view, px, width);
    const reach = (NEAR * view.length) / Math.max(width - LEFT - RIGHT, 1);
    const near = row?.marks.filter((m) => m.at - reach <= time && m.end + reach >= time) ?? [];
    this.readout.textContent = near.length ? `${clock(near[0]!.at, 0.01)} ${near[0]!.text}${near.length > 1 ? ` and ${near.length - 1} more here` : ""}` : "";
  }

  override read(): void {}
}
