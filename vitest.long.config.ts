import './test/support/draw-seed.ts';
import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** Full-size fuzz, chaos and soak runs. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: [] } },
  defineConfig({ test: { include: ['test/**/*.long.test.ts'], testTimeout: 1_800_000 } }),
);
