import type { Placed } from '#rotation';
import type { Keyturn } from '../composition.js';
import { setETag } from '../http/etag.js';
import type { HttpReply } from '../http/request-context.js';

/** Read-your-writes: answers only when every reader sees what was placed, with its version as ETag. */
export async function settlePlaced(keyturn: Keyturn, placed: Placed, reply: HttpReply): Promise<Placed> {
  if (placed.revision >= 0) await keyturn.settle(placed);
  setETag(reply, placed.revision);
  return placed;
}
