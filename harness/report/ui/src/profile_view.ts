// One profile, opened from the list or from a diamond on the timeline: notes first, then calls, call tree, lines, objects.

import { curve } from "./curve";
import { element } from "./dom";
import { DASH, bytes, clock, count, nanoseconds, value as inUnit } from "./format";
import { holders } from "./holders";
import { Icicle } from "./icicle";
import type { Meta } from "./payload";
import { type ProfileData, measures, openProfile } from "./profile_data";
import { type Column, rowsTable } from "./table";

export class ProfileView {
  private shown: number | null = null;
  private opener: Element | null = null;
  /** The tab that is open, and what stands out in its table. */
  tab = "";
  find = "";

  constructor(private readonly root: HTMLElement, private readonly meta: Meta, private readonly changed: (index: number | null) => void) {}

  get index(): number | null {
    return this.shown;
  }

  /** Open a profile; `tab` by its title, with the rows that hold `find` marked. */
  async open(index: number, tab = "", find = ""): Promise<void> {
    const entry = this.meta.profiles[index];
    if (!entry) return;
    if (this.shown === null) this.opener = document.activeElement;
    this.shown = index;
    this.tab = tab;
    this.find = find;
    this.root.replaceChildren(element("p", { class: "note" }, "Opening the profile …"));
    try {
      if (!entry.here) throw new Error("this profile is not in the page: it was unreadable or too large; see the run's artifacts");
      const data = await openProfile(index);
      if (this.shown !== index) return;
      this.root.replaceChildren(this.panel(index, data));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.root.replaceChildren(element("p", { class: "note bad", role: "alert" }, `The profile cannot be shown: ${text}`));
    }
    this.changed(index);
    const row = this.root.querySelector("tr[aria-current]");
    (row ?? this.root).scrollIntoView({ block: row ? "center" : "nearest" });
    this.root.querySelector<HTMLElement>("h3")?.focus({ preventScroll: true });
  }

  close(): void {
    this.shown = null;
    this.tab = this.find = "";
    this.root.replaceChildren();
    this.changed(null);
    if (this.opener instanceof HTMLElement) this.opener.focus({ preventScroll: true });
  }

  private panel(index: number, data: ProfileData): HTMLElement {
    const { header } = data;
    const entry = this.meta.profiles[index]!;
    const title = [entry.endpoint ?? "unknown endpoint", entry.tool, entry.pid === null ? "" : `worker ${entry.pid}`, clock(entry.at / 1e6)].filter(Boolean).join(" · ");
    const close = element("button", { type: "button", click: () => this.close() }, "Close");
    const panel = element("article", { class: "profile" }, element("div", { class: "headline" }, element("h3", { tabindex: -1 }, title), close));
    const notes = header.complete ? header.notes : ["The file is incomplete: the request did not end, or its profile was cut.", ...header.notes];
    if (notes.length) panel.append(element("ul", { class: "notes" }, ...notes.map((n) => element("li", {}, n))));
    if (header.totals.length) {
      panel.append(element("dl", { class: "facts" }, ...header.totals.map(([name, v]) => element("div", {}, element("dt", {}, readable(name)), element("dd", {}, total(name, v))))));
    }
    panel.append(
      tabs(sections(data, this.find), this.tab, (title) => {
        this.tab = title;
        this.find = "";
        this.changed(index);
      }),
    );
    return panel;
  }
}

function readable(name: string): string {
  return name.replace(/_(bytes|(unix_)?ns)$/, "").replace(/_/g, " ");
}

function total(name: string, v: number | null): string {
  if (v === null) return "unknown";
  if (name.endsWith("_unix_ns")) return Math.abs(v) < 8e21 ? new Date(v / 1e6).toISOString() : "unknown"; // beyond that Date throws
  return name.endsWith("_bytes") ? bytes(v) : name.endsWith("_ns") ? nanoseconds(v) : count(v);
}

type Section = [title: string, make: () => HTMLElement];

function sections(data: ProfileData, find: string): Section[] {
  const found: Section[] = [];
  const lines: Section[] = data.header.lines.length ? [["Lines", () => lineTable(data, find)]] : [];
  const counted = hasCalls(data);
  if (!counted) found.push(...lines);
  if (data.functions.count) found.push(["Calls", () => callTable(data, find)]);
  if (data.tree.count) found.push(["Call tree", () => callTree(data)]);
  if (counted) found.push(...lines);
  if (data.moments.offset.length > 1 || data.header.peak) found.push(["Memory curve", () => curve(data)]);
  if (data.header.collections.length) found.push(["Collector runs", () => collectorTable(data)]);
  if (data.header.objects.length) found.push(["Objects", () => objectTable(data)]);
  if (data.header.holders.length) found.push(["What holds them", () => holders(data.header.holders)]);
  if (!found.length) found.push(["Contents", () => element("p", { class: "empty" }, "This profile holds no calls, no lines and no objects.")]);
  return found;
}

/** Allocation profiles know stacks and no calls: every count is 0. */
function hasCalls({ functions }: ProfileData): boolean {
  return functions.calls.some((calls) => calls !== 0);
}

function tabs(entries: Section[], open: string, chosen: (title: string) => void): HTMLElement {
  const first = Math.max(entries.findIndex(([title]) => title === open), 0);
  const content = element("div", { class: "tab", role: "tabpanel" });
  const buttons = entries.map(([title, make], i) => {
    const button = element("button", { type: "button", role: "tab", "aria-selected": String(i === first), tabindex: i === first ? 0 : -1 }, title);
    button.addEventListener("click", () => {
      buttons.forEach((b) => {
        b.setAttribute("aria-selected", String(b === button));
        b.tabIndex = b === button ? 0 : -1;
      });
      content.replaceChildren(make());
      chosen(title);
    });
    button.addEventListener("keydown", (event) => {
      const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      const next = by ? buttons[(i + by + buttons.length) % buttons.length] : undefined;
      next?.click();
      next?.focus();
    });
    return button;
  });
  content.append(entries[first]![1]());
  return element("div", {}, element("div", { class: "tabs", role: "tablist" }, ...buttons), content);
}

function callTable(data: ProfileData, find: string): HTMLElement {
  const { header, functions } = data;
  const frame = (row: number) => header.frames[functions.frame[row]!] ?? ["?", "", null];
  const where = (row: number) => {
    const [, file, line] = frame(row);
    return line === null ? file : `${file}:${line}`;
  };
  const columns: Column[] = [
    { title: "Function", key: (row) => frame(row)[0], show: (row) => frame(row)[0], className: "code" },
  ];
  if (hasCalls(data)) {
    columns.push({ title: "Calls", numeric: true, key: (row) => functions.calls[row]!, show: (row) => count(functions.calls[row]!) });
  }
  const first = columns.length;
  header.types.forEach((type, i) => {
    const name = readable(type.name);
    const self = functions.self[i]!;
    const inclusive = functions.inclusive[i]!;
    columns.push(
      { title: `${name}, self`, hint: type.title, numeric: true, key: (row) => self[row]!, show: (row) => inUnit(self[row]!, type.unit) },
      { title: `${name}, with callees`, hint: type.title, numeric: true, key: (row) => inclusive[row]!, show: (row) => inUnit(inclusive[row]!, type.unit) },
    );
  });
  columns.push({ title: "Defined in", key: where, show: where, className: "code path" });
  const memory = header.types.findIndex((t) => t.unit === "bytes");
  const sortBy = header.types.length ? first + 2 * Math.max(memory, 0) : first - 1;
  return rowsTable("Functions", functions.count, columns, sortBy, (row) => `${frame(row)[0]} ${frame(row)[1]}`, find);
}

function callTree(data: ProfileData): HTMLElement {
  const choices = measures(data);
  if (!choices.length) {
    return element("p", { class: "note" }, "No value of this profile adds up over the tree, so a picture of shares would mislead. Use the call table.");
  }
  return new Icicle(data, choices).root;
}

function collectorTable({ header }: ProfileData): HTMLElement {
  const { collections } = header;
  const of = (title: string, key: (row: number) => number | null, say: (v: number) => string): Column => ({
    title,
    numeric: true,
    key,
    show: (row) => (key(row) === null ? DASH : say(key(row)!)),
  });
  const columns = [
    of("After", (row) => collections[row]![0], nanoseconds),
    { title: "In", key: (row: number) => collections[row]![1], show: (row: number) => collections[row]![1], className: "code" },
    of("Collected", (row) => collections[row]![2], count),
    of("Roots", (row) => collections[row]![3], count),
    of("Took", (row) => collections[row]![4], nanoseconds),
    of("Memory before", (row) => collections[row]![5], bytes),
    of("after", (row) => collections[row]![6], bytes),
  ];
  return rowsTable("Collector runs", collections.length, columns, null, (row) => collections[row]![1]);
}

function lineTable({ header }: ProfileData, find: string): HTMLElement {
  const { lines } = header;
  const withSource = lines.some((l) => l[5] !== null);
  const columns: Column[] = [
    { title: "Line", key: (row) => `${lines[row]![0]}:${String(lines[row]![1]).padStart(7, "0")}`, show: (row) => `${lines[row]![0]}:${lines[row]![1]}`, className: "code path" },
    { title: "Function", key: (row) => lines[row]![2], show: (row) => lines[row]![2], className: "code" },
    { title: "Runs", numeric: true, key: (row) => lines[row]![3], show: (row) => (lines[row]![3] === null ? DASH : count(lines[row]![3]!)) },
  ];
  header.types.forEach((type, i) => {
    const of = (row: number) => lines[row]![4][i] ?? null;
    columns.push({ title: readable(type.name), hint: type.title, numeric: true, key: of, show: (row) => (of(row) === null ? DASH : inUnit(of(row)!, type.unit)) });
  });
  if (withSource) columns.push({ title: "Source", key: (row) => lines[row]![5], show: (row) => lines[row]![5] ?? "", className: "code source" });
  return rowsTable("Lines", lines.length, columns, header.types.length ? 3 : 0, (row) => `${lines[row]![0]}:${lines[row]![1]} ${lines[row]![2]} ${lines[row]![5] ?? ""}`, find);
}

function objectTable({ header }: ProfileData): HTMLElement {
  const { objects } = header;
  const columns: Column[] = [{ title: "Type", key: (row) => objects[row]![0], show: (row) => objects[row]![0], className: "code" }];
  header.types.forEach((type, i) => {
    const of = (row: number) => objects[row]![1][i] ?? null;
    columns.push({ title: type.title || readable(type.name), numeric: true, key: of, show: (row) => (of(row) === null ? "unknown" : inUnit(of(row)!, type.unit)) });
  });
  // In the tool's own order at first: what matters most may be more than one column says.
  return rowsTable("Objects", objects.length, columns, null, (row) => objects[row]![0]);
}
