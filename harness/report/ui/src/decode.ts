// Reads the blocks of harness/report/page/blocks.py: gzip(header length, JSON header, delta-zigzag-varint columns) in base64.

export class Block<Header> {
  readonly header: Header;
  private readonly bytes: Uint8Array;
  private readonly sizes: [values: number, bytes: number][];
  private readonly starts: number[] = [];

  constructor(bytes: Uint8Array) {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Header & { columns: [number, number][] };
    this.header = header;
    this.bytes = bytes;
    this.sizes = header.columns;
    let at = 4 + length;
    for (const [, size] of this.sizes) {
      this.starts.push(at);
      at += size;
    }
    if (at !== bytes.length) throw new Error("a data block has the wrong length");
  }

  /** The values of a column. */
  column(number: number): Float64Array {
    const size = this.sizes[number];
    if (!size) throw new Error("a data block refers to a column it does not have");
    const out = new Float64Array(size[0]);
    let at = this.starts[number]!;
    let sum = 0;
    for (let i = 0; i < out.length; i++) {
      let value = 0;
      let factor = 1;
      let byte: number;
      do {
        byte = this.bytes[at++]!;
        value += (byte & 127) * factor;
        factor *= 128;
      } while (byte > 127);
      sum += value % 2 ? -(value + 1) / 2 : value / 2;
      out[i] = sum;
    }
    return out;
  }
}

/** The block in the element with that id. Rejects when it is damaged. */
export async function openBlock<Header>(id: string): Promise<Block<Header>> {
  const text = document.getElementById(id)?.textContent?.trim();
  if (!text) throw new Error(`the page holds no data block "${id}"`);
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot unpack the data (Chrome 80, Firefox 113 or Safari 16.4 can)");
  }
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Block<Header>(new Uint8Array(await new Response(stream).arrayBuffer()));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
