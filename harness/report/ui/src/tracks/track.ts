// A track: a heading with its legend, and below it something drawn on the shared time axis.

import { element } from "../dom";
import type { Frame } from "./frame";

export interface Key {
  /** Class of the swatch: c0 ... c7 or a name of its own. */
  swatch: string;
  label: string;
  value: HTMLElement;
}

export abstract class Track {
  readonly root: HTMLElement;
  protected readonly plot: HTMLElement;
  protected readonly legend: HTMLElement;
  protected readonly tools: HTMLElement;
  /** Where it stands when it is not pinned. */
  readonly home = document.createComment("");
  readonly pin: HTMLButtonElement;
  private readonly toggle: HTMLButtonElement;
  private open = true;

  constructor(protected readonly frame: Frame, readonly id: string, readonly title: string, what: string) {
    this.plot = element("div", { class: "plot" });
    this.legend = element("div", { class: "legend" });
    this.tools = element("div", { class: "tools" });
    this.toggle = element("button", { type: "button", class: "fold", "aria-expanded": "true" }, title);
    this.toggle.addEventListener("click", () => this.fold(!this.open));
    this.pin = element("button", { type: "button", class: "pin", "aria-pressed": "false", "aria-label": `Pin ${title} to the top` }, "pin");
    const head = element("div", { class: "head" }, this.toggle, element("span", { class: "what" }, what), this.tools, this.pin);
    this.root = element("section", { class: "track", id: `track-${id}`, "aria-label": `${title} over time` }, head, this.legend, this.plot);
  }

  get visible(): boolean {
    return this.open;
  }

  protected fold(open: boolean): void {
    this.open = open;
    this.toggle.setAttribute("aria-expanded", String(open));
    this.plot.hidden = !open;
    this.legend.hidden = !open;
    if (open) this.draw();
  }

  /** Draw the range the view shows. */
  abstract draw(): void;

  /** Show the values at the cursor, or at the end of the range when there is none. */
  abstract read(time: number | null): void;

  /** The pointer is at this place, in CSS pixels of the plot; null when it left. */
  hover(_x: number, _y: number | null): void {}

  /** The plot was clicked; whether that did something. */
  click(_x: number, _y: number): boolean {
    return false;
  }

  /** What it shows at the cursor, in words. */
  get spoken(): string {
    return `${this.title}: ${[...this.legend.children].map((e) => e.textContent).join(", ")}`;
  }

  contains(target: EventTarget | null): boolean {
    return target instanceof Node && this.plot.contains(target);
  }

  get box(): DOMRect {
    return this.plot.getBoundingClientRect();
  }

  protected width(): number {
    return this.plot.clientWidth;
  }

  /** A legend entry; the text of its value is filled in by `read`. */
  protected key(swatch: string, label: string): Key {
    const value = element("b");
    this.legend.append(element("span", { class: "key" }, element("i", { class: `swatch ${swatch}` }), element("span", { class: "name" }, label), value));
    return { swatch, label, value };
  }
}

/** A signal with nothing to see: its heading says so. */
export class QuietTrack extends Track {
  constructor(frame: Frame, id: string, title: string, text: string) {
    super(frame, id, title, text);
    this.plot.remove();
    this.legend.remove();
    this.pin.remove();
    this.root.querySelector("button")?.replaceWith(element("span", { class: "fold" }, title));
  }

  override draw(): void {}

  override read(): void {}
}
