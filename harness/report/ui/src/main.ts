// The page reads without this script; the script adds the timeline, the profiles, sorting and links.

import { openBlock } from "./decode";
import { byId, element } from "./dom";
import { SeriesStore } from "./lines";
import { readLink, writeLink } from "./link";
import type { Meta, RequestsHeader, SeriesHeader } from "./payload";
import { ProfileView } from "./profile_view";
import { Requests } from "./requests";
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
    const { view } = app.timeline;
    writeLink({ range: view.whole ? null : [view.lo, view.hi], profile: profiles.index });
  };
  const root = document.getElementById("profile-root") ?? element("div");
  const profiles = new ProfileView(root, meta, () => remember());
  const byRequest = new Map(meta.profiles.flatMap((p, i) => (p.request === null ? [] : [[p.request, i] as const])));
  const openRequest = (row: number): boolean => {
    const found = byRequest.get(row);
    if (found !== undefined) void profiles.open(found);
    return found !== undefined;
  };
  const timeline = new Timeline(byId("tracks-root"), meta, new SeriesStore(series, meta), new Requests(requests), openRequest);
  const app: App = { timeline, profiles };
  window.__app = app;

  for (const button of document.querySelectorAll<HTMLButtonElement>("button.show")) {
    button.hidden = false;
    button.addEventListener("click", () => timeline.showFinding(Number(button.dataset.finding)));
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>("button.open")) {
    button.hidden = false;
    button.addEventListener("click", () => void profiles.open(Number(button.dataset.profile)));
  }
  const follow = async (): Promise<void> => {
    const link = readLink();
    if (link.range) timeline.view.show(...link.range);
    if (link.profile !== null) await profiles.open(link.profile);
  };
  await follow();
  addEventListener("hashchange", () => void follow());
  let later = 0;
  timeline.view.rangeChanged(() => {
    clearTimeout(later);
    later = window.setTimeout(remember, 250);
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  document.body.dataset.ready = "true";
}

start().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error);
  const note = `The charts cannot be shown: ${text}. Findings and tables on this page are not affected.`;
  document.getElementById("tracks-root")?.replaceChildren(element("p", { class: "note bad", role: "alert" }, note));
  document.body.dataset.error = text;
});
