import { describeReplayStorm } from './replay-storm.ts';

describeReplayStorm(10_000);
