// Run before the protobuf code is generated, which `npm run check` does too.
import { installPackages } from './install-packages.ts';

installPackages('tools');
