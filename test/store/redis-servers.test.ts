import { startCluster, startSentinels } from '../support/replicated-redis.ts';
import { describeServers, keyPrefix } from './redis-servers-cases.ts';

describeServers('Redis by Sentinel', 2, () => startSentinels(2), false);
describeServers('Redis in a Cluster', 1, () => startCluster(keyPrefix), false);
