// What is shown, in the address: #range=12.5,40&profile=3 opens the same view elsewhere.

export interface Link {
  range: [number, number] | null;
  profile: number | null;
}

export function readLink(): Link {
  const parts = new URLSearchParams(location.hash.slice(1));
  const range = (parts.get("range") ?? "").split(",").map(Number);
  const profile = parts.get("profile");
  return {
    range: range.length === 2 && range.every(Number.isFinite) && range[0]! < range[1]! ? [range[0]!, range[1]!] : null,
    profile: profile !== null && /^\d{1,6}$/.test(profile) ? Number(profile) : null,
  };
}

export function writeLink(link: Link): void {
  const parts: string[] = [];
  if (link.range) parts.push(`range=${link.range.map((t) => Number(t.toFixed(4))).join(",")}`);
  if (link.profile !== null) parts.push(`profile=${link.profile}`);
  history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}
