// The requests of the run as columns, ordered by start.

import type { Block } from "./decode";
import { lowerBound } from "./lines";
import type { RequestsHeader } from "./payload";

export const FAILED = 1;
export const PROFILED = 2;
export const HAS_DELTA = 4;
export const HAS_PEAK = 8;

export class Requests {
  readonly start: Float64Array; // seconds since the start of the run
  readonly duration: Float64Array; // seconds
  readonly waited: Float64Array; // seconds the request was late, at arrival rates
  readonly endpoint: Float64Array;
  readonly phase: Float64Array; // index into the names of phases
  readonly worker: Float64Array; // index of the process, -1 = not known
  readonly status: Float64Array; // 0 = no response, or the exit code of a command
  readonly flags: Float64Array;
  readonly delta: Float64Array; // bytes; only with HAS_DELTA
  readonly peak: Float64Array; // bytes; only with HAS_PEAK
  readonly trouble: Float64Array;
  readonly longest: number;
  readonly largestDelta: number;
  readonly endpoints: string[];
  readonly troubles: string[];

  constructor(block: Block<RequestsHeader>) {
    const column = (name: string) => block.column(block.header.names[name]!);
    this.start = column("start").map((us) => us / 1e6);
    this.duration = column("duration").map((us) => us / 1e6);
    this.waited = column("waited").map((us) => us / 1e6);
    this.endpoint = column("endpoint");
    this.phase = column("phase");
    this.worker = column("worker");
    this.status = column("status");
    this.flags = column("flags");
    this.delta = column("delta");
    this.peak = column("peak");
    this.trouble = column("trouble");
    this.endpoints = block.header.endpoints;
    this.troubles = block.header.troubles;
    this.longest = this.duration.reduce((most, d) => Math.max(most, d), 0);
    this.largestDelta = this.delta.reduce((most, d) => Math.max(most, d), 0);
  }

  get count(): number {
    return this.start.length;
  }

  /** 0 fine, 1 redirect, 2 refused by the application, 3 failed. */
  grade(row: number): number {
    const status = this.status[row]!;
    if (status === 0) return this.failed(row) ? 3 : 0;
    if (status >= 500) return 3;
    if (status >= 400 || this.failed(row)) return 2;
    return status >= 300 ? 1 : 0;
  }

  /** Rows that started in a range: from the first up to but without the second. */
  between(lo: number, hi: number): [number, number] {
    return [lowerBound(this.start, lo), lowerBound(this.start, hi)];
  }

  answered(row: number): boolean {
    return this.status[row] !== 0 || !this.failed(row);
  }

  /** Seconds from the start the schedule wanted. */
  latency(row: number): number {
    return this.duration[row]! + this.waited[row]!;
  }

  failed(row: number): boolean {
    return (this.flags[row]! & FAILED) !== 0;
  }
}
