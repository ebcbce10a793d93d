/** How far a node's storage is, as `X-Vault-Index` says it: base64 of this. */
interface StorageIndex {
  readonly cluster: string;
  /** Of raft: the number of its newest entry. */
  readonly value: string;
}

/** No raft log gets so far: whoever is asked for this much asks the leader. */
const FURTHER_THAN_ANY = String(2n ** 64n - 1n);

/**
 * What is sent back, with `forward-active-node`, so that no standby answers out of its own storage: an index of the same cluster which
 * only the leader needs not reach. The index as it was seen would do for what was written here; what another process wrote a moment ago,
 * or a standby that is cut off from its leader, is behind it unnoticed. What is no index of raft goes back as it came.
 */
export function leaderIndexOf(seen: string): string {
  const index = indexOf(seen);
  if (index === undefined || !/^\d+$/.test(index.value)) return seen;
  const further: StorageIndex = { cluster: index.cluster, value: FURTHER_THAN_ANY };
  return Buffer.from(JSON.stringify(further)).toString('base64');
}

function indexOf(seen: string): StorageIndex | undefined {
  try {
    const index: unknown = JSON.parse(Buffer.from(seen, 'base64').toString('utf8'));
    if (typeof index !== 'object' || index === null) return undefined;
    const { cluster, value } = { cluster: undefined, value: undefined, ...index };
    return typeof cluster === 'string' && typeof value === 'string' ? { cluster, value } : undefined;
  } catch {
    return undefined;
  }
}
