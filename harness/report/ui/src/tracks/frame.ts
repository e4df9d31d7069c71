// What all tracks have in common: the same left and right edge, and the same background of phases, rounds and findings.

import { colour } from "../theme";
import { clock, wallClock } from "../format";
import type { Meta } from "../payload";
import type { View } from "../view";

export const LEFT = 76;
export const RIGHT = 132;
const TICK_PIXELS = 90;
const STEPS = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

/** A stretch to tint, in seconds. */
interface Band {
  lo: number;
  hi: number;
  fill: string;
}

export interface Phase {
  name: string;
  label: string;
  lo: number;
  hi: number;
  round: number | null;
}

export interface Frame {
  view: View;
  meta: Meta;
  phases: Phase[];
  floors: number[];
  /** Whether times are those of the recording host's clock, not seconds since the start. */
  wall: boolean;
  /** Finding whose range is marked, chosen by its button. */
  marked: number | null;
}

/** From the begin of the first measured round to the end of the last, in seconds; backwards where there is none. */
export function measured(meta: Meta): [number, number] {
  const rounds = meta.windows.filter((w) => w[0] === "rounds");
  return [Math.min(...rounds.map((w) => w[3] / 1e6)), Math.max(...rounds.map((w) => (w[4] ?? Infinity) / 1e6))];
}

/** Phases and rounds as drawn: the measured phase as its rounds, every other phase as one stretch. */
export function phasesOf(meta: Meta, end: number): Phase[] {
  const out = new Map<string, Phase>();
  const inRounds = meta.windows.some((w) => w[0] === "rounds" && w[1] !== null);
  for (const [name, number, block, start, stop] of meta.windows) {
    if (block !== null || (name === "rounds" && inRounds && number === null)) continue;
    const round = name === "rounds" ? number : null;
    const key = `${name} ${round}`;
    const known = out.get(key);
    const lo = Math.min(known?.lo ?? Infinity, start / 1e6);
    const hi = Math.max(known?.hi ?? -Infinity, stop === null ? end : stop / 1e6);
    out.set(key, { name, label: round === null ? name.replace("warmup", "warm-up") : String(round), lo, hi, round });
  }
  const phases = [...out.values()];
  const [, last] = measured(meta);
  for (const phase of phases) if (Number.isFinite(last) && phase.lo >= last) phase.label += ", after the measured rounds: the harness's own probes and profilers";
  return phases;
}

export function floorsOf(meta: Meta): number[] {
  return meta.windows.filter((w) => w[5] !== null && w[1] !== null && w[2] === null).map((w) => w[5]! / 1e6);
}

/** Instants for the labels of the axis: a round number of seconds apart, about one every 90 pixels. */
export function ticks({ view, wall, meta }: Frame, pixels: number): { at: number[]; step: number } {
  const wanted = (view.length * TICK_PIXELS) / Math.max(pixels, 1);
  const step = STEPS.find((s) => s >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
  const at: number[] = [];
  const shift = wall ? (meta.startedMs / 1000 + meta.utcOffsetS) % step : 0; // round times of that clock
  for (let i = Math.ceil((view.lo + shift) / step); i * step - shift <= view.hi; i++) at.push(i * step - shift);
  return { at, step };
}

/** Horizontal position in CSS pixels of a time in a track of that width. */
export function x(view: View, time: number, width: number): number {
  return LEFT + ((time - view.lo) / view.length) * (width - LEFT - RIGHT);
}

export function timeAt(view: View, position: number, width: number): number {
  return view.lo + ((position - LEFT) / Math.max(width - LEFT - RIGHT, 1)) * view.length;
}

function bands(frame: Frame): Band[] {
  const out: Band[] = frame.phases.map((p) => ({
    lo: p.lo,
    hi: p.hi,
    fill: colour(p.name === "rounds" ? (p.round! % 2 ? "--band-odd" : "--band-even") : p.name === "profiled" ? "--band-profiled" : "--band-other"),
  }));
  const marked = frame.marked === null ? null : frame.meta.findings[frame.marked]?.range;
  if (marked) out.push({ lo: marked[0] / 1e6, hi: marked[1] / 1e6, fill: colour("--band-finding") });
  const { mark } = frame.view;
  if (mark) out.push({ lo: mark[0], hi: mark[1], fill: colour("--band-mark") });
  return out;
}

/** Tints behind the data of a track; `context` is in CSS pixels. */
export function paintBackground(context: CanvasRenderingContext2D, frame: Frame, width: number, top: number, height: number): void {
  const { view } = frame;
  const right = width - RIGHT;
  for (const band of bands(frame)) {
    const from = Math.max(x(view, band.lo, width), LEFT);
    const to = Math.min(x(view, band.hi, width), right);
    if (to <= from) continue;
    context.fillStyle = band.fill;
    context.fillRect(from, top, Math.max(to - from, 1), height);
  }
}

export function clipToPlot(context: CanvasRenderingContext2D, width: number, height: number): void {
  context.beginPath();
  context.rect(LEFT, 0, width - LEFT - RIGHT, height);
  context.clip();
}

export function paintGrid(context: CanvasRenderingContext2D, frame: Frame, width: number, height: number): void {
  context.strokeStyle = colour("--grid");
  context.lineWidth = 1;
  context.beginPath();
  for (const at of ticks(frame, width - LEFT - RIGHT).at) {
    const px = Math.round(x(frame.view, at, width)) + 0.5;
    context.moveTo(px, 0);
    context.lineTo(px, height);
  }
  context.stroke();
}

export function tickLabel({ wall, meta }: Frame, at: number, step: number): string {
  if (!wall) return clock(at, step);
  const text = wallClock(meta.startedMs + Math.round(at * 1000), meta.utcOffsetS).slice(0, 12);
  return step >= 60 ? text.slice(0, 5) : step >= 1 ? text.slice(0, 8) : text;
}

/** Text cut with an ellipsis to a width in pixels. */
export function fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let lo = 0;
  let hi = text.length;
  while (lo < hi) {
    const middle = (lo + hi + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) lo = middle;
    else hi = middle - 1;
  }
  return lo ? `${text.slice(0, lo)}…` : "";
}

export const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
