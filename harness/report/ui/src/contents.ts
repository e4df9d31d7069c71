// What each track draws, from the series the page holds.

import { signedBytes } from "./format";
import { type Line, type Series, type SeriesStore, ends, line, summary } from "./lines";
import type { Meta } from "./payload";
import { measured } from "./tracks/frame";
import type { Choice, LinesContent, TrackLine } from "./tracks/lines";

const PARTS: [name: string, metric: string][] = [
  ["anon", "pool.pss_anon"],
  ["file", "pool.pss_file"],
  ["shmem", "pool.pss_shmem"],
];
const FILLED = 0.5;
const NAMED = 8; // processes with a colour and a label of their own
const LINES = 16; // beyond, the rest is an envelope

function poolName(meta: Meta, pool: number | null): string {
  return pool === null ? "" : (meta.pools[pool]?.name ?? "");
}

/** Pools on top of each other, each split into anonymous memory, files and shared memory where that was measured. */
export function stackedPools(store: SeriesStore, meta: Meta): LinesContent | null {
  const layers: { label: string; series: Series }[] = [];
  for (const total of store.of("pool.total")) {
    if (total.pool === null || !meta.pools[total.pool]?.measured) continue;
    const parts = PARTS.flatMap(([name, metric]) => store.of(metric).filter((s) => s.pool === total.pool && largest(s) > 0).map((series) => ({ name, series })));
    const name = poolName(meta, total.pool);
    if (!parts.length) layers.push({ label: name, series: total });
    for (const part of parts) layers.push({ label: `${name} ${part.name}`, series: part.series });
  }
  const base = layers[0]?.series.base;
  if (!base) return null;
  let below: Line | null = null;
  const stacked: TrackLine[] = layers.map(({ label, series }, ink) => {
    below = onTop(base, series, below);
    return { label, ink, line: below, shown: series, filled: FILLED };
  });
  // the highest line first: each lower area covers it
  return { base, unit: "bytes", fromZero: true, lines: stacked.reverse() };
}

const LEDGER: [part: string, name: string][] = [
  ["live", "live"],
  ["allocator_held", "held by allocators"],
  ["other_native", "outside of allocators"],
  ["image", "program data"],
  ["file", "files"],
  ["shared", "shared"],
  ["stacks", "stacks"],
  ["thp", "unused in huge pages"],
  ["unexplained", "unexplained"],
];

/** What each pool's memory is made of, floor by floor: one picture a pool, its parts on top of each other. */
export function ledgers(store: SeriesStore, meta: Meta): Choice[] {
  return meta.pools.flatMap(({ name }, pool) => {
    const parts = LEDGER.flatMap(([part, label], i) => store.of(`ledger.${part}`).filter((s) => s.pool === pool && s.y.some((v) => v)).map((series) => ({ label, i, series })));
    const base = parts[0]?.series.base;
    if (!base) return [];
    return choice(name, () => {
      let below: Line | null = null;
      const lines: TrackLine[] = parts.map(({ label, i, series }) => {
        below = onTop(base, series, below);
        return { label, ink: i < 8 ? i : "--faint", line: below, shown: series, filled: FILLED };
      });
      return { base, unit: "bytes", fromZero: true, lines: lines.reverse() };
    });
  });
}

/** What is used of the segments that all workers of a pool share. */
export function segments(store: SeriesStore, meta: Meta): LinesContent | null {
  const found = [["apcu", "APCu"], ["opcache", "OPcache"]].flatMap(([kind, name]) => store.of(`segment.${kind}`).map((line) => ({ line, label: `${poolName(meta, line.pool)} ${name}` })));
  return found.length ? { base: found[0]!.line.base, unit: "bytes", fromZero: true, lines: found.map((l, ink) => ({ ...l, ink })) } : null;
}

/** Memory of the pools' cgroups and their limits. */
export function cgroups(store: SeriesStore): LinesContent | null {
  const names = [...store.metrics.keys()].filter((m) => m.startsWith("cgroup.")).map((m): [string, string] => [
    m,
    m.slice(7).replace(/\.memory\.(swap\.)?(current|max)$/, (_, swap: string | undefined, kind: string) => (kind === "max" ? " limit" : swap ? " swap" : "")),
  ]);
  return plain(store, names);
}

function largest(of: Line): number {
  return of.y.reduce((most, v) => (Number.isFinite(v) && v > most ? v : most), 0);
}

/** A layer added to the one below it. Outside its life a pool adds nothing; inside, what was not measured stays a gap. */
function onTop(base: Float64Array, layer: Line, below: Line | null): Line {
  const y = new Float64Array(base.length).fill(NaN);
  for (let i = 0; i < base.length; i++) {
    const own = i - layer.first;
    const outside = own < 0 || own >= layer.y.length;
    const under = below ? below.y[i]! : 0;
    if (outside) y[i] = below ? under : NaN;
    else y[i] = layer.y[own]! + (below && i >= below.first && Number.isNaN(under) && outlived(below, i) ? 0 : under);
  }
  return line(0, y);
}

/** Whether the stack below has no value from this instant on, or had none before: nothing there, rather than a gap. */
function outlived(below: Line, index: number): boolean {
  const found = ends(below);
  return !found || index < found.from || index > found.to;
}

/** One line a pool, proxies and companions included. */
export function poolLines(store: SeriesStore, meta: Meta): LinesContent | null {
  const totals = store.of("pool.total");
  if (!totals.length) return null;
  return {
    base: totals[0]!.base,
    unit: "bytes",
    lines: totals.map((s, i) => ({
      label: poolName(meta, s.pool) + (s.pool !== null && meta.pools[s.pool]?.measured ? "" : " (not measured)"),
      ink: i,
      dash: Math.floor(i / 8),
      line: s,
    })),
  };
}

/** One line a process: those that changed most have colour and label, the others are context, very many an envelope. */
export function processLines(store: SeriesStore, meta: Meta, metric: string): LinesContent | null {
  const series = store.of(metric).filter((s) => s.process !== null && meta.pools[meta.processes[s.process]!.pool]!.measured);
  if (!series.length) return null;
  const change = new Map(series.map((s) => [s, growth(s, meta)]));
  const ranked = [...series].sort((a, b) => Math.abs(change.get(b)!) - Math.abs(change.get(a)!) || a.process! - b.process!);
  const named = ranked.slice(0, NAMED);
  const rest = ranked.slice(NAMED);
  const isBytes = series[0]!.unit === "bytes";
  const base = series[0]!.base;
  const faint: TrackLine[] = rest.length + named.length > LINES ? envelope(base, rest) : rest.map((s) => context(s, meta));
  const own: TrackLine[] = named.map((s, i) => {
    const process = meta.processes[s.process!]!;
    const grown = change.get(s)!;
    const note = isBytes ? ` ${signedBytes(grown)}` : "";
    return { label: `${process.name}${note}`, ink: i, line: s, marks: life(s, meta) };
  });
  const note = rest.length ? `${rest.length} more processes in grey${rest.length + named.length > LINES ? ": least and most of them" : ""}` : "";
  return { base, unit: series[0]!.unit, lines: [...faint, ...own], ...(note ? { note } : {}) };
}

function context(s: Series, meta: Meta): TrackLine {
  return { label: "", ink: 0, line: s, faint: true, marks: life(s, meta) };
}

function life(s: Series, meta: Meta): { born: boolean; died: boolean } {
  const process = meta.processes[s.process!]!;
  return { born: process.born > 0, died: process.ended !== null };
}

/** Over the measured rounds; of a process that did not live then, over its life. */
function growth(s: Series, meta: Meta): number {
  const found = summary(s, ...measured(meta)) ?? ends(s);
  return found ? found.last - found.first : 0;
}

function envelope(base: Float64Array, series: Series[]): TrackLine[] {
  const least = new Float64Array(base.length).fill(NaN);
  const most = new Float64Array(base.length).fill(NaN);
  for (const s of series) {
    s.y.forEach((v, i) => {
      const at = s.first + i;
      if (!Number.isFinite(v)) return;
      if (!(v >= least[at]!)) least[at] = v;
      if (!(v <= most[at]!)) most[at] = v;
    });
  }
  return [least, most].map((y) => ({ label: "", ink: 0, line: line(0, y), faint: true }));
}

/** Levels of the host as change since the first sample, so that a small one shows next to a large one. */
export function changes(store: SeriesStore, names: [metric: string, label: string][]): LinesContent | null {
  const found = names.flatMap(([metric, label]) => store.of(metric).map((series) => ({ series, label })));
  if (!found.length) return null;
  return {
    base: found[0]!.series.base,
    unit: "bytes",
    signed: true,
    lines: found.map(({ series, label }, i) => {
      const start = ends(series)?.first ?? 0;
      return { label, ink: i, line: line(series.first, series.y.map((v) => v - start)) };
    }),
  };
}

/** Plain lines of some metrics of one unit; null when none was measured. */
export function plain(store: SeriesStore, names: [metric: string, label: string][], fromZero = true): LinesContent | null {
  const found = names.flatMap(([metric, label]) => store.of(metric).map((series) => ({ series, label })));
  if (!found.length) return null;
  return {
    base: found[0]!.series.base,
    unit: found[0]!.series.unit,
    fromZero,
    lines: found.map(({ series, label }, i) => ({ label, ink: i, dash: i, line: series })),
  };
}

/** Whether there is anything to see: a line that is zero throughout is better said than drawn. */
export function allZero(content: LinesContent): boolean {
  return content.lines.every((l) => l.line.y.every((v) => !Number.isFinite(v) || v === 0));
}

export function choice(label: string, make: () => LinesContent | null): Choice {
  return { label, make };
}
