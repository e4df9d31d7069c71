// Where the reader is: the ranges that hold the one shown, from the whole run inwards. Each leads back to itself.

import { element } from "./dom";
import { clock } from "./format";
import type { View } from "./view";

type Range = [number, number];
const MOST = 5;

export class Crumbs {
  readonly root = element("nav", { class: "trail", "aria-label": "Ranges around the one shown" });
  private trail: Range[] = [];

  constructor(private readonly view: View) {
    view.settled(() => this.refresh());
    this.refresh();
  }

  private refresh(): void {
    const { view } = this;
    this.trail = this.trail.filter(([lo, hi]) => lo <= view.lo && hi >= view.hi && hi - lo > view.length * 1.001).slice(-MOST);
    if (!view.whole) this.trail.push([view.lo, view.hi]);
    const mark = view.mark ? [` · marked ${text(view.mark)}`] : [];
    this.root.replaceChildren(this.crumb("All", [view.first, view.last]), ...this.trail.flatMap((r) => [" › ", this.crumb(text(r), r)]), ...mark);
  }

  private crumb(label: string, range: Range): HTMLElement {
    const { view } = this;
    const here = range[0] === view.lo && range[1] === view.hi;
    return element("button", { type: "button", disabled: here, ...(here ? { "aria-current": "true" } : {}), click: () => view.show(...range) }, label);
  }
}

/** A range as people read it, as exact as its length needs. */
export function text([lo, hi]: Range): string {
  const step = (hi - lo) / 10;
  return `${clock(lo, step)} – ${clock(hi, step)}`;
}
