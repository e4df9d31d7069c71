// A profile as the page works with it.

import { openBlock } from "./decode";
import type { Costs, ProfileHeader } from "./payload";

export interface Rows {
  count: number;
  frame: Float64Array;
  calls: Float64Array;
  self: Float64Array[];
  inclusive: Float64Array[];
}

export interface Tree extends Rows {
  parent: Float64Array;
  children: number[][];
  roots: number[];
}

/** Moments of the request, ns and bytes; `label` counts into the header's texts. */
export interface Moments {
  offset: Float64Array;
  bytes: Float64Array;
  label: Float64Array;
}

/** What the widths of a call tree stand for. */
export interface Measure {
  type: number;
  values: Float64Array;
  /** Summed up from the calls' own growth, because recorded totals do not add up. */
  summed: boolean;
}

export interface ProfileData {
  header: ProfileHeader;
  functions: Rows;
  tree: Tree;
  moments: Moments;
}

export async function openProfile(index: number): Promise<ProfileData> {
  const block = await openBlock<ProfileHeader>(`profile-${index}`);
  const rows = (costs: Costs): Rows => {
    const frame = block.column(costs.frame);
    return {
      count: frame.length,
      frame,
      calls: block.column(costs.calls),
      self: costs.self.map((c) => block.column(c)),
      inclusive: costs.inclusive.map((c) => block.column(c)),
    };
  };
  const { functions, tree, curve } = block.header;
  const moments = { offset: block.column(curve.offset), bytes: block.column(curve.bytes), label: block.column(curve.label) };
  const parent = block.column(tree.parent);
  const children: number[][] = Array.from(parent, () => []);
  const roots: number[] = [];
  parent.forEach((p, i) => (p < 0 ? roots : children[p]!).push(i));
  return { header: block.header, functions: rows(functions), tree: { ...rows(tree), parent, children, roots }, moments };
}

/** Every value that can be drawn as shares of a whole. */
export function measures({ tree, header }: ProfileData): Measure[] {
  return header.types.flatMap((_, type): Measure[] => {
    if (addsUp(tree, type)) return [{ type, values: tree.inclusive[type]!, summed: false }];
    const values = tree.self[type]!.map((v) => Math.max(v, 0));
    for (let i = tree.count - 1; i >= 0; i--) if (tree.parent[i]! >= 0) values[tree.parent[i]!]! += values[i]!; // parents come first
    return tree.roots.some((root) => values[root]! > 0) ? [{ type, values, summed: true }] : [];
  });
}

/** Whether children never add up to more than their parent, so that widths may stand for shares. */
function addsUp(tree: Tree, type: number): boolean {
  const values = tree.inclusive[type];
  if (!values || !tree.count) return false;
  const sums = new Float64Array(tree.count);
  tree.parent.forEach((p, i) => {
    if (p >= 0) sums[p]! += values[i]!;
  });
  let total = 0;
  for (const root of tree.roots) total += values[root]!;
  return total > 0 && sums.every((sum, i) => values[i]! >= 0 && sum <= values[i]! * 1.01 + 1000);
}
