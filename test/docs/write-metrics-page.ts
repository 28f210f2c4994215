import { readFileSync, writeFileSync } from 'node:fs';
import { withMetricTables } from './metrics-page.ts';

// `npm run docs:metrics`, after a change of src/telemetry/metric-table.ts
const page = new URL('../../docs/metrics.md', import.meta.url);
writeFileSync(page, withMetricTables(readFileSync(page, 'utf8')));
