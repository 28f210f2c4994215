/** OTLP's `SpanKind`. */
export const spanKinds = { internal: 1, server: 2, client: 3 } as const;

export type SpanKind = (typeof spanKinds)[keyof typeof spanKinds];

/** 64 bits, as two unsigned integers of 32. */
export type SpanId = { readonly high: number; readonly low: number };

/** A sampled span that has ended. */
export type EndedSpan = {
  /** 32 hex digits */
  readonly traceId: string;
  readonly id: SpanId;
  readonly parent: SpanId | undefined;
  /** whether the parent is another program's */
  readonly isParentRemote: boolean;
  readonly name: string;
  readonly kind: SpanKind;
  /** Unix time in ms, with fractions */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** under the names with which they are sent */
  readonly attributes: readonly (readonly [name: string, value: string | number])[];
  /** what it failed with; undefined where it did not */
  readonly failure: string | undefined;
};

/**
 * The most characters of a text. Everything that is sent is shorter, unless another program publishes longer messages to the
 * channels; longer text is cut.
 */
const longestText = 256;
/** The most bytes of a text in UTF-8, with its tag and its length. */
const textBytes = 3 * longestText + 8;
/** The most bytes of a span or of an attribute, besides its texts. */
const fixedBytes = 128;
const initialBytes = 65_536;
const statusError = 2;
/** A span's flags: it is sampled, and says whether its parent is remote. */
const sampledFlags = 0x101;
const remoteParentFlag = 0x200;

// Tags: the field's number, and its wire type in the lowest three bits.
const varint = (field: number): number => field << 3;
const fixed64 = (field: number): number => (field << 3) | 1;
const delimited = (field: number): number => (field << 3) | 2;
const fixed32 = (field: number): number => (field << 3) | 5;

/**
 * Spans in protobuf, as OTLP's `ExportTraceServiceRequest` (opentelemetry-proto v1). Each is written when it ends, so that only
 * bytes are kept until they are sent, which garbage collection does not have to trace. A length stands before what it counts, and
 * is filled in afterwards, as a varint with a fixed number of bytes, which protobuf allows.
 */
export class OtlpBatch {
  #bytes = Buffer.allocUnsafe(initialBytes);
  #end = 0;
  readonly #resourceSpans: number;
  readonly #scopeSpans: number;
  readonly #firstSpan: number;

  constructor(service: { readonly name: string; readonly version: string }) {
    this.#resourceSpans = this.#begin(delimited(1), 4);
    const resource = this.#begin(delimited(1), 2);
    this.#attribute(1, 'service.name', service.name);
    this.#attribute(1, 'service.version', service.version);
    this.#finish(resource, 2);
    this.#scopeSpans = this.#begin(delimited(2), 4);
    const scope = this.#begin(delimited(1), 2);
    this.#text(1, service.name);
    this.#text(2, service.version);
    this.#finish(scope, 2);
    this.#firstSpan = this.#end;
  }

  /** The bytes of the spans in the batch. */
  get byteLength(): number {
    return this.#end - this.#firstSpan;
  }

  add(span: EndedSpan): void {
    const { parent, attributes, failure } = span;
    this.#reserve(fixedBytes + 2 * textBytes + attributes.length * (fixedBytes + 2 * textBytes));
    const start = this.#begin(delimited(2), 4);
    this.#byte(delimited(1));
    this.#byte(16);
    this.#end += this.#bytes.write(span.traceId, this.#end, 'hex');
    this.#spanId(2, span.id);
    if (parent) this.#spanId(4, parent);
    this.#text(5, span.name);
    this.#byte(varint(6));
    this.#byte(span.kind);
    this.#time(7, span.startedAtMs);
    this.#time(8, span.endedAtMs);
    for (const [name, value] of attributes) this.#attribute(9, name, value);
    if (failure !== undefined) {
      const status = this.#begin(delimited(15), 2);
      this.#text(2, failure);
      this.#byte(varint(3));
      this.#byte(statusError);
      this.#finish(status, 2);
    }
    this.#paddedVarint(fixed32(16), this.#end, 2);
    const flags = span.isParentRemote ? sampledFlags | remoteParentFlag : sampledFlags;
    this.#end = this.#bytes.writeUInt32LE(flags, this.#end + 2);
    this.#finish(start, 4);
  }

  /** Takes the request with all its spans; the batch is empty then. */
  take(): Uint8Array<ArrayBuffer> {
    this.#finish(this.#scopeSpans, 4);
    this.#finish(this.#resourceSpans, 4);
    const request = this.#bytes.subarray(0, this.#end);
    this.#bytes = Buffer.allocUnsafe(this.#bytes.length);
    request.copy(this.#bytes, 0, 0, this.#firstSpan);
    this.#end = this.#firstSpan;
    return request;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * this.#bytes.length + bytes);
    this.#bytes.copy(larger, 0, 0, this.#end);
    this.#bytes = larger;
  }

  #byte(byte: number): void {
    this.#bytes[this.#end++] = byte;
  }

  /** Reserves room for a length of this many bytes, and gives its place. */
  #begin(tag: number, lengthBytes: number): number {
    this.#byte(tag);
    const at = this.#end;
    this.#end += lengthBytes;
    return at;
  }

  #finish(at: number, lengthBytes: number): void {
    this.#paddedVarint(this.#end - at - lengthBytes, at, lengthBytes);
  }

  #paddedVarint(value: number, at: number, bytes: number): void {
    for (let byte = 0; byte < bytes; byte += 1) {
      const more = byte < bytes - 1 ? 0x80 : 0;
      this.#bytes[at + byte] = ((value >>> (7 * byte)) & 0x7f) | more;
    }
  }

  #spanId(field: number, { high, low }: SpanId): void {
    this.#byte(delimited(field));
    this.#byte(8);
    this.#end = this.#bytes.writeUInt32BE(high, this.#end);
    this.#end = this.#bytes.writeUInt32BE(low, this.#end);
  }

  /** Writes a time in nanoseconds, as exactly as a number can hold the milliseconds. */
  #time(field: number, unixMs: number): void {
    const ns = unixMs * 1e6;
    const high = Math.floor(ns / 2 ** 32);
    this.#byte(fixed64(field));
    this.#end = this.#bytes.writeUInt32LE(ns - high * 2 ** 32, this.#end);
    this.#end = this.#bytes.writeUInt32LE(high, this.#end);
  }

  #attribute(field: number, name: string, value: string | number): void {
    const keyValue = this.#begin(delimited(field), 2);
    this.#text(1, name);
    const anyValue = this.#begin(delimited(2), 2);
    if (typeof value === 'string') this.#text(1, value);
    else this.#number(value);
    this.#finish(anyValue, 2);
    this.#finish(keyValue, 2);
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && value >= 0) {
      this.#byte(varint(3));
      let left = value;
      for (; left > 0x7f; left = Math.floor(left / 0x80)) this.#byte((left % 0x80) | 0x80);
      this.#byte(left);
    } else {
      this.#byte(fixed64(4));
      this.#end = this.#bytes.writeDoubleLE(value, this.#end);
    }
  }

  #text(field: number, text: string): void {
    const at = this.#begin(delimited(field), 2);
    const length = Math.min(text.length, longestText);
    const bytes = this.#bytes;
    const start = this.#end;
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        this.#end = start + bytes.write(text.slice(0, longestText), start);
        break;
      }
      bytes[this.#end++] = code;
    }
    this.#finish(at, 2);
  }
}
