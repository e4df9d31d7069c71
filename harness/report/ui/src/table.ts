// Tables that sort and filter. Those in the page are plain HTML already; those of a profile are made here.

import { element } from "./dom";
import { count } from "./format";

const FILTER_FROM = 12; // rows

/** Give a table of the page sortable headings, and a filter when it is long. */
export function enhance(table: HTMLTableElement): void {
  const body = table.tBodies[0];
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  if (!body || body.rows.length < 2) return;
  heads.forEach((head, column) => {
    const button = element("button", { type: "button", class: "sort" }, head.textContent ?? "");
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("num");
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numeric;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(a.cells[column]!, b.cells[column]!, down));
      body.append(...rows);
    });
  });
  if (body.rows.length >= FILTER_FROM) addFilter(table, body);
}

/** Unknown values come last, whichever way it is sorted. */
function compare(a: HTMLTableCellElement, b: HTMLTableCellElement, down: boolean): number {
  const [x, y] = [a.dataset.v, b.dataset.v];
  if (x === undefined && y === undefined) {
    const order = (a.textContent ?? "").localeCompare(b.textContent ?? "", "en", { numeric: true });
    return down ? -order : order;
  }
  if (x === undefined) return 1;
  if (y === undefined) return -1;
  return down ? Number(y) - Number(x) : Number(x) - Number(y);
}

function addFilter(table: HTMLTableElement, body: HTMLTableSectionElement): void {
  const name = table.caption?.textContent ?? "table";
  const input = element("input", { type: "search", placeholder: "filter", "aria-label": `Filter: ${name}` });
  const left = element("output", {});
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = wanted !== "" && !(row.textContent ?? "").toLowerCase().includes(wanted);
      if (!row.hidden) shown++;
    }
    left.textContent = wanted ? `${shown} of ${body.rows.length}` : "";
  });
  table.parentElement?.before(element("div", { class: "filter" }, input, left));
}

export interface Column {
  title: string;
  hint?: string;
  /** Sort key; null sorts last. Numbers are shown right-aligned. */
  key: (row: number) => number | string | null;
  show: (row: number) => string | Node;
  numeric?: boolean;
  className?: string;
  /** Least first, when the table is sorted by it from the start. */
  rising?: boolean;
}

const PAGE = 100;

/** A table over rows 0 ... length-1; rows that hold `find` stand out. */
export function rowsTable(name: string, length: number, columns: Column[], sortBy: number | null, searched: (row: number) => string, find = ""): HTMLElement {
  const all = Array.from({ length }, (_, i) => i);
  const made = liveTable(name, () => all, columns, sortBy, searched, find);
  made.refresh();
  return made.root;
}

/** A sorted, filtered table that only ever holds the rows it shows, filled by `refresh`; `sortBy` null keeps their order. */
export function liveTable(
  name: string,
  rows: () => number[],
  columns: Column[],
  sortBy: number | null,
  searched: (row: number) => string,
  find = "",
): { root: HTMLElement; refresh: (most?: number) => void } {
  let limit = PAGE;
  let sorted = sortBy;
  let down = sortBy !== null && !!columns[sortBy]!.numeric && !columns[sortBy]!.rising;
  const isFound = (row: number): boolean => find !== "" && searched(row).toLowerCase().includes(find.toLowerCase());
  const input = element("input", { type: "search", placeholder: "filter", "aria-label": `Filter: ${name}` });
  const left = element("output", {});
  const body = element("tbody");
  const more = element("button", { type: "button" }, "Show more");
  more.className = "more";
  const heads = columns.map((c, i) => {
    const head = element("th", { scope: "col", ...(c.numeric ? { class: "num" } : {}), ...(c.hint ? { title: c.hint } : {}) });
    head.append(element("button", { type: "button", class: "sort", click: () => sort(i) }, c.title));
    return head;
  });

  function sort(column: number): void {
    down = column === sorted ? !down : (columns[column]!.numeric ?? false);
    sorted = column;
    refresh();
  }

  function refresh(most = limit): void {
    const wanted = input.value.trim().toLowerCase();
    const all = rows();
    const order = all.filter((row) => !wanted || searched(row).toLowerCase().includes(wanted));
    if (sorted !== null) {
      const { key } = columns[sorted]!;
      order.sort((a, b) => orderOf(key(a), key(b), down) || a - b);
    }
    heads.forEach((h, i) => (i === sorted ? h.setAttribute("aria-sort", down ? "descending" : "ascending") : h.removeAttribute("aria-sort")));
    left.textContent = `${count(order.length)} of ${count(all.length)}`;
    body.replaceChildren(...order.slice(0, Math.max(most, order.findIndex(isFound) + 1)).map(rowOf));
    more.hidden = order.length <= body.rows.length;
  }

  function rowOf(row: number): HTMLElement {
    const cells = columns.map((c, i) => {
      const names = [c.numeric ? "num" : "", c.className ?? ""].filter(Boolean).join(" ");
      return element(i ? "td" : "th", { ...(i ? {} : { scope: "row" }), ...(names ? { class: names } : {}) }, c.show(row));
    });
    return element("tr", isFound(row) ? { "aria-current": "true" } : {}, ...cells);
  }

  input.addEventListener("input", () => {
    limit = PAGE;
    refresh();
  });
  more.addEventListener("click", () => {
    limit += 5 * PAGE;
    refresh();
  });
  const table = element("table", {}, element("caption", { class: "sr" }, name), element("thead", {}, element("tr", {}, ...heads)), body);
  const box = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table);
  return { root: element("div", {}, element("div", { class: "filter" }, input, left), box, more), refresh };
}

function orderOf(a: number | string | null, b: number | string | null, down: boolean): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}
