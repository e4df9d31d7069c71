// Colours for canvases come from the style sheet, so that light, dark and print are decided in one place.

import { element } from "./dom";

const listeners: (() => void)[] = [];
let cache = new Map<string, string>();

/** The value of a CSS variable, such as "--text". */
export function colour(name: string): string {
  let found = cache.get(name);
  if (found === undefined) {
    found = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    cache.set(name, found);
  }
  return found;
}

/** A colour of the palette; there are eight, told apart further by dashes. */
export function palette(index: number): string {
  return colour(`--c${index % 8}`);
}

/** Red, green and blue of a CSS variable that holds #rrggbb. */
export function rgb(name: string): number[] {
  return channels(colour(name)) ?? [0, 0, 0];
}

/** An opaque mixture with the surface: areas that are softer than their lines but cover what is below. `share` of the colour. */
export function softened(ink: string, share: number): string {
  const [a, b] = [channels(ink), channels(colour("--surface"))];
  if (!a || !b) return ink;
  return `rgb(${a.map((v, i) => Math.round(v * share + b[i]! * (1 - share))).join(" ")})`;
}

function channels(hex: string): number[] | null {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(hex);
  return found && found.slice(1).map((part) => parseInt(part, 16));
}

export const DASHES: number[][] = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

export function onThemeChange(listener: () => void): void {
  listeners.push(listener);
}

function changed(): void {
  cache = new Map();
  for (const listener of listeners) listener();
}

/** The switch in the header: follows the system until it is used. */
export function setUpTheme(button: HTMLElement): void {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const media = [...document.styleSheets[0]!.cssRules].find((rule): rule is CSSMediaRule => rule instanceof CSSMediaRule)!.media; // that of dark colours comes first
  const asked = media.mediaText;
  const choose = (theme: string | undefined) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    media.mediaText = theme ? (theme === "dark" ? "all" : "not all") : asked;
  };
  const label = () => {
    button.replaceChildren(element("span", {}, dark() ? "Light" : "Dark"));
    button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    choose(dark() ? "light" : "dark");
    label();
    changed();
  });
  system.addEventListener("change", () => {
    label();
    changed();
  });
  let before: string | undefined;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    choose("light");
    changed();
  });
  addEventListener("afterprint", () => {
    choose(before);
    changed();
  });
  label();
}
