// What is shown, in the address: #range=12.5,40&profile=3&tab=Lines opens the same view elsewhere.

export interface Link {
  range: [number, number] | null;
  mark: [number, number] | null;
  profile: number | null;
  tab: string;
  find: string;
  pins: string[];
  wall: boolean;
}

export function readLink(): Link {
  const parts = new URLSearchParams(location.hash.slice(1));
  const range = (name: string): [number, number] | null => {
    const [lo, hi, ...more] = (parts.get(name) ?? "").split(",").map(Number);
    return Number.isFinite(lo) && Number.isFinite(hi) && !more.length && lo! < hi! ? [lo!, hi!] : null;
  };
  const profile = parts.get("profile");
  return {
    range: range("range"),
    mark: range("mark"),
    profile: profile !== null && /^\d{1,6}$/.test(profile) ? Number(profile) : null,
    tab: parts.get("tab") ?? "",
    find: parts.get("find") ?? "",
    pins: (parts.get("pins") ?? "").split(",").filter(Boolean),
    wall: parts.get("clock") === "wall",
  };
}

/** `push`: as a new step of the history, which Back undoes. */
export function writeLink(link: Link, push: boolean): void {
  const parts: string[] = [];
  for (const name of ["range", "mark"] as const) {
    if (link[name]) parts.push(`${name}=${link[name].map((t) => Number(t.toFixed(4))).join(",")}`);
  }
  if (link.profile !== null) parts.push(`profile=${link.profile}`);
  for (const name of ["tab", "find"] as const) if (link[name]) parts.push(`${name}=${encodeURIComponent(link[name])}`);
  if (link.pins.length) parts.push(`pins=${link.pins.join(",")}`);
  if (link.wall) parts.push("clock=wall");
  history[push ? "pushState" : "replaceState"](null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}
