import { startOrchestrator } from './orchestrators.ts';

/** What becomes of an orchestrator, and how many there are of each kind: fifty in all. */
export const kinds = {
  well: 15,
  leaving: 5,
  renamed: 3,
  flapping: 4,
  down: 4,
  silent: 4,
  oversized: 4,
  malformed: 4,
  redirecting: 3,
  private: 4,
} as const;

export type Kind = keyof typeof kinds;

/** One orchestrator of a crowd. */
export type Member = {
  readonly kind: Kind;
  /** where it is asked */
  readonly url: string;
  /** where it is listed, if it ever is */
  readonly address: string;
};

export type Crowd = {
  readonly members: readonly Member[];
  /** Has the flapping ones fail, or answer again. */
  flap(): void;
  /** Has the leaving ones go away. */
  leave(): Promise<void>;
  close(): Promise<void>;
};

const privateUrls = [
  'https://10.1.2.3:8935',
  'https://192.168.1.1:8935',
  'https://169.254.169.254',
  'https://[fd00::1]:8935',
];

/** Whether orchestrators of a kind are ever listed. */
export function isEverListed(kind: Kind): boolean {
  return ['well', 'leaving', 'renamed', 'flapping'].includes(kind);
}

/** Fifty orchestrators on this machine, some of which fail in every way there is. */
export async function startCrowd(): Promise<Crowd> {
  const servers: { member: Member; server: Awaited<ReturnType<typeof startOrchestrator>> }[] = [];
  const start = async (kind: Kind, index: number): Promise<Member> => {
    const privateUrl = privateUrls[index] ?? '';
    if (kind === 'private') return { kind, url: privateUrl, address: privateUrl };
    const renamed = `https://renamed-${index}.example:8935`;
    const server = await startOrchestrator(kind === 'renamed' ? { serviceUrl: renamed } : {});
    const address = kind === 'renamed' ? renamed : server.url;
    const member = { kind, url: server.url, address };
    servers.push({ member, server });
    if (kind === 'down') await server.close();
    if (kind === 'silent' || kind === 'oversized' || kind === 'malformed') server.fault = kind;
    if (kind === 'redirecting') server.fault = kind;
    return member;
  };
  const members = await Promise.all(
    Object.entries(kinds).flatMap(([kind, count]) =>
      Array.from({ length: count }, (_, index) => start(kind as Kind, index)),
    ),
  );
  const serversOf = (kind: Kind) =>
    servers.filter(({ member }) => member.kind === kind).map(({ server }) => server);
  let isFlapping = false;
  return {
    members,
    flap() {
      isFlapping = !isFlapping;
      for (const server of serversOf('flapping')) {
        server.fault = isFlapping ? 'refusing' : undefined;
      }
    },
    async leave() {
      await Promise.all(serversOf('leaving').map((server) => server.close()));
    },
    async close() {
      await Promise.all(servers.map(({ server }) => server.close()));
    },
  };
}
