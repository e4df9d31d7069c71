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

export interface ProfileData {
  header: ProfileHeader;
  functions: Rows;
  tree: Tree;
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
  const { functions, tree } = block.header;
  const parent = block.column(tree.parent);
  const children: number[][] = Array.from(parent, () => []);
  const roots: number[] = [];
  parent.forEach((p, i) => (p < 0 ? roots : children[p]!).push(i));
  return { header: block.header, functions: rows(functions), tree: { ...rows(tree), parent, children, roots } };
}

/** Whether children never add up to more than their parent, so that widths may stand for shares. */
export function addsUp(tree: Tree, type: number): boolean {
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
