import { Counter, Gauge, Histogram } from 'prom-client';

const ignore = (): void => undefined;

// loaded before a signer, whose metrics then cost no more than the call
Counter.prototype.inc = ignore;
Gauge.prototype.set = ignore;
Histogram.prototype.observe = ignore;
