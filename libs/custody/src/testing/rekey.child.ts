import { armFailpoint } from '#platform';
import { rekeyMasterKeyFile } from '../local/index.js';

/** A process that changes the master key of a store; with a failpoint and a count it dies there. */
const [directory, file, name, hit] = process.argv.slice(2);
if (directory === undefined || file === undefined) throw new Error('the store and its key file are missing');
if (name !== undefined) armFailpoint(name, Number(hit));
process.stdout.write(JSON.stringify(rekeyMasterKeyFile({ directory, file })));
