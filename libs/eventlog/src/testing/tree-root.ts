import { createHash } from 'node:crypto';

/**
 * RFC 6962 Merkle tree hash over leaf hashes (hex): the plain recursion of the RFC, for tests to compare with.
 * The real tree lives in libs/transparency.
 */
export function treeRoot(leaves: readonly string[]): string {
  const [first, ...others] = leaves;
  if (first === undefined) return sha256(Buffer.alloc(0));
  if (others.length === 0) return first;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  const [left, right] = [treeRoot(leaves.slice(0, split)), treeRoot(leaves.slice(split))];
  return sha256(Buffer.concat([Buffer.from([1]), Buffer.from(left, 'hex'), Buffer.from(right, 'hex')]));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
