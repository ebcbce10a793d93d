/** What stands in a request's path, checked before it is sent: the client library sends `..`, `?` and `#` as they are. */

/** One part of a path, such as a key's or a mount's name. Never a slash, never a part that a server would fold away. */
const SEGMENT = /^(?!\.{1,2}$)[\p{L}\p{N}_.~@+=:-]+$/u;

/** Bytes; longer ones are refused by servers with an answer that says nothing. */
const LONGEST = 512;

/** What is wrong with a path such as `transit/keys/orders`; `undefined`: nothing is. */
export function pathProblem(path: string): string | undefined {
  if (path === '') return 'must not be empty';
  if (Buffer.byteLength(path) > LONGEST) return `must be at most ${LONGEST} bytes long`;
  if (path.startsWith('/') || path.endsWith('/')) return 'must neither begin nor end with a slash';
  const wrong = path.split('/').find((segment) => !SEGMENT.test(segment));
  if (wrong === undefined) return undefined;
  return wrong === ''
    ? 'must have no empty part between two slashes'
    : 'must be parts of letters, digits and _ . ~ @ + = : - with slashes between them; no part may be "." or ".."';
}

/** The path as it is sent; throws where {@link pathProblem} finds something: nobody may get that far with it. */
export function sentPath(path: string): string {
  const problem = pathProblem(path);
  if (problem !== undefined) throw new RangeError(`a path of the back end ${problem}`);
  return path.split('/').map(encodeURIComponent).join('/');
}
