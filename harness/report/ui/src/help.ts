// All keys in one dialog: everything the mouse can do here, a key can.

import { element } from "./dom";

const KEYS: [keys: string, what: string][] = [
  ["A D, ← →", "move along"],
  ["W S, + −", "zoom in and out"],
  ["0", "show the whole run"],
  [", .", "move the cursor; Shift: ten times as far"],
  ["[ ]", "begin or end the range at the cursor"],
  ["↑ ↓", "choose a track, and hear its values at the cursor"],
  ["P", "pin the chosen track to the top, or let it go"],
  ["Enter", "open the profile nearest to the cursor"],
  ["M", "mark the range: tables keep to it while you look around; again: forget it"],
  ["F", "show what is marked"],
  ["Home, End", "begin and end of the run"],
  ["click, Esc", "hold the cursor with its values, let it go; Esc elsewhere: close the profile"],
  ["drag, or drag in the strip above", "choose a range"],
  ["Shift + drag, Ctrl + wheel", "move along, zoom"],
];

export class Help {
  readonly root: HTMLDialogElement;
  readonly button = element("button", { type: "button", "aria-label": "Keys and mouse", click: () => this.open() }, "?");

  constructor() {
    const close = element("button", { type: "button", click: () => this.root.close() }, "Close");
    const rows = KEYS.map(([keys, what]) => element("tr", {}, element("th", { scope: "row" }, keys), element("td", {}, what)));
    this.root = element("dialog", { "aria-label": "Keys and mouse" }, element("h3", {}, "Keys, while the timeline has the focus; W A S D everywhere but in a field of text"), element("table", {}, element("tbody", {}, ...rows)), close);
  }

  open(): void {
    this.root.showModal();
  }
}
