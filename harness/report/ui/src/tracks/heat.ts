// Free memory by block size: the kernel's buddy allocator as a heat map, order by time.

import { element, sized } from "../dom";
import { bytes, count } from "../format";
import { type Line, lowerBound, valueAt } from "../lines";
import { colour } from "../theme";
import { FONT, type Frame, LEFT, RIGHT, clipToPlot, paintBackground, timeAt, x } from "./frame";
import { Track } from "./track";

const ROW = 11;
const PAGE = 4096;

export interface Order {
  order: number;
  base: Float64Array;
  line: Line;
}

export class HeatTrack extends Track {
  private readonly canvas = element("canvas", { "aria-hidden": "true" });
  private readonly readout = element("span", { class: "readout" });
  private readonly most: number[];
  private hovered: number | null = null;

  constructor(frame: Frame, private readonly orders: Order[]) {
    super(frame, "buddy", "Free blocks", "free memory by block size; a row that fades has lost its blocks: fragmentation");
    this.orders = [...orders].sort((a, b) => b.order - a.order);
    this.most = this.orders.map((o) => o.line.y.reduce((most, v) => (Number.isFinite(v) && v > most ? v : most), 0));
    this.legend.append(
      element("span", { class: "key" }, element("span", { class: "name" }, "share of the row's maximum: 0"), element("i", { class: "ramp" }), element("span", { class: "name" }, "100 %")),
      this.readout,
    );
    this.plot.append(this.canvas);
  }

  override draw(): void {
    const width = this.width();
    if (!this.visible || width <= LEFT + RIGHT) return;
    const height = this.orders.length * ROW + 4;
    const context = sized(this.canvas, width, height);
    paintBackground(context, this.frame, width, 0, height);
    context.font = FONT;
    context.textBaseline = "middle";
    this.orders.forEach((o, row) => {
      const middle = 2 + row * ROW + ROW / 2;
      context.fillStyle = colour("--faint");
      if (row % 2 === 0) {
        context.textAlign = "right";
        context.fillText(bytes(PAGE * 2 ** o.order, 0), LEFT - 6, middle);
      }
    });
    context.save();
    clipToPlot(context, width, height);
    context.fillStyle = colour("--heat");
    this.orders.forEach((o, row) => this.paintRow(context, o, this.most[row]!, 2 + row * ROW, width));
    context.restore();
    context.globalAlpha = 1;
  }

  private paintRow(context: CanvasRenderingContext2D, order: Order, most: number, top: number, width: number): void {
    const { view } = this.frame;
    if (!most) return;
    const from = Math.max(lowerBound(order.base, view.lo) - 1, order.line.first);
    const to = Math.min(lowerBound(order.base, view.hi) + 1, order.line.first + order.line.y.length);
    const step = Math.max(1, Math.floor((to - from) / (width - LEFT - RIGHT)));
    let cell: { from: number; share: number } | null = null; // lasts until the next measurement or gap
    const paint = (until: number): void => {
      if (!cell) return;
      context.globalAlpha = 0.06 + 0.94 * cell.share;
      context.fillRect(cell.from, top, Math.max(until - cell.from, 1) + 0.3, ROW - 1);
      cell = null;
    };
    for (let i = from; i < to; i += step) {
      let least = Infinity; // the worst moment within a pixel
      let gap = false;
      for (let j = i; j < Math.min(i + step, to); j++) {
        const v = order.line.y[j - order.line.first]!;
        if (Number.isNaN(v)) gap = true;
        else if (Number.isFinite(v)) least = Math.min(least, v);
      }
      const px = x(view, order.base[i]!, width);
      if (least < Infinity || gap) paint(px);
      if (least < Infinity) cell = { from: px, share: least / most };
    }
    paint(x(view, order.base[Math.min(to, order.base.length - 1)]!, width));
  }

  override hover(px: number, py: number | null): void {
    this.hovered = py === null ? null : Math.floor((py - 2) / ROW);
    this.read(py === null ? null : timeAt(this.frame.view, px, this.width()));
  }

  override read(time: number | null): void {
    const order = this.hovered === null ? undefined : this.orders[this.hovered];
    if (!order || time === null) {
      this.readout.textContent = "";
      return;
    }
    const found = valueAt(order.base, order.line, time);
    this.readout.textContent = `${bytes(PAGE * 2 ** order.order, 0)} blocks: ${found === null ? "not measured" : count(found)} free`;
  }
}
