// The shapes of what harness/report/exporters/html.py writes into the page.

export type WindowRow = [phase: string, round: number | null, block: number | null, start: number, end: number | null, floor: number | null];

export interface Process {
  name: string;
  pool: number;
  role: string;
  comm: string;
  born: number;
  ended: number | null;
  requests: number;
}

export interface ProfileEntry {
  tool: string;
  endpoint: string | null;
  pid: number | null;
  at: number;
  request: number | null;
  here: boolean;
}

/** Times ending in nothing are µs since the start of the run. */
export interface Meta {
  format: 1;
  scenario: string;
  startedMs: number;
  utcOffsetS: number;
  endedUs: number | null;
  memoryMetric: string;
  units: Record<string, string>;
  phases: string[];
  windows: WindowRow[];
  pools: { name: string; measured: boolean }[];
  processes: Process[];
  /** Kinds of marks, and the marks by the number of their kind; what had to be left out is said in `cut`. */
  rows: string[];
  marks: [row: number, at: number, end: number | null, text: string][];
  cut: string[];
  findings: { cause: string; severity: string; range: [number, number] | null }[];
  profiles: ProfileEntry[];
}

export interface SeriesEntry {
  metric: string;
  process: number | null;
  pool: number | null;
  /** Row of the table of all series. */
  row: number;
  base: number;
  first: number;
  index: number | null;
  values: number;
  scale: number;
}

export interface SeriesHeader {
  bases: { name: string; column: number; holes: number[] }[];
  series: SeriesEntry[];
}

export interface RequestsHeader {
  names: Record<string, number>;
  endpoints: string[];
  troubles: string[];
}

export interface Costs {
  frame: number;
  calls: number;
  self: number[];
  inclusive: number[];
}

export interface ProfileHeader {
  tool: string;
  complete: boolean;
  notes: string[];
  totals: [string, number | null][];
  types: { name: string; unit: string; title: string }[];
  frames: [name: string, file: string, line: number | null][];
  functions: Costs;
  tree: Costs & { parent: number };
  lines: [file: string, line: number, name: string, hits: number | null, values: (number | null)[], source: string | null][];
  objects: [kind: string, values: (number | null)[]][];
  holders: HolderRow[];
  curve: { offset: number; bytes: number; label: number; labels: string[] };
  /** The stack from the outermost call on, numbers of frames; -1 stands for what was left out. */
  peak: [offset: number, bytes: number, stack: number[]] | null;
  collections: [offset: number | null, name: string, collected: number, roots: number | null, duration: number | null, before: number | null, after: number | null][];
}

export type HolderRow = [kind: string, objects: number, path: [label: string, via: string][]];
