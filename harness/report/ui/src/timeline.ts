// The shared time axis: tracks under one ruler, moved by mouse and keyboard, read by one cursor.

import { allZero, cgroups, changes, choice, ledgers, plain, poolLines, processLines, segments, stackedPools } from "./contents";
import { Crumbs } from "./crumbs";
import { element, perFrame } from "./dom";
import { clock, wallClock } from "./format";
import { Help } from "./help";
import type { SeriesStore } from "./lines";
import type { Meta } from "./payload";
import type { Requests } from "./requests";
import { onThemeChange } from "./theme";
import { type Frame, LEFT, RIGHT, floorsOf, phasesOf, tickLabel, ticks, timeAt, x } from "./tracks/frame";
import { HeatTrack } from "./tracks/heat";
import { LanesTrack } from "./tracks/lanes";
import { LinesTrack } from "./tracks/lines";
import { MarksTrack } from "./tracks/marks";
import { Overview, Ruler } from "./tracks/ruler";
import { QuietTrack, type Track } from "./tracks/track";
import { View } from "./view";

const DRAG_PIXELS = 5;
const PAPER = 718; // CSS pixels of A4 between its margins

export class Timeline {
  readonly view: View;
  private readonly frame: Frame;
  private tracks: Track[];
  private lanes!: LanesTrack;
  private held = false; // a click holds the cursor where it is
  private chosen = -1; // track that the keyboard has chosen
  private readonly help = new Help();
  private readonly pinned = element("div");
  private readonly clockButton = element("button", { type: "button", click: () => this.setClock(!this.frame.wall) });
  private readonly markButton = element("button", { type: "button", click: () => this.view.toggleMark() });
  private readonly overview: Overview;
  private readonly ruler: Ruler;
  private readonly area = element("div", {
    id: "tracks",
    tabindex: 0,
    role: "application",
    "aria-label": "Timeline of the run",
    "aria-describedby": "keys",
  });
  private readonly cursor = element("div", { class: "cursor", hidden: true });
  private readonly selection = element("div", { class: "selection", hidden: true });
  private readonly now = element("output", { class: "now" });
  private readonly live = element("p", { class: "sr", "aria-live": "polite" });
  private readonly resetButton = element("button", { type: "button" }, "Whole run");
  private readonly redraw: () => void;
  private readonly reread: () => void;
  private spoken = 0;

  /** `changed` is called when something changed that the address keeps, besides the range. */
  constructor(
    private readonly root: HTMLElement,
    meta: Meta,
    store: SeriesStore,
    requests: Requests,
    private readonly openProfile: (row: number) => boolean,
    private readonly changed: () => void,
  ) {
    this.view = new View(...extent(meta, store, requests));
    this.frame = { view: this.view, meta, phases: phasesOf(meta, this.view.last), floors: floorsOf(meta), wall: false, marked: null };
    const measured = store.of("pool.total").filter((s) => s.pool !== null && meta.pools[s.pool]?.measured);
    this.overview = new Overview(this.frame, measured, requests);
    this.ruler = new Ruler(this.frame);
    this.build(root);
    this.tracks = this.makeTracks(store, meta, requests, openProfile);
    for (const track of this.tracks) {
      track.root.before(track.home);
      track.pin.addEventListener("click", () => this.togglePin(track));
    }
    this.redraw = perFrame(() => this.draw());
    this.reread = perFrame(() => this.read());
    this.view.rangeChanged(this.redraw);
    this.view.cursorMoved(this.reread);
    onThemeChange(() => this.draw()); // at once: a page that is printed waits for no frame
    new ResizeObserver(this.redraw).observe(this.area);
    this.listenToPointer();
    this.listenToKeys();
    this.draw();
  }

  private build(root: HTMLElement): void {
    const buttons = element(
      "div",
      { class: "buttons" },
      element("button", { type: "button", "aria-label": "Zoom out", click: () => this.view.zoom(2) }, "−"),
      element("button", { type: "button", "aria-label": "Zoom in", click: () => this.view.zoom(0.5) }, "+"),
      this.resetButton,
      this.markButton,
      this.clockButton,
      this.help.button,
    );
    this.resetButton.addEventListener("click", () => this.view.reset());
    const help = element("p", { id: "keys", class: "keys" }, "Drag to choose a range: tables below follow it. Keys: A D move, W S zoom, 0 shows the whole run, ? lists all. Without a cursor, values are those at the end of the measured rounds.");
    const crumbs = new Crumbs(this.view);
    const sticky = element("div", { class: "sticky" }, element("div", { class: "nowbar" }, this.now, buttons), this.overview.canvas, this.ruler.canvas, crumbs.root);
    this.area.append(this.cursor, this.selection, this.pinned);
    this.setClock(false);
    root.replaceChildren(help, sticky, this.area, this.live, this.help.root);
  }

  private makeTracks(store: SeriesStore, meta: Meta, requests: Requests, openProfile: (row: number) => boolean): Track[] {
    const { frame } = this;
    const memory = meta.memoryMetric.endsWith("pss") ? "PSS" : "RSS";
    const what = memory === "PSS" ? "PSS counts a page shared by n processes as 1/n, so sums are real memory" : "RSS: PSS could not be read, so shared pages count more than once";
    const tracks: Track[] = [];
    const group = (title: string, ...members: (Track | null)[]): void => {
      const made = members.filter((t): t is Track => t !== null);
      if (!made.length) return;
      this.area.append(element("h3", { class: "group" }, title), ...made.map((t) => t.root));
      tracks.push(...made);
    };
    const optional = (id: string, title: string, about: string, height: number, content: () => ReturnType<typeof plain>): Track | null => {
      const found = content();
      if (!found) return null;
      const track = new LinesTrack(frame, id, title, about, height, [choice(title, () => found)]);
      if (allZero(found)) return new QuietTrack(frame, id, title, "zero throughout the run");
      return track;
    };
    const ledger = ledgers(store, meta);
    this.lanes = new LanesTrack(frame, requests, openProfile);
    group(
      "Application",
      new LinesTrack(frame, "pools", "Pools", what, 170, [
        choice("stacked", () => stackedPools(store, meta)),
        choice("lines", () => poolLines(store, meta)),
      ]),
      optional("segments", "Shared segments", "used of the memory that all workers of a pool share, counted once", 110, () => segments(store, meta)),
      ledger.length ? new LinesTrack(frame, "ledger", "Ledger", "what a pool's memory is made of at each floor, when its traffic had stopped", 150, ledger) : null,
      new LinesTrack(
        frame,
        "workers",
        "Processes",
        "ring: born, cross: ended; numbers: change over the measured rounds",
        200,
        processMetrics(store).map(([metric, label]) => choice(label, () => processLines(store, meta, metric))),
      ),
    );
    group(
      "Requests",
      this.lanes,
      optional("latency", "Latency", "median and 99th percentile over short stretches", 90, () =>
        plain(store, [["latency.p50", "p50"], ["latency.p99", "p99"]]),
      ),
      meta.marks.length ? new MarksTrack(frame) : null,
    );
    const orders = [...store.metrics.keys()].filter((m) => m.startsWith("buddy.")).flatMap((m) => store.of(m).map((s) => ({ order: Number(m.slice(6)), base: s.base, line: s })));
    group(
      "Kernel",
      optional("kernel", "Memory of the host", "change since the first sample", 120, () =>
        changes(store, [["system.meminfo.MemAvailable", "MemAvailable"], ["system.meminfo.MemFree", "MemFree"], ["system.meminfo.Cached", "Cached"], ["system.meminfo.Slab", "Slab"]]),
      ),
      optional("cgroup", "Cgroups", "memory charged to the cgroup a pool is in, with its limit: caches included, and what the group holds that is not of this run", 90, () => cgroups(store)),
      optional("swap", "Swapping", "read from and written to swap", 80, () =>
        plain(store, [["derived.swap_in", "in"], ["derived.swap_out", "out"]]),
      ),
      optional("psi", "Memory pressure", "share of time some or all tasks waited for memory (PSI, 10 s average)", 80, () =>
        plain(store, [["system.psi.memory.some_avg10", "some"], ["system.psi.memory.full_avg10", "full"]]),
      ),
      orders.length ? new HeatTrack(frame, orders) : null,
    );
    group(
      "Measuring itself",
      optional("sampler", "Sampler", "duration and delay of each sweep", 70, () =>
        plain(store, [["sampler.tick", "sweep"], ["sampler.late", "late"]]),
      ),
      optional("missed", "Missed sweeps", "sweeps that were due and not taken, so far", 60, () => plain(store, [["sampler.missed", "missed"]])),
      optional("load", "Load generator", "requests in flight", 70, () => plain(store, [["load.in_flight", "in flight"]])),
    );
    return tracks;
  }

  /** Show and mark what a finding is about. */
  showFinding(index: number): void {
    const range = this.frame.meta.findings[index]?.range;
    if (!range) return;
    this.frame.marked = index;
    const [lo, hi] = [range[0] / 1e6, range[1] / 1e6];
    const room = (hi - lo) * 0.08;
    this.view.show(lo - room, hi + room);
    const shared = this.frame.meta.findings[index]!.cause === "shared-memory" && this.tracks.find((t) => t.id === "segments");
    (shared ? shared.root : this.area).scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    this.area.focus({ preventScroll: true });
  }

  get pins(): string[] {
    return [...this.pinned.children].map((e) => e.id.slice("track-".length));
  }

  /** Pin tracks by their names, in that order. */
  setPins(names: string[]): void {
    for (const track of this.tracks) if (names.includes(track.id) !== this.isPinned(track)) this.togglePin(track);
  }

  private isPinned(track: Track): boolean {
    return track.root.parentNode === this.pinned;
  }

  private togglePin(track: Track): void {
    if (!track.pin.isConnected) return;
    const on = !this.isPinned(track);
    if (on) this.pinned.append(track.root);
    else track.home.after(track.root);
    track.pin.setAttribute("aria-pressed", String(on));
    this.changed();
  }

  get wall(): boolean {
    return this.frame.wall;
  }

  setClock(wall: boolean): void {
    const { meta } = this.frame;
    this.frame.wall = wall;
    this.clockButton.textContent = `Times: ${wall ? `clock, UTC${wallClock(0, meta.utcOffsetS).slice(13)}` : "since start"}`;
    this.clockButton.setAttribute("title", wall ? "Times are those of the host's clock; show seconds since the start" : "Times are since the start of the run; show the host's clock");
    if (!this.tracks) return;
    this.draw();
    this.changed();
  }

  /** Before the page is printed: as wide as paper; null: as wide as the window again. */
  print(on: boolean): void {
    this.root.style.width = on ? `${PAPER}px` : "";
    this.draw();
  }

  private draw(): void {
    this.overview.draw();
    this.ruler.draw();
    for (const track of this.tracks) track.draw();
    this.resetButton.disabled = this.view.whole;
    this.markButton.textContent = this.view.mark ? "Unmark" : "Mark";
    this.read();
  }

  private read(): void {
    const { view } = this;
    const width = this.area.clientWidth;
    const at = view.cursor;
    this.cursor.hidden = at === null || at < view.lo || at > view.hi;
    if (at !== null) this.cursor.style.left = `${x(view, at, width)}px`;
    const text = this.describe(at, width);
    this.now.textContent = text;
    for (const track of this.tracks) track.read(at);
    clearTimeout(this.spoken);
    this.spoken = window.setTimeout(() => (this.live.textContent = text), 600);
  }

  private describe(at: number | null, width: number): string {
    const { view, frame } = this;
    const step = ticks(frame, width - LEFT - RIGHT).step / (at === null ? 10 : 100);
    if (at === null) return `${tickLabel(frame, view.lo, step)} to ${tickLabel(frame, view.hi, step)}${frame.wall ? "" : " of the run"}`;
    const phase = frame.phases.find((p) => at >= p.lo && at < p.hi);
    const where = phase ? (phase.round === null ? phase.label : `round ${phase.label}`) : "between phases";
    const wall = wallClock(frame.meta.startedMs + at * 1000, frame.meta.utcOffsetS);
    const event = frame.meta.marks.find(([, t]) => Math.abs(t / 1e6 - at) < (view.length * 4) / width);
    return `${clock(at, step)} · ${wall} · ${where}${event ? ` · ${event[3]}` : ""}`;
  }

  private listenToPointer(): void {
    const { area, view } = this;
    let drag: { from: number; pan: boolean; lo: number; hi: number; moved: boolean } | null = null;
    const place = (event: MouseEvent) => event.clientX - area.getBoundingClientRect().left;
    const inPlot = (px: number) => px >= LEFT && px <= area.clientWidth - RIGHT;
    const over = (event: MouseEvent) => this.tracks.find((t) => t.contains(event.target));
    area.addEventListener("pointerdown", (event) => {
      const px = place(event);
      if (event.button !== 0 || !inPlot(px) || !over(event)) return;
      drag = { from: px, pan: event.shiftKey, lo: view.lo, hi: view.hi, moved: false };
    });
    area.addEventListener("pointermove", (event) => {
      const px = place(event);
      const track = over(event);
      if (drag && Math.abs(px - drag.from) > DRAG_PIXELS && !drag.moved) {
        drag.moved = true;
        area.setPointerCapture(event.pointerId);
      }
      if (drag?.moved) this.dragTo(drag, px);
      if (!this.held) view.point(inPlot(px) ? timeAt(view, px, area.clientWidth) : null);
      for (const t of this.tracks) t.hover(px, t === track && !drag ? event.clientY - t.box.top : null);
    });
    area.addEventListener("pointerup", (event) => {
      const px = place(event);
      const track = over(event);
      this.selection.hidden = true;
      if (drag?.moved && !drag.pan) {
        view.show(timeAt(view, Math.max(drag.from, LEFT), area.clientWidth), timeAt(view, Math.max(px, LEFT), area.clientWidth));
      } else if (drag && track && !track.click(px, event.clientY - track.box.top)) {
        this.hold(!this.held);
        view.point(timeAt(view, px, area.clientWidth));
      }
      drag = null;
    });
    area.addEventListener("pointercancel", () => {
      drag = null;
      this.selection.hidden = true;
    });
    area.addEventListener("pointerleave", () => {
      if (drag) return;
      if (!this.held) view.point(null);
      for (const t of this.tracks) t.hover(0, null);
    });
    area.addEventListener("dblclick", (event) => over(event) && view.reset());
    area.addEventListener(
      "wheel",
      (event) => {
        const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
        if (event.ctrlKey || event.metaKey) view.zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(view, place(event), area.clientWidth));
        else if (sideways) view.pan(event.deltaX / area.clientWidth);
        else return; // the page scrolls
        event.preventDefault();
      },
      { passive: false },
    );
  }

  private dragTo(drag: { from: number; pan: boolean; lo: number; hi: number }, px: number): void {
    const { area, view } = this;
    if (drag.pan) {
      const by = ((drag.from - px) / Math.max(area.clientWidth - LEFT - RIGHT, 1)) * (drag.hi - drag.lo);
      const kept = Math.min(Math.max(by, view.first - drag.lo), view.last - drag.hi);
      view.show(drag.lo + kept, drag.hi + kept);
      return;
    }
    const right = area.clientWidth - RIGHT;
    const from = Math.min(Math.max(Math.min(drag.from, px), LEFT), right);
    const to = Math.max(Math.min(Math.max(drag.from, px), right), LEFT);
    this.selection.hidden = false;
    this.selection.style.left = `${from}px`;
    this.selection.style.width = `${to - from}px`;
  }

  private listenToKeys(): void {
    const { view } = this;
    const at = () => view.cursor ?? (view.lo + view.hi) / 2;
    const step = (share: number) => view.point(at() + share * view.length);
    const actions: Record<string, () => unknown> = {
      ArrowLeft: () => view.pan(-0.15),
      ArrowRight: () => view.pan(0.15),
      "+": () => view.zoom(0.5),
      "=": () => view.zoom(0.5),
      "-": () => view.zoom(2),
      a: () => view.pan(-0.15),
      d: () => view.pan(0.15),
      w: () => view.zoom(0.5),
      s: () => view.zoom(2),
      ArrowUp: () => this.choose(-1),
      ArrowDown: () => this.choose(1),
      p: () => this.tracks[this.chosen] && this.togglePin(this.tracks[this.chosen]!),
      m: () => view.toggleMark(),
      f: () => this.fit(),
      "[": () => at() < view.hi && view.show(at(), view.hi),
      "]": () => at() > view.lo && view.show(view.lo, at()),
      "<": () => step(-0.1),
      ">": () => step(0.1),
      "?": () => this.help.open(),
      Enter: () => {
        const row = this.lanes.profiled(at());
        if (row !== null) this.openProfile(row);
      },
      "0": () => view.reset(),
      Home: () => view.show(view.first, view.first + view.length),
      End: () => view.show(view.last - view.length, view.last),
      ",": () => step(-0.01),
      ".": () => step(0.01),
      Escape: () => {
        this.hold(false);
        view.point(null);
      },
    };
    document.addEventListener("keydown", (event) => {
      const key = event.key.length > 1 ? event.key : event.key.toLowerCase();
      const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[key];
      const target = event.target as Element;
      if (!action || (target !== this.area && (!"wasd".includes(key) || target.closest("input, dialog")))) return;
      action();
      event.preventDefault();
    });
  }

  private hold(on: boolean): void {
    this.held = on;
    this.cursor.classList.toggle("held", on);
  }

  /** Show the mark, else what the marked finding is about. */
  private fit(): void {
    const { mark } = this.view;
    if (mark) this.view.show(...mark);
    else if (this.frame.marked !== null) this.showFinding(this.frame.marked);
  }

  /** The next track on or back becomes the one the keyboard works on, and says what it shows. */
  private choose(by: number): void {
    const shown = [...this.area.querySelectorAll<HTMLElement>(".track")].map((root) => this.tracks.findIndex((t) => t.root === root));
    const next = shown[Math.min(Math.max(shown.indexOf(this.chosen) + by, 0), shown.length - 1)];
    if (next === undefined) return;
    this.tracks[this.chosen]?.root.classList.remove("chosen");
    this.chosen = next;
    const track = this.tracks[next]!;
    track.root.classList.add("chosen");
    track.root.scrollIntoView({ block: "nearest" });
    clearTimeout(this.spoken);
    this.live.textContent = track.spoken;
  }
}

/** The stretch of time that holds everything there is to show. */
function extent(meta: Meta, store: SeriesStore, requests: Requests): [number, number] {
  let lo = 0;
  let hi = (meta.endedUs ?? 0) / 1e6;
  for (const metric of ["pool.total", "system.meminfo.MemAvailable", "sampler.tick"]) {
    for (const s of store.of(metric)) {
      lo = Math.min(lo, s.base[0] ?? 0);
      hi = Math.max(hi, s.base[s.base.length - 1] ?? 0);
    }
  }
  for (const w of meta.windows) hi = Math.max(hi, (w[4] ?? w[3]) / 1e6);
  for (let i = 0; i < requests.count; i++) hi = Math.max(hi, requests.start[i]! + requests.duration[i]!);
  return [lo, hi > lo ? hi : lo + 1];
}

function processMetrics(store: SeriesStore): [string, string][] {
  const known: [string, string][] = [
    ["process.memory.pss", "PSS"],
    ["process.memory.rss", "RSS"],
    ["process.memory.uss", "USS"],
    ["process.memory.pss_anon", "anonymous"],
    ["process.memory.swap", "swap"],
    ["process.threads", "threads"],
    ["process.fds", "open files"],
  ];
  const found = known.filter(([metric]) => store.metrics.has(metric));
  return found.length ? found : [["process.memory.pss", "PSS"]];
}
