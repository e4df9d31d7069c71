// Numbers as people read them; the same words as harness/units.py.

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB"];
export const DASH = "–";
const MINUS = "−";

function trimmed(value: number, digits: number): string {
  return value.toFixed(digits).replace(/^-/, MINUS);
}

export function bytes(value: number, digits = 1): string {
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < BINARY.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${trimmed(value, unit ? digits : 0)} ${BINARY[unit]}`;
}

export function signedBytes(value: number): string {
  return (value > 0 ? "+" : "") + bytes(value);
}

export function nanoseconds(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${trimmed(value / 1e9, 2)} s`;
  if (size >= 1e6) return `${trimmed(value / 1e6, 1)} ms`;
  if (size >= 1e3) return `${trimmed(value / 1e3, 1)} µs`;
  return `${trimmed(value, 0)} ns`;
}

/** A value in the unit of its metric, as in harness/model/metric.py (percent families are stored in 1/100 %). */
export function value(amount: number, unit: string): string {
  switch (unit) {
    case "bytes":
      return bytes(amount);
    case "bytes/s":
      return `${bytes(amount)}/s`;
    case "ns":
      return nanoseconds(amount);
    case "percent":
      return `${trimmed(amount / 100, 2)} %`;
    default:
      return count(amount);
  }
}

export function count(amount: number): string {
  return Math.round(amount).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Time since the start of the run, in seconds, with as many decimals as a step of that size needs. */
export function clock(seconds: number, step = 0.1): string {
  const sign = seconds < 0 ? MINUS : "";
  const digits = step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step) - 1e-9));
  const size = Number(Math.abs(seconds).toFixed(digits));
  if (size < 60) return `${sign}${size.toFixed(digits)} s`;
  const rest = (size % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const minutes = Math.floor(size / 60);
  if (minutes < 60) return `${sign}${minutes}:${rest}`;
  return `${sign}${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** The instant on the recording host's wall clock with its offset. */
export function wallClock(milliseconds: number, offsetSeconds: number): string {
  const local = new Date(milliseconds + offsetSeconds * 1000).toISOString().slice(11, 23);
  const minutes = Math.abs(Math.round(offsetSeconds / 60));
  const zone = `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
  return `${local} ${offsetSeconds < 0 ? MINUS : "+"}${zone}`;
}
