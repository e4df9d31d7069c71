// Series as lines: gaps stay gaps, and a picture of any length of time costs about as many points as it has pixels.

import type { Block } from "./decode";
import type { Meta, SeriesEntry, SeriesHeader } from "./payload";

/** Nothing was measured and the line must break. */
const GAP = NaN;
/** This instant belongs to another series; the line goes on. */
const SKIP = -Infinity;
const FACTOR = 2;

/** Values on the instants `first`, `first + 1`, ... of a base. */
export interface Line {
  first: number;
  y: Float64Array;
  levels: Level[];
}

/** Smallest and largest value of each bucket of 2^k instants, numbered on the base. */
interface Level {
  first: number;
  low: Float64Array;
  high: Float64Array;
}

export interface Series extends Line {
  metric: string;
  process: number | null;
  pool: number | null;
  unit: string;
  base: Float64Array;
}

/** All series of the page by metric, decoded when first asked for. */
export class SeriesStore {
  private readonly bases = new Map<number, Float64Array>();
  private readonly decoded = new Map<SeriesEntry, Series>();
  readonly metrics = new Map<string, SeriesEntry[]>();

  constructor(private readonly block: Block<SeriesHeader>, readonly meta: Meta) {
    for (const entry of block.header.series) {
      const known = this.metrics.get(entry.metric);
      if (known) known.push(entry);
      else this.metrics.set(entry.metric, [entry]);
    }
  }

  of(metric: string): Series[] {
    return (this.metrics.get(metric) ?? []).map((entry) => this.decode(entry));
  }

  get entries(): SeriesEntry[] {
    return this.block.header.series;
  }

  private base(number: number): Float64Array {
    let found = this.bases.get(number);
    if (!found) {
      found = this.block.column(this.block.header.bases[number]!.column).map((us) => us / 1e6);
      this.bases.set(number, found);
    }
    return found;
  }

  decode(entry: SeriesEntry): Series {
    let found = this.decoded.get(entry);
    if (!found) {
      const base = this.base(entry.base);
      const values = this.block.column(entry.values).map((v) => v * entry.scale);
      const { holes } = this.block.header.bases[entry.base]!;
      const y = entry.index === null ? values : spread(this.block.column(entry.index), values, holes);
      const { metric, process, pool, first } = entry;
      found = { metric, process, pool, first, base, y, levels: [], unit: this.meta.units[metric] ?? "count" };
      this.decoded.set(entry, found);
    }
    return found;
  }
}

/** Values at some instants onto all instants between the first and the last of them, broken only where the sampler stalled. */
function spread(index: Float64Array, values: Float64Array, holes: number[]): Float64Array {
  const first = index[0]!;
  const y = new Float64Array(index[index.length - 1]! - first + 1).fill(SKIP);
  index.forEach((at, i) => (y[at - first] = values[i]!));
  for (const hole of holes) if (hole > first && hole < first + y.length) y[hole - first] = GAP;
  return y;
}

export function line(first: number, y: Float64Array): Line {
  return { first, y, levels: [] };
}

function level(of: Line, depth: number): Level {
  while (of.levels.length < depth) {
    const below = of.levels[of.levels.length - 1] ?? { first: of.first, low: of.y, high: of.y };
    const first = Math.floor(below.first / FACTOR);
    const count = Math.floor((below.first + below.low.length - 1) / FACTOR) - first + 1;
    const low = new Float64Array(count);
    const high = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const from = Math.max((first + i) * FACTOR - below.first, 0);
      const to = Math.min((first + i + 1) * FACTOR - below.first, below.low.length);
      let least = Infinity;
      let most = -Infinity;
      let gap = false;
      for (let j = from; j < to; j++) {
        const v = below.low[j]!;
        if (v !== v) gap = true;
        else if (v !== SKIP) {
          if (v < least) least = v;
          if (below.high[j]! > most) most = below.high[j]!;
        }
      }
      const empty = least === Infinity;
      low[i] = empty ? (gap ? GAP : SKIP) : least;
      high[i] = empty ? low[i]! : most;
    }
    of.levels.push({ first, low, high });
  }
  return of.levels[depth - 1]!;
}

/** First index whose value is not below `at`. */
export function lowerBound(sorted: ArrayLike<number>, at: number): number {
  let lo = 0;
  let hi = sorted.length;
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (sorted[middle]! < at) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}

export type Drawable = (number | null | undefined)[];

function drawable(v: number): number | null | undefined {
  return v === v ? (v === SKIP ? undefined : v) : null;
}

/** Points for uPlot: null breaks a line, undefined does not. At most about two points a pixel. */
export function resample(base: Float64Array, lines: Line[], lo: number, hi: number, pixels: number): [number[], ...Drawable[]] {
  const from = Math.max(lowerBound(base, lo) - 1, 0);
  const to = Math.min(lowerBound(base, hi) + 1, base.length);
  let depth = 0;
  let width = 1;
  while ((to - from) / width > pixels) {
    width *= FACTOR;
    depth++;
  }
  if (!depth) {
    const x = Array.from(base.subarray(from, to));
    return [x, ...lines.map((l) => x.map((_, i) => at(l, from + i)))];
  }
  const first = Math.floor(from / width);
  const count = Math.ceil(to / width) - first;
  const x: number[] = [];
  for (let i = 0; i < count; i++) {
    const begin = (first + i) * width;
    x.push(base[Math.min(begin, base.length - 1)]!, base[Math.min(begin + width / 2, base.length - 1)]!);
  }
  return [x, ...lines.map((l) => buckets(level(l, depth), first, count))];
}

function at(of: Line, index: number): number | null | undefined {
  const i = index - of.first;
  return i < 0 || i >= of.y.length ? null : drawable(of.y[i]!);
}

function buckets(of: Level, first: number, count: number): Drawable {
  const out: Drawable = [];
  for (let i = 0; i < count; i++) {
    const at = first + i - of.first;
    if (at < 0 || at >= of.low.length) out.push(null, null);
    else out.push(drawable(of.low[at]!), drawable(of.high[at]!));
  }
  return out;
}

/** The value measured nearest to a time, on the same side of every gap; null where the line has none there. */
export function valueAt(base: Float64Array, of: Line, time: number): number | null {
  const right = lowerBound(base, time);
  const index = right > 0 && (right >= base.length || time - base[right - 1]! < base[right]! - time) ? right - 1 : right;
  for (const step of [-1, 1]) {
    for (let i = index; ; i += step) {
      const v = at(of, i);
      if (v === null) break;
      if (v !== undefined) return v;
    }
  }
  return null;
}

/** First and last measured value with their indices on the base. */
export function ends(of: Line): { first: number; last: number; from: number; to: number } | null {
  let from = 0;
  while (from < of.y.length && !Number.isFinite(of.y[from]!)) from++;
  let to = of.y.length - 1;
  while (to >= from && !Number.isFinite(of.y[to]!)) to--;
  if (to < from) return null;
  return { first: of.y[from]!, last: of.y[to]!, from: of.first + from, to: of.first + to };
}

/** The measured values of a series between two times; null where there is none. */
export function summary(of: Series, lo: number, hi: number): { points: number; first: number; last: number; least: number; most: number } | null {
  const found = { points: 0, first: 0, last: 0, least: Infinity, most: -Infinity };
  for (let i = Math.max(lowerBound(of.base, lo), of.first); i < of.first + of.y.length && of.base[i]! <= hi; i++) {
    const v = of.y[i - of.first]!;
    if (!Number.isFinite(v)) continue;
    if (!found.points++) found.first = v;
    found.last = v;
    found.least = Math.min(found.least, v);
    found.most = Math.max(found.most, v);
  }
  return found.points ? found : null;
}
