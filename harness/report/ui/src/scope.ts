// Tables follow the range: rows outside of it go, and what is counted is counted in it. The whole run shows what Python wrote.

import { text } from "./crumbs";
import { element } from "./dom";
import { DASH, bytes, count, nanoseconds, signedBytes, value as inUnit } from "./format";
import { type Series, type SeriesStore, summary } from "./lines";
import type { Requests } from "./requests";
import type { View } from "./view";

/** Places of the columns that are counted anew, as harness/report/page/body.py writes them. */
const ENDPOINT = 1; // requests, errors, p50, p99
const WORKER = 6; // requests, PSS at start, at end, peak, change
const POOL = 2; // requests, at start, at end, peak
const SIGNAL = 2; // points, first, least, most, last

type Shown = [text: string, value: number | null];
const NONE: Shown = [DASH, null];

export class Scope {
  private readonly before = new Map<HTMLTableCellElement, { nodes: Node[]; v: string | undefined }>();
  private readonly notes: HTMLElement[] = [];
  private readonly hidden: [rows: HTMLElement[], note: HTMLElement, text: HTMLElement][] = [];

  constructor(private readonly view: View, private readonly store: SeriesStore, private readonly requests: Requests) {
    for (const [id, what] of [
      ["endpoints", "Requests, errors and latencies are of the measured rounds in this range; what is kept per request is of all measured rounds."],
      ["workers", "Sizes and requests are of this range."],
      ["signals", "Numbers are of this range."],
    ] as const) {
      const heading = document.querySelector(`#${id} h2`);
      if (!heading) continue;
      const range = element("b");
      const note = element("p", { class: "scope", hidden: true }, range, ` ${what} `, element("button", { type: "button", click: () => view.clear() }, "Reset"));
      heading.after(note);
      this.notes.push(note);
    }
    for (const table of document.querySelectorAll("table:has(tr[data-t])")) {
      const said = element("span");
      const note = element("p", { class: "scope", hidden: true }, said, " ", element("button", { type: "button", click: () => view.clear() }, "Show them"));
      table.parentElement!.before(note);
      this.hidden.push([[...table.querySelectorAll<HTMLElement>("tr[data-t]")], note, said]);
    }
    view.settled(() => this.refresh());
    document.querySelector("#signals details")?.addEventListener("toggle", () => this.signals());
  }

  private refresh(): void {
    const { view } = this;
    const [lo, hi] = view.chosen;
    for (const [rows, note, said] of this.hidden) {
      let outside = 0;
      for (const row of rows) {
        const at = Number(row.dataset.t);
        if (row.classList.toggle("out", !view.everything && (at < lo || at > hi))) outside++;
      }
      note.hidden = !outside;
      said.textContent = `${count(outside)} of ${count(rows.length)} rows lie outside of ${text([lo, hi])}.`;
    }
    for (const note of this.notes) {
      note.hidden = view.everything;
      note.firstChild!.textContent = `${text([lo, hi])}:`;
    }
    if (view.everything) this.restore();
    else {
      this.endpoints();
      this.processes();
      this.pools();
    }
    this.signals();
  }

  private endpoints(): void {
    const { requests } = this;
    const found = new Map<number, { times: number[]; sent: number; errors: number }>();
    const [from, to] = requests.between(...this.view.chosen);
    const rounds = this.store.meta.phases.indexOf("rounds");
    for (let row = from; row < to; row++) {
      if (requests.phase[row] !== rounds) continue;
      const key = requests.endpoint[row]!;
      let of = found.get(key);
      if (!of) found.set(key, (of = { times: [], sent: 0, errors: 0 }));
      of.sent++;
      if (requests.failed(row)) of.errors++;
      if (requests.answered(row)) of.times.push(requests.latency(row));
    }
    for (const [row, key] of rowsOf("t-endpoints")) {
      const of = found.get(key);
      const times = Float64Array.from(of?.times ?? []).sort();
      const rank = (share: number): Shown => {
        const ns = times[Math.ceil(share * times.length) - 1];
        return ns === undefined ? NONE : [nanoseconds(ns * 1e9), ns * 1e9];
      };
      this.set(row, ENDPOINT, [plain(of?.sent ?? 0), plain(of?.errors ?? 0), rank(0.5), rank(0.99)]);
    }
  }

  private processes(): void {
    const series = new Map(this.store.of("process.memory.pss").map((s) => [s.process, s]));
    const answered = this.answered((worker) => worker);
    for (const [row, key] of rowsOf("t-workers")) {
      const sizes = this.sizes(series.get(key));
      const change: Shown = sizes.length > 3 ? [signedBytes(sizes[3]!), sizes[3]!] : NONE;
      this.set(row, WORKER, [plain(answered.get(key) ?? 0), ...three(sizes), change]);
    }
  }

  private pools(): void {
    const series = new Map(this.store.of("pool.total").map((s) => [s.pool, s]));
    const { processes } = this.store.meta;
    const answered = this.answered((worker) => processes[worker]?.pool ?? -1);
    for (const [row, key] of rowsOf("t-pools")) this.set(row, POOL, [plain(answered.get(key) ?? 0), ...three(this.sizes(series.get(key)))]);
  }

  private answered(of: (worker: number) => number): Map<number, number> {
    const { requests } = this;
    const found = new Map<number, number>();
    const [from, to] = requests.between(...this.view.chosen);
    for (let row = from; row < to; row++) {
      const key = requests.worker[row]! < 0 ? -1 : of(requests.worker[row]!);
      found.set(key, (found.get(key) ?? 0) + 1);
    }
    return found;
  }

  /** First, last, most and change; empty where nothing was measured in the range. */
  private sizes(of: Series | undefined): number[] {
    const s = of && summary(of, ...this.view.chosen);
    return s ? [s.first, s.last, s.most, s.last - s.first] : [];
  }

  /** Only when they are open: this decodes every series there is. */
  private signals(): void {
    const { store, view } = this;
    if (view.everything || !document.querySelector<HTMLDetailsElement>("#signals details")?.open) return;
    const byRow = new Map(store.entries.map((entry) => [entry.row, entry]));
    for (const [row, key] of rowsOf("t-signals")) {
      const entry = byRow.get(key);
      const series = entry && store.decode(entry);
      const s = series && summary(series, ...view.chosen);
      const say = (v: number): Shown => [inUnit(v, series!.unit), v];
      this.set(row, SIGNAL, s ? [plain(s.points), say(s.first), say(s.least), say(s.most), say(s.last)] : [plain(0), NONE, NONE, NONE, NONE]);
    }
  }

  private set(row: HTMLTableRowElement, from: number, shown: Shown[]): void {
    shown.forEach(([text, value], i) => {
      const cell = row.cells[from + i];
      if (!cell) return;
      if (!this.before.has(cell)) this.before.set(cell, { nodes: [...cell.childNodes], v: cell.dataset.v });
      cell.replaceChildren(text);
      if (value === null) delete cell.dataset.v;
      else cell.dataset.v = String(value);
    });
  }

  private restore(): void {
    for (const [cell, { nodes, v }] of this.before) {
      cell.replaceChildren(...nodes);
      if (v === undefined) delete cell.dataset.v;
      else cell.dataset.v = v;
    }
    this.before.clear();
  }
}

function rowsOf(id: string): [HTMLTableRowElement, number][] {
  return [...document.querySelectorAll<HTMLTableRowElement>(`#${id} tr[data-k]`)].map((row) => [row, Number(row.dataset.k)]);
}

function plain(n: number): Shown {
  return [count(n), n];
}

function three(sizes: number[]): Shown[] {
  return [0, 1, 2].map((i) => (sizes.length ? [bytes(sizes[i]!), sizes[i]!] : NONE));
}
