import { refuse } from '../requirements.js';

/** A field's name and the version whose value it has. */
export type Arrangement = Readonly<Record<string, string>>;

/** Which fields applications read, and what stands in which. Pure. */
export interface FieldsLayout {
  /** Old and new can be accepted at once. */
  readonly overlap: boolean;
  /** Fields that applications read, with how a version in each is used; the one that emits first. */
  readonly read: readonly { readonly field: string; readonly use: 'emitting' | 'accepted' }[];
  /** Where a value waits that was made and is not accepted yet. Applications ignore it. */
  readonly staged: string;
  /** Throws `config` where the fields cannot say it. */
  arrange(
    object: string,
    versions: { readonly accepted: readonly string[]; readonly emitting: string | undefined },
  ): Arrangement;
}

const FIELD = /^[\w.-]{1,64}$/;

function requireFields(...fields: readonly string[]): void {
  const wrong = fields.find((field) => !FIELD.test(field));
  if (wrong !== undefined)
    throw refuse(
      'config',
      `the field ${JSON.stringify(wrong.slice(0, 80))} must be letters, digits and _ . -, 64 at most`,
    );
  if (new Set(fields).size < fields.length)
    throw refuse('config', `the fields ${fields.join(', ')} must have different names`);
}

/**
 * Emitters use `current`; verifiers accept `current` and `previous`. Accepting puts the new value into `previous`, emitting swaps the two,
 * revoking drops `previous`: one more is refused while `previous` still has one that drains.
 */
export function currentAndPrevious({
  current = 'current',
  previous = 'previous',
  next = 'next',
}: {
  readonly current?: string;
  readonly previous?: string;
  readonly next?: string;
} = {}): FieldsLayout {
  requireFields(current, previous, next);
  return {
    overlap: true,
    read: [
      { field: current, use: 'emitting' },
      { field: previous, use: 'accepted' },
    ],
    staged: next,
    arrange: (object, { accepted, emitting }) => {
      const [other, more] = accepted.filter((versionId) => versionId !== emitting);
      if (more !== undefined)
        throw refuse(
          'config',
          `${object}: the field ${previous} has ${other}, which still drains, and there is no place beside it for ${more}: withdraw one of them first, or cut over`,
        );
      return {
        ...(emitting === undefined ? {} : { [current]: emitting }),
        ...(other === undefined ? {} : { [previous]: other }),
      };
    },
  };
}

/** One value that everybody reads: no overlap, so that it changes by cut-over alone. */
export function singleValue({
  value = 'value',
  next = 'next',
}: {
  readonly value?: string;
  readonly next?: string;
} = {}): FieldsLayout {
  requireFields(value, next);
  return {
    overlap: false,
    read: [{ field: value, use: 'emitting' }],
    staged: next,
    arrange: (object, { accepted, emitting }) => {
      const other = accepted.find((versionId) => versionId !== emitting);
      if (other !== undefined)
        throw refuse(
          'config',
          `${object}: it holds one value, so that ${other} can neither be accepted beside another nor before it emits: cut over to it`,
        );
      return emitting === undefined ? {} : { [value]: emitting };
    },
  };
}
