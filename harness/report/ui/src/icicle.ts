// The call tree from the top down: width is a share of time or memory, depth is depth; colour tells where memory grew.

import { element, perFrame, sized } from "./dom";
import { count, value as inUnit } from "./format";
import type { Measure, ProfileData } from "./profile_data";
import { colour } from "./theme";
import { FONT, fitted } from "./tracks/frame";

const ROW = 20;
const MOST_ROWS = 60;

interface Box {
  node: number;
  x: number;
  y: number;
  width: number;
}

export class Icicle {
  readonly root: HTMLElement;
  private readonly canvas = element("canvas", { "aria-hidden": "true" });
  private readonly trail = element("nav", { class: "trail", "aria-label": "Zoomed into" });
  private readonly readout = element("output", { class: "readout" });
  private readonly area: HTMLElement;
  private top: number | null = null; // the node that fills the width; null: all roots
  private selected: number;
  private boxes: Box[] = [];
  private readonly redraw = perFrame(() => this.draw());
  private readonly depths: Float64Array;
  private readonly help = element("p", { class: "lead" });
  private measure: Measure;
  private tint: number | null = null;
  private mostTint = 0;
  private found: Uint8Array | null = null; // by frame: whether its name or file has what is searched
  private readonly search = element("input", { type: "search", placeholder: "find", "aria-label": "Find in the call tree" });
  private readonly matches = element("output", {});

  constructor(private readonly data: ProfileData, choices: Measure[]) {
    const { tree } = data;
    this.measure = choices[0]!;
    this.selected = tree.roots[0] ?? 0;
    this.depths = new Float64Array(tree.count);
    tree.parent.forEach((p, i) => (this.depths[i] = p < 0 ? 0 : this.depths[p]! + 1));
    this.area = element(
      "div",
      {
        class: "icicle",
        tabindex: 0,
        role: "application",
        "aria-label": "Call tree. Arrows move between callers and callees, Enter zooms in, Escape zooms out.",
      },
      this.canvas,
    );
    this.root = element("div", {}, this.chooser(choices), this.help, element("div", { class: "filter" }, this.search, this.matches), this.trail, this.area, this.readout);
    this.search.addEventListener("input", () => this.find());
    this.show(this.measure);
    this.listen();
    new ResizeObserver(this.redraw).observe(this.area);
    this.describe();
  }

  private chooser(choices: Measure[]): HTMLElement {
    const buttons = choices.map((choice, i) =>
      element("button", { type: "button", "aria-pressed": String(i === 0), click: () => pick(i) }, this.data.header.types[choice.type]!.name.replace(/_/g, " ")),
    );
    const pick = (index: number): void => {
      buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === index)));
      this.show(choices[index]!);
      this.find();
    };
    const group = element("div", { class: "choice", role: "group", "aria-label": "what the widths are" }, ...buttons);
    group.hidden = choices.length < 2;
    return group;
  }

  /** Calls that match stand out; how much of the whole they hold, each counted with its callees, is said. */
  private find(): void {
    const wanted = this.search.value.trim().toLowerCase();
    const { tree, header } = this.data;
    this.found = wanted ? Uint8Array.from(header.frames, ([name, file]) => Number(`${name} ${file}`.toLowerCase().includes(wanted))) : null;
    let [calls, held] = [0, 0];
    const inside = new Uint8Array(tree.count); // below a call that matches
    for (let node = 0; this.found && node < tree.count; node++) {
      const parent = tree.parent[node]!; // parents come first
      const above = parent >= 0 && inside[parent]!;
      const hit = this.found[tree.frame[node]!];
      if (hit) calls++;
      if (hit && !above) held += this.measure.values[node]!;
      inside[node] = Number(above || hit);
    }
    const whole = tree.roots.reduce((sum, n) => sum + this.measure.values[n]!, 0) || 1;
    this.matches.textContent = this.found ? `${count(calls)} boxes, ${((100 * held) / whole).toFixed(1)} % of the whole` : "";
    this.redraw();
  }

  private show(measure: Measure): void {
    const { tree, header } = this.data;
    this.measure = measure;
    const other = header.types.findIndex((t, i) => i !== measure.type && t.unit === "bytes");
    this.tint = other < 0 ? null : other;
    this.mostTint = this.tint === null ? 0 : tree.self[this.tint]!.reduce((a, b) => Math.max(a, b), 0);
    this.help.textContent = this.explain();
  }

  private explain(): string {
    const { title } = this.data.header.types[this.measure.type]!;
    const width = this.measure.summed ? `${title}, of each call itself and summed up over the calls below it` : title;
    const tint = this.tint === null ? "" : ` Colour: ${this.data.header.types[this.tint]!.title}, of the call itself.`;
    return `Width: ${width}. Equal calls on one path are one box; the order of boxes is not that of calls.${tint} Click or Enter zooms in, Escape out.`;
  }

  draw(): void {
    const width = this.area.clientWidth;
    if (!width) return;
    this.boxes = this.layout(width);
    const rows = this.boxes.reduce((most, b) => Math.max(most, b.y / ROW + 1), 1);
    const context = sized(this.canvas, width, rows * ROW + 2);
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const box of this.boxes) this.paint(context, box);
  }

  private layout(width: number): Box[] {
    const { tree } = this.data;
    const { values } = this.measure;
    const boxes: Box[] = [];
    const tops = this.top === null ? tree.roots : [this.top];
    const total = tops.reduce((sum, n) => sum + values[n]!, 0) || 1;
    const place = (nodes: number[], left: number, depth: number, scale: number): void => {
      let at = left;
      for (const node of nodes) {
        const wide = values[node]! * scale;
        if (wide >= 0.5 && depth < MOST_ROWS) {
          boxes.push({ node, x: at, y: depth * ROW, width: wide });
          place(tree.children[node]!, at, depth + 1, scale);
        }
        at += wide;
      }
    };
    place(tops, 0, 0, width / total);
    return boxes;
  }

  private paint(context: CanvasRenderingContext2D, box: Box): void {
    const { tree, header } = this.data;
    context.fillStyle = colour("--icicle");
    context.fillRect(box.x, box.y, Math.max(box.width - 1, 0.5), ROW - 1);
    const grown = this.tint === null ? 0 : Math.max(tree.self[this.tint]![box.node]!, 0);
    if (grown && this.mostTint) {
      context.globalAlpha = 0.15 + 0.75 * Math.sqrt(grown / this.mostTint);
      context.fillStyle = colour("--icicle-hot");
      context.fillRect(box.x, box.y, Math.max(box.width - 1, 0.5), ROW - 1);
      context.globalAlpha = 1;
    }
    if (this.found) {
      context.globalAlpha = this.found[tree.frame[box.node]!] ? 0.45 : 0.75;
      context.fillStyle = colour(this.found[tree.frame[box.node]!] ? "--accent" : "--surface");
      context.fillRect(box.x, box.y, Math.max(box.width - 1, 0.5), ROW - 1);
      context.globalAlpha = 1;
    }
    if (box.node === this.selected) {
      context.strokeStyle = colour("--text");
      context.lineWidth = 2;
      context.strokeRect(box.x + 1, box.y + 1, Math.max(box.width - 3, 1), ROW - 3);
    }
    if (box.width > 32) {
      context.fillStyle = colour("--text");
      context.fillText(fitted(context, this.nameOf(box.node, header), box.width - 8), box.x + 4, box.y + ROW / 2);
    }
  }

  private nameOf(node: number, header = this.data.header): string {
    return header.frames[this.data.tree.frame[node]!]?.[0] ?? "?";
  }

  private listen(): void {
    const find = (event: MouseEvent): Box | undefined => {
      const bounds = this.canvas.getBoundingClientRect();
      const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
      return this.boxes.find((b) => px >= b.x && px < b.x + b.width && py >= b.y && py < b.y + ROW);
    };
    this.canvas.addEventListener("pointermove", (event) => this.describe(find(event)?.node));
    this.canvas.addEventListener("pointerleave", () => this.describe());
    this.canvas.addEventListener("click", (event) => {
      const box = find(event);
      if (box) this.zoom(box.node);
    });
    this.area.addEventListener("keydown", (event) => {
      if (this.key(event.key)) event.preventDefault();
    });
  }

  private key(key: string): boolean {
    const { tree } = this.data;
    const parent = tree.parent[this.selected]!;
    const siblings = parent < 0 ? tree.roots : tree.children[parent]!;
    const place = siblings.indexOf(this.selected);
    const moves: Record<string, number | undefined> = {
      ArrowUp: parent < 0 ? undefined : parent,
      ArrowDown: largest(tree.children[this.selected]!, this.measure.values),
      ArrowLeft: siblings[place - 1],
      ArrowRight: siblings[place + 1],
    };
    if (key in moves) {
      this.selected = moves[key] ?? this.selected;
      this.describe();
      this.redraw();
    } else if (key === "Enter") this.zoom(this.selected);
    else if (key === "Escape" || key === "Backspace") this.zoom(this.top === null || tree.parent[this.top]! < 0 ? null : tree.parent[this.top]!);
    else return false;
    return true;
  }

  private zoom(node: number | null): void {
    this.top = node;
    if (node !== null) this.selected = node;
    const steps: number[] = [];
    for (let at = node; at !== null && at >= 0; at = this.data.tree.parent[at]!) steps.unshift(at);
    this.trail.replaceChildren(
      ...(node === null ? [] : [element("button", { type: "button", click: () => this.zoom(null) }, "all")]),
      ...steps.map((n) => element("button", { type: "button", click: () => this.zoom(n) }, this.nameOf(n))),
    );
    this.describe();
    this.redraw();
  }

  private describe(node = this.selected): void {
    const { tree, header } = this.data;
    if (!tree.count) return;
    const frame = header.frames[tree.frame[node]!];
    const where = frame ? `${frame[1]}${frame[2] === null ? "" : `:${frame[2]}`}` : "";
    const values = header.types.map((t, i) => `${t.name.replace(/_/g, " ")} ${inUnit(tree.inclusive[i]![node]!, t.unit)} (self ${inUnit(tree.self[i]![node]!, t.unit)})`);
    this.readout.textContent = [this.nameOf(node), where, `${count(tree.calls[node]!)} calls`, ...values].filter(Boolean).join(" · ");
  }
}

function largest(nodes: number[], values: Float64Array): number | undefined {
  let best: number | undefined;
  for (const node of nodes) if (best === undefined || values[node]! > values[best]!) best = node;
  return best;
}
