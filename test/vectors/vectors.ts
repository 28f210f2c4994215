import { readFileSync } from 'node:fs';

type Hex = `0x${string}`;
type Chain = {
  lastSeenL1Block: string;
  lastInitializedRound: string;
  lastInitializedL1BlockHash: Hex;
  deposit: string;
  withdrawRound: string | number;
  reserveFundsRemaining: string;
};
type Limits = { maxTicketEV: string; maxTotalEV: string; depositMultiplier: number };

/** The protocol's test vectors, computed independently of this project. */
export type Vectors = {
  key: { privateKey: Hex; address: Hex };
  tickets: {
    name: string;
    recipient: Hex;
    sender: Hex;
    faceValue: string;
    winProb: string;
    senderNonce: number;
    recipientRandHash: Hex;
    creationRound: number;
    creationRoundBlockHash: Hex;
    auxData: Hex;
    preimage: Hex;
    preimageLength: number;
    hash: Hex;
    eip191Digest: Hex;
    signature?: Hex;
  }[];
  auxData: { creationRound: number; creationRoundBlockHash: Hex; auxData: Hex }[];
  winningDraw: {
    signature: Hex;
    recipientRand: Hex;
    recipientRandHash: Hex;
    draw: Hex;
    winProb: Hex;
    wins: boolean;
  };
  verifySig: { name: string; address: Hex; message: Hex; signature: Hex; valid: boolean }[];
  infoSig: {
    address: Hex;
    signature: Hex;
    eip191Digest: Hex;
    responseBody: string;
    wrong: { signatureOverLowercase: Hex };
  };
  segmentCredentials: {
    name: string;
    manifestId: string;
    authToken: { token: Hex; sessionId: string; expiration: number };
    preimage: Hex;
    eip191Digest: Hex;
    signature: Hex;
    segDataProtobuf: Hex;
    segCredsBase64: string;
    capabilitiesProtobuf?: Hex;
    capabilities?: unknown;
  }[];
  segmentFlattenLiteral: {
    manifestId: string;
    seq: number;
    dataHash: Hex;
    profilesHexText: string;
    preimage: Hex;
    keccak256: Hex;
  };
  ev: {
    faceValue: string;
    winProb: string;
    floatString0: string;
    ratString: string;
    floatString5: string;
  }[];
  stageUpdate: {
    existingCredit: string;
    minCredit: string;
    ev: string | null;
    numTickets: number;
    newCredit: string;
  }[];
  billing: {
    existingCredit: string;
    fee: string;
    ev: string;
    minCredit: string;
    numTickets: number;
    newCredit: string;
    newBalance: string | null;
    outcome: number;
  }[];
  fees: {
    type: string;
    elapsedNanoseconds: string;
    inPixels: number | string;
    initialPricePerUnit: string;
    initialPixelsPerUnit: string;
    billableSecs: number;
    billableUnits: number | string;
    fee: string;
    error?: string;
    status?: number;
  }[];
  floatString: { rat: string; prec: number; floatString: string }[];
  senderValidation: {
    baseTicketParams: { faceValue: string; winProb: string; expirationBlock: string };
    baseChain: Chain;
    baseLimits: Limits;
    cases: {
      name: string;
      ticketParams: { faceValue: string; winProb: string; expirationBlock: string };
      chain: Partial<Chain>;
      limits: Partial<Limits>;
      numTickets: number;
      error: string | null;
      expired: boolean;
    }[];
  };
  requestDecoding: {
    body: string;
    ok: boolean;
    hasState?: boolean;
    fields?: Record<string, unknown>;
    why?: string;
  }[];
  maxPriceParse: {
    maxPrice: { price?: string; currency?: string; unit?: string };
    type: string;
    rat?: string;
    error?: string;
  }[];
  priceCeilings: {
    orchestratorPrice: string;
    ceilings: Record<string, string | null>;
    error: string | null;
    status: number;
  }[];
  webhookAnswers: {
    webhookHttpStatus: number;
    webhookBody: string;
    paymentType: string;
    outcome?: string;
    signerStatus?: number;
    signerBody?: string;
  }[];
  lastUpdateFormat: { unixNanoseconds: string; lastUpdate: string }[];
  protobuf: { message: string; name: string; hex: Hex; base64: string; decoded: unknown }[];
  goGatewayFirstRequestBody: string;
  endToEnd: {
    chain: Chain;
    limits: Limits;
    cases: {
      name: string;
      now: string;
      fixedIds: { requestID: string; stateID: string; manifestID: string };
      requestBody: string;
      requestHeaders?: Record<string, string>;
      status: number;
      responseBody: string;
      responseHeaders?: Record<string, string>;
      hiddenCause?: string;
      numTickets?: number;
      fee?: string;
      kafkaEventData?: Record<string, unknown>;
      webhook?: { requestState: unknown; responseBody: unknown };
    }[];
  };
  abi: {
    selectors: Record<string, Hex>;
    contractIds: Record<string, Hex>;
    eventTopics: Record<string, Hex>;
  };
};

/** 64-bit integers are kept as decimal text. */
const text = readFileSync(new URL('./vectors.json', import.meta.url), 'utf8');

export const vectors = JSON.parse(text) as Vectors;
