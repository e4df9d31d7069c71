// What is shown: one range of time and one cursor, shared by everything on the page. Seconds since the start of the run.

const SETTLE_MS = 150;

export class View {
  lo: number;
  hi: number;
  cursor: number | null = null;
  /** A range the tables keep to, whatever is shown; null: they follow what is shown. */
  mark: [number, number] | null = null;
  private readonly onRange: (() => void)[] = [];
  private readonly onCursor: (() => void)[] = [];
  private readonly onSettled: (() => void)[] = [];
  private later = 0;

  constructor(readonly first: number, readonly last: number) {
    this.lo = first;
    this.hi = last;
  }

  get length(): number {
    return this.hi - this.lo;
  }

  get whole(): boolean {
    return this.lo <= this.first && this.hi >= this.last;
  }

  /** What the tables are about. */
  get chosen(): [number, number] {
    return this.mark ?? [this.lo, this.hi];
  }

  get everything(): boolean {
    return this.whole && !this.mark;
  }

  /** Show a range, kept inside the run and no shorter than a millisecond. */
  show(lo: number, hi: number): void {
    if (!Number.isFinite(lo) || !Number.isFinite(hi)) return;
    if (lo > hi) [lo, hi] = [hi, lo];
    const length = Math.min(Math.max(hi - lo, 0.001), this.last - this.first);
    const middle = (lo + hi) / 2;
    lo = Math.min(Math.max(middle - length / 2, this.first), this.last - length);
    this.lo = lo;
    this.hi = lo + length;
    this.changed();
  }

  /** Mark the range that is shown, or forget the mark. */
  toggleMark(): void {
    this.setMark(this.mark ? null : [this.lo, this.hi]);
  }

  setMark(mark: [number, number] | null): void {
    this.mark = mark;
    this.changed();
  }

  clear(): void {
    this.mark = null;
    this.reset();
  }

  private changed(): void {
    for (const listener of this.onRange) listener();
    clearTimeout(this.later);
    this.later = window.setTimeout(() => this.settle(), SETTLE_MS);
  }

  private settle(): void {
    for (const listener of this.onSettled) listener();
  }

  reset(): void {
    this.show(this.first, this.last);
  }

  /** Below 1 zooms in; `around` stays where it is. */
  zoom(factor: number, around = this.cursor ?? (this.lo + this.hi) / 2): void {
    const fixed = Math.min(Math.max(around, this.lo), this.hi);
    this.show(fixed - (fixed - this.lo) * factor, fixed + (this.hi - fixed) * factor);
  }

  /** By a share of what is shown. */
  pan(share: number): void {
    const by = Math.min(Math.max(share * this.length, this.first - this.lo), this.last - this.hi);
    this.show(this.lo + by, this.hi + by);
  }

  point(at: number | null): void {
    if (at === this.cursor) return;
    this.cursor = at === null ? null : Math.min(Math.max(at, this.first), this.last);
    for (const listener of this.onCursor) listener();
  }

  rangeChanged(listener: () => void): void {
    this.onRange.push(listener);
  }

  /** Called once when the range has stopped changing: for what costs more than a frame. */
  settled(listener: () => void): void {
    this.onSettled.push(listener);
  }

  cursorMoved(listener: () => void): void {
    this.onCursor.push(listener);
  }
}
