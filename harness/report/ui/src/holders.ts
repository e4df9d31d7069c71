// Why objects are still there: paths of references as boxes joined by arrows, grouped by the type of the object at their end.
// To a screen reader, and without style, each path is an ordered list.

import { element } from "./dom";
import { count } from "./format";
import type { HolderRow } from "./payload";

const PAGE = 50; // paths

export function holders(rows: HolderRow[]): HTMLElement {
  const groups = byKind(rows);
  const list = element("div", { class: "holders" });
  const more = element("button", { type: "button" }, "Show more");
  more.className = "more";
  let limit = PAGE;
  const refresh = (): void => {
    let left = limit;
    const shown: HTMLElement[] = [];
    for (const [kind, paths] of groups) {
      if (left <= 0) break;
      shown.push(group(kind, paths, left));
      left -= paths.length;
    }
    list.replaceChildren(...shown);
    more.hidden = limit >= rows.length;
  };
  more.addEventListener("click", () => {
    limit += 4 * PAGE;
    refresh();
  });
  refresh();
  const lead =
    "Each path leads from something that stays, such as a module or a running function, to the objects that it keeps alive. " +
    "An arrow is a reference: its label is the attribute, key or index that holds the next box. The objects go when every path to them is cut at any arrow.";
  return element("div", {}, element("p", { class: "lead" }, lead), list, more);
}

/** Types with most held objects first, and their paths in the same order. */
function byKind(rows: HolderRow[]): [string, HolderRow[]][] {
  const groups = new Map<string, HolderRow[]>();
  for (const row of rows) {
    const known = groups.get(row[0]);
    if (known) known.push(row);
    else groups.set(row[0], [row]);
  }
  const objects = (paths: HolderRow[]): number => paths.reduce((sum, path) => sum + path[1], 0);
  for (const paths of groups.values()) paths.sort((a, b) => b[1] - a[1]);
  return [...groups].sort((a, b) => objects(b[1]) - objects(a[1]));
}

function group(kind: string, paths: HolderRow[], limit: number): HTMLElement {
  const held = paths.reduce((sum, path) => sum + path[1], 0);
  const title = element("h4", {}, element("code", {}, kind), ` ${objectsText(held)} on ${paths.length === 1 ? "one path" : `${count(paths.length)} paths`}`);
  return element("section", { class: "held" }, title, ...paths.slice(0, limit).map(chain));
}

function objectsText(objects: number): string {
  return objects === 1 ? "1 object" : `${count(objects)} objects`;
}

function chain([, objects, path]: HolderRow): HTMLElement {
  const number = element("p", { class: "much" }, objectsText(objects));
  if (!path.length) return element("div", { class: "chain" }, number, element("p", { class: "empty" }, "No path from a module or a frame was found."));
  const boxes = path.map(([label, via], i) => {
    const place = i === 0 ? " first" : i === path.length - 1 ? " last" : "";
    const box = element("li", {}, element("span", { class: `box${place}` }, label));
    if (i < path.length - 1) {
      const name = via ? [element("span", { class: "sr" }, " refers by "), element("span", { class: "via" }, via)] : [element("span", { class: "sr" }, " refers")];
      box.append(element("span", { class: "arrow" }, ...name, element("span", { class: "sr" }, " to")));
    }
    return box;
  });
  return element("div", { class: "chain" }, number, element("ol", { "aria-label": `Path of references that holds ${objectsText(objects)}` }, ...boxes));
}
