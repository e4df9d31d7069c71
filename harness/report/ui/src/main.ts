// The page reads without this script; the script adds the timeline, the profiles, sorting and links.

import { openBlock } from "./decode";
import { byId, element } from "./dom";
import { SeriesStore } from "./lines";
import { readLink, writeLink } from "./link";
import type { Meta, RequestsHeader, SeriesHeader } from "./payload";
import { ProfileView } from "./profile_view";
import { Requests } from "./requests";
import { requestTable } from "./request_table";
import { Scope } from "./scope";
import { enhance } from "./table";
import { setUpTheme } from "./theme";
import { Timeline } from "./timeline";
import "./styles.css";

interface App {
  timeline: Timeline;
  profiles: ProfileView;
}

declare global {
  interface Window {
    __app?: App;
  }
}

async function start(): Promise<void> {
  setUpTheme(byId("theme"));
  for (const table of document.querySelectorAll<HTMLTableElement>("table.sortable")) enhance(table);
  const meta = JSON.parse(byId("meta").textContent ?? "") as Meta;
  if (meta.format !== 1) throw new Error("the data has a format this script does not know");
  const [series, requests] = await Promise.all([openBlock<SeriesHeader>("series"), openBlock<RequestsHeader>("requests")]);

  const remember = (): void => {
    if (!window.__app) return; // not yet what the link says
    const { view, pins, wall } = app.timeline;
    writeLink({ range: view.whole ? null : [view.lo, view.hi], mark: view.mark, profile: profiles.index, tab: profiles.tab, find: profiles.find, pins, wall }, profiles.index !== null && readLink().profile === null);
  };
  const root = document.getElementById("profile-root") ?? element("div");
  const profiles = new ProfileView(root, meta, () => remember());
  const byRequest = new Map(meta.profiles.flatMap((p, i) => (p.request === null ? [] : [[p.request, i] as const])));
  const openRequest = (row: number): boolean => {
    const found = byRequest.get(row);
    if (found !== undefined) void profiles.open(found);
    return found !== undefined;
  };
  const store = new SeriesStore(series, meta);
  const rows = new Requests(requests);
  const timeline = new Timeline(byId("tracks-root"), meta, store, rows, openRequest, () => remember());
  const app: App = { timeline, profiles };
  new Scope(timeline.view, store, rows);
  const table = document.getElementById("requests-root");
  if (table) requestTable(table, timeline.view, meta, rows, openRequest);

  for (const button of document.querySelectorAll<HTMLButtonElement>("button.show")) {
    button.hidden = false;
    button.addEventListener("click", () => timeline.showFinding(Number(button.dataset.finding)));
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>("button.open")) {
    button.hidden = false;
    button.addEventListener("click", () => void profiles.open(Number(button.dataset.profile), button.dataset.tab, button.dataset.search));
  }
  const follow = async (): Promise<void> => {
    const link = readLink();
    timeline.setPins(link.pins);
    if (link.wall !== timeline.wall) timeline.setClock(link.wall);
    timeline.view.setMark(link.mark);
    if (link.range) timeline.view.show(...link.range);
    else timeline.view.reset();
    if (link.profile !== null) await profiles.open(link.profile, link.tab, link.find);
    else if (profiles.index !== null) profiles.close();
  };
  await follow();
  window.__app = app;
  addEventListener("hashchange", () => void follow());
  addEventListener("keydown", ({ key, target }) => {
    if (key === "Escape" && profiles.index !== null && !(target as Element).closest("#tracks, .icicle, dialog, input")) profiles.close();
  });
  timeline.view.settled(remember);
  addEventListener("beforeprint", () => {
    document.querySelectorAll("main > section details, .findings details").forEach((d) => ((d as HTMLDetailsElement).open = true));
    timeline.print(true);
  });
  addEventListener("afterprint", () => timeline.print(false));
  document.body.dataset.ready = String(Math.round(performance.now()));
}

start().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  const note = `The charts cannot be shown: ${text}. Findings and tables on this page are not affected.`;
  document.getElementById("tracks-root")?.replaceChildren(element("p", { class: "note bad", role: "alert" }, note));
  document.body.dataset.error = text;
});
