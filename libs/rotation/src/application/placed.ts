/** What a command answers: where its fact stands, for read-your-writes, and the id of what it is about. */
export interface Placed {
  readonly id: string;
  readonly stream: string;
  /** Revision of the stream after the command; what `ETag` shows. */
  readonly revision: number;
  /** False: there was nothing to do, it stood there already. */
  readonly changed: boolean;
}
