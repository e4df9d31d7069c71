// What is shown: one range of time and one cursor, shared by everything on the page. Seconds since the start of the run.

export class View {
  lo: number;
  hi: number;
  cursor: number | null = null;
  private readonly onRange: (() => void)[] = [];
  private readonly onCursor: (() => void)[] = [];

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

  /** Show a range, kept inside the run and no shorter than a millisecond. */
  show(lo: number, hi: number): void {
    if (!Number.isFinite(lo) || !Number.isFinite(hi)) return;
    if (lo > hi) [lo, hi] = [hi, lo];
    const length = Math.min(Math.max(hi - lo, 0.001), this.last - this.first);
    const middle = (lo + hi) / 2;
    lo = Math.min(Math.max(middle - length / 2, this.first), this.last - length);
    this.lo = lo;
    this.hi = lo + length;
    for (const listener of this.onRange) listener();
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

  cursorMoved(listener: () => void): void {
    this.onCursor.push(listener);
  }
}
