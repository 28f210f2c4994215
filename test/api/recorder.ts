import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { type ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { expect } from 'vitest';

type ApiHeader = { readonly required?: boolean; readonly schema: Record<string, unknown> };

type ApiOperation = {
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> };
  readonly responses: Record<
    string,
    {
      readonly headers: Record<string, ApiHeader | { readonly $ref: string }>;
      readonly content?: Record<string, { readonly schema: object }>;
    }
  >;
};

export type ApiDocument = {
  readonly paths: Record<string, Record<string, ApiOperation>>;
  readonly components: Record<string, Record<string, object>>;
};

/** One status of an operation: what belongs to it, in alphabetical order. */
export type ApiAnswer = {
  readonly headers: readonly string[];
  /** headers that every answer has */
  readonly required: readonly string[];
  readonly media: readonly string[];
  readonly codes: readonly string[];
};

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
};

export type Question = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** the head is sent, and a body that is announced never comes */
  readonly isBodyWithheld?: boolean;
  /** the answer has no end: it is read up to its first empty line */
  readonly isEndless?: boolean;
  /** PEM, which vouches for an `https` listener */
  readonly ca?: string;
};

/** What HTTP itself needs, whoever answers. */
const ofTransport = new Set([
  'connection',
  'content-length',
  'content-type',
  'date',
  'keep-alive',
  'transfer-encoding',
]);
/** Is there for pages of `server.cors.origins` alone, and so required of no answer. */
const ofPages = /^(?:vary|access-control-(?:allow-origin|expose-headers))$/;

const codeHeader = 'livepeer-signer-code';

/**
 * Asks a running signer, holds every answer against the document as it comes, and notes what was seen, so that the two can be
 * compared as a whole.
 */
export class Recorder {
  readonly #document: ApiDocument;
  readonly #seen = new Map<string, { names: string[]; media: string; code: string }[]>();
  readonly #ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });

  constructor(document: ApiDocument) {
    this.#document = document;
    ajvFormats.default(this.#ajv);
    this.#ajv.addVocabulary(['components', 'paths']);
    this.#ajv.addFormat('int64', true);
    this.#ajv.addFormat(
      'base64',
      /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
    );
    this.#ajv.addSchema({ components: document.components, paths: document.paths }, 'api');
  }

  /** `url` is of a listener. The answer's headers and body must be of the document's schemas. */
  async ask(url: string, path: string, question: Question = {}): Promise<Answer> {
    const { method = 'GET', headers = {}, body, isBodyWithheld = false, ca } = question;
    const options = { method, headers, agent: false as const, ca };
    const client = url.startsWith('https:') ? https : http;
    const request = client.request(`${url}${path}`, options);
    if (isBodyWithheld) request.flushHeaders();
    else request.end(body);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) {
      chunks.push(chunk as Buffer);
      if (question.isEndless === true && Buffer.concat(chunks).includes('\n\n')) break;
    }
    request.destroy();
    const answer = {
      status: response.statusCode ?? 0,
      headers: Object.fromEntries(
        Object.entries(response.headersDistinct).map(([name, values = []]) => [
          name,
          values.join(', '),
        ]),
      ),
      text: Buffer.concat(chunks).toString(),
    };
    this.#note(path.replace(/\?.*/, ''), method.toLowerCase(), answer, body);
    return answer;
  }

  #note(path: string, method: string, answer: Answer, requestBody: string | undefined): void {
    const methods = this.#document.paths[path];
    // another method than the path's own is told of where its own is
    const known = methods?.[method] ? method : Object.keys(methods ?? {})[0];
    const operation = methods?.[known ?? ''];
    if (!methods || !known || !operation) throw new Error(`${method} ${path} is in no document`);
    const { status, headers, text } = answer;
    const { responses } = operation;
    const answered = responses[status] ? `${status}` : `${Math.floor(status / 100)}XX`;
    const response = responses[answered];
    if (!response) throw new Error(`${method} ${path} has no answer ${status}: ${text}`);
    const at = `#/paths/${escapePointer(path)}/${known}`;

    for (const [name, header] of Object.entries(response.headers)) {
      const value = headers[name.toLowerCase()];
      if (value === undefined) continue;
      const place =
        '$ref' in header
          ? `${header.$ref}/schema`
          : `${at}/responses/${answered}/headers/${name}/schema`;
      this.#expectValid(place, /^\d+$/.test(value) ? Number(value) : value);
    }
    const media = method === 'head' ? '' : (headers['content-type'] ?? '').replace(/;.*/, '');
    if (media !== '') {
      expect(Object.keys(response.content ?? {}), `${method} ${path} ${status}`).toContain(media);
      const isJson = media === 'application/json';
      this.#expectValid(
        `${at}/responses/${answered}/content/${escapePointer(media)}/schema`,
        isJson ? JSON.parse(text) : text,
      );
    }
    if (status < 400 && operation.requestBody && requestBody !== undefined) {
      const [requestMedia = ''] = Object.keys(operation.requestBody.content);
      this.#expectValid(
        `${at}/requestBody/content/${escapePointer(requestMedia)}/schema`,
        requestMedia === 'application/json'
          ? JSON.parse(requestBody)
          : Object.fromEntries(new URLSearchParams(requestBody)),
      );
    }

    const key = `${known} ${path} ${answered}`;
    const seen = this.#seen.get(key) ?? [];
    this.#seen.set(key, seen);
    const names = Object.keys(headers).filter((name) => !ofTransport.has(name));
    seen.push({ names, media, code: headers[codeHeader] ?? '' });
  }

  #expectValid(pointer: string, value: unknown): void {
    const validate = this.#ajv.getSchema(`api${pointer}`) as ValidateFunction | undefined;
    if (!validate) throw new Error(`no schema at ${pointer}`);
    expect(validate(value) ? [] : validate.errors, `${pointer}: ${JSON.stringify(value)}`).toEqual(
      [],
    );
  }

  /** What was seen, by method, path and status. */
  get seen(): Record<string, ApiAnswer> {
    const answers = [...this.#seen].map(([key, seen]): [string, ApiAnswer] => {
      const headers = distinct(seen.flatMap(({ names }) => names));
      return [
        key,
        {
          headers,
          required: headers.filter(
            (name) => !ofPages.test(name) && seen.every(({ names }) => names.includes(name)),
          ),
          media: distinct(seen.map(({ media }) => media)),
          codes: distinct(seen.map(({ code }) => code)),
        },
      ];
    });
    return Object.fromEntries(answers);
  }

  /** What the document says, in the same form. */
  get documented(): Record<string, ApiAnswer> {
    const answers: Record<string, ApiAnswer> = {};
    for (const [path, methods] of Object.entries(this.#document.paths)) {
      for (const [method, { responses }] of Object.entries(methods)) {
        for (const [status, { headers, content = {} }] of Object.entries(responses)) {
          const resolved = Object.entries(headers).map(([name, header]): [string, ApiHeader] => [
            name.toLowerCase(),
            '$ref' in header ? this.#resolve(header.$ref) : header,
          ]);
          const codes = Object.fromEntries(resolved)[codeHeader]?.schema['enum'] as
            string[] | undefined;
          answers[`${method} ${path} ${status}`] = {
            headers: distinct(resolved.map(([name]) => name)),
            required: distinct(
              resolved.flatMap(([name, { required }]) => (required === true ? [name] : [])),
            ),
            media: distinct(Object.keys(content)),
            codes: distinct(codes ?? []),
          };
        }
      }
    }
    return answers;
  }

  #resolve(reference: string): ApiHeader {
    const name = reference.replace('#/components/headers/', '');
    return this.#document.components['headers']?.[name] as ApiHeader;
  }
}

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => name !== '').sort();
}

function escapePointer(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}
