import type { Response } from 'express';
import { History, lookIntervalMs } from './history.ts';
import type { PageSource } from './page-source.ts';
import { type PageView, renderFigures, renderPage } from './render.ts';
import { readSamples } from './samples.ts';

export type PageOptions = {
  readonly source: PageSource;
  readonly log: (level: 'warn' | 'error', message: string, fields: object) => void;
};

/** How many browsers may receive live updates. */
const mostListeners = 16;
const tellIntervalMs = 5_000;

/** The operator's page, and the browsers that watch it. */
export type Page = {
  /** HTML */
  render(notice: string | undefined): Promise<string>;
  /** Sends the figures to the browser every 5 s, as server-sent events. false when too many browsers receive them already. */
  listen(response: Response): boolean;
  /** Ends the updates of all browsers. */
  close(): void;
};

/** Creates the page; it reads the counters in the background until it is closed. */
export function createPage({ source, log }: PageOptions): Page {
  const history = new History();
  const listeners = new Set<Response>();

  async function look(): Promise<void> {
    try {
      const { text } = await source.metrics('prometheus');
      history.add(readSamples(text), performance.now());
    } catch (error) {
      log('warn', 'metrics not read for the page', { error: nameOf(error) });
    }
  }

  async function view(): Promise<PageView> {
    const [status, { text }, audit, signing] = await Promise.all([
      source.status(),
      source.metrics('prometheus'),
      source.readAudit(),
      source.readSwitch(),
    ]);
    return { status, samples: readSamples(text), history, audit, signing, now: new Date() };
  }

  async function tellAll(): Promise<void> {
    if (listeners.size === 0) return;
    try {
      const current = await view();
      const event = encodeEvent(current, history);
      for (const listener of listeners) {
        // a browser that has not taken the last event is too slow for this one; it gets later ones
        if (listener.writableLength === 0) listener.write(event);
      }
    } catch (error) {
      log('warn', 'figures not read for the page', { error: nameOf(error) });
    }
  }

  void look();
  const timers = [
    setInterval(() => void look(), lookIntervalMs).unref(),
    setInterval(() => void tellAll(), tellIntervalMs).unref(),
  ];

  return {
    render: async (notice) => renderPage(await view(), notice),
    listen(response) {
      if (listeners.size >= mostListeners) return false;
      listeners.add(response);
      response.once('close', () => listeners.delete(response));
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      void view().then(
        (current) => response.write(encodeEvent(current, history)),
        (error: unknown) => log('warn', 'figures not read for the page', { error: nameOf(error) }),
      );
      return true;
    },
    close() {
      for (const timer of timers) clearInterval(timer);
      for (const listener of listeners) listener.end();
    },
  };
}

function encodeEvent(view: PageView, history: History): string {
  const data = {
    figures: renderFigures(view).text,
    time: view.now.toISOString().slice(11, 19),
    curves: history.curves(view.now.getTime(), performance.now()),
  };
  return `event: figures\ndata: ${JSON.stringify(data)}\n\n`;
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : 'unknown');
