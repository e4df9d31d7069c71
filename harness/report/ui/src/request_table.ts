// The requests of the range as a table, made when it is opened: sorted, filtered, a page of rows at a time.

import { element } from "./dom";
import { DASH, bytes, clock, count, nanoseconds, signedBytes } from "./format";
import type { Meta } from "./payload";
import { HAS_DELTA, HAS_PEAK, PROFILED, type Requests } from "./requests";
import { type Column, liveTable } from "./table";
import type { View } from "./view";

const PRINTED = 50; // rows

export function requestTable(root: HTMLElement, view: View, meta: Meta, requests: Requests, openProfile: (row: number) => boolean): void {
  const heading = element("summary");
  const details = element("details", {}, heading);
  let most: number | undefined; // rows, on paper
  const rows = (): number[] => {
    const [from, to] = requests.between(...view.chosen);
    return Array.from({ length: to - from }, (_, i) => from + i);
  };
  const endpoint = (row: number) => requests.endpoints[requests.endpoint[row]!] ?? "";
  const worker = (row: number) => meta.processes[requests.worker[row]!]?.name ?? "unknown";
  const status = (row: number) => (requests.status[row] ? String(requests.status[row]) : requests.failed(row) ? "no response" : "done");
  const note = (row: number) => requests.troubles[requests.trouble[row]!] ?? "";
  const flagged = (title: string, flag: number, column: Float64Array, say: (v: number) => string): Column => ({
    title,
    numeric: true,
    key: (row) => (requests.flags[row]! & flag ? column[row]! : null),
    show: (row) => (requests.flags[row]! & flag ? say(column[row]!) : DASH),
  });
  const columns: Column[] = [
    { title: "Started", numeric: true, rising: true, key: (row) => requests.start[row]!, show: (row) => clock(requests.start[row]!, 0.001) },
    { title: "Endpoint", key: endpoint, show: endpoint },
    { title: "Worker", key: worker, show: worker },
    { title: "Status", key: status, show: status },
    { title: "Latency", numeric: true, key: (row) => requests.latency(row), show: (row) => nanoseconds(requests.latency(row) * 1e9) },
    flagged("RSS change", HAS_DELTA, requests.delta, signedBytes),
    flagged("Peak", HAS_PEAK, requests.peak, bytes),
    { title: "Note", key: note, show: (row) => (requests.flags[row]! & PROFILED ? element("button", { type: "button", click: () => void openProfile(row) }, "Profile") : note(row)) },
  ];
  const table = liveTable("Requests", rows, columns, 0, (row) => `${endpoint(row)} ${worker(row)} ${status(row)} ${note(row)}`);
  const refresh = (): void => {
    const [from, to] = requests.between(...view.chosen);
    heading.textContent = `${count(to - from)} requests${view.everything ? "" : " in this range"}`;
    if (details.open) table.refresh(most);
  };
  details.append(table.root);
  details.addEventListener("toggle", refresh);
  view.settled(refresh);
  for (const printed of [true, false]) {
    addEventListener(printed ? "beforeprint" : "afterprint", () => {
      most = printed ? PRINTED : undefined;
      table.refresh(most);
    });
  }
  root.replaceChildren(details);
  refresh();
}
