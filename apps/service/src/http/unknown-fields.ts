import { z } from 'zod';

export interface FieldError {
  /** JSON pointer into the body; empty for the body itself. */
  readonly field: string;
  readonly message: string;
}

/** Longest name that is quoted back. */
const LONGEST_NAME = 60;

export function pointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${shown(String(part)).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/**
 * Every field of `value` that its schema does not know, however deep and whether or not the schema is strict: what
 * nobody reads must not look accepted.
 */
export function unknownFields(
  schema: unknown,
  value: unknown,
  path: readonly PropertyKey[] = [],
): readonly FieldError[] {
  if (schema instanceof z.ZodObject) return inObject(schema, value, path);
  if (schema instanceof z.ZodArray) {
    if (!Array.isArray(value)) return [];
    return value.flatMap((item: unknown, index) => unknownFields(schema.element, item, [...path, index]));
  }
  if (schema instanceof z.ZodRecord) {
    if (!isObject(value)) return [];
    return Object.entries(value).flatMap(([name, item]) =>
      unknownFields(schema.valueType, item, [...path, name]),
    );
  }
  if (schema instanceof z.ZodUnion) return inUnion(schema.options, value, path);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly ||
    schema instanceof z.ZodLazy
  ) {
    return unknownFields(schema.unwrap(), value, path);
  }
  if (schema instanceof z.ZodPipe) return unknownFields(schema.in, value, path);
  return [];
}

function inObject(schema: z.ZodObject, value: unknown, path: readonly PropertyKey[]): readonly FieldError[] {
  if (!isObject(value)) return [];
  const known = Object.keys(schema.shape);
  const { catchall } = schema.def;
  const open = catchall !== undefined && !(catchall instanceof z.ZodNever);
  return Object.entries(value).flatMap(([name, item]): readonly FieldError[] => {
    if (Object.hasOwn(schema.shape, name)) return unknownFields(schema.shape[name], item, [...path, name]);
    if (open) return [];
    return [{ field: pointer([...path, name]), message: `is not known here; known are ${known.join(', ')}` }];
  });
}

/** Of the members that take the value, the one that knows most of it; where none does, the union's own error says so. */
function inUnion(
  options: readonly unknown[],
  value: unknown,
  path: readonly PropertyKey[],
): readonly FieldError[] {
  const taking = options.filter((option) => option instanceof z.ZodType && option.safeParse(value).success);
  return taking
    .map((option) => unknownFields(option, value, path))
    .reduce<readonly FieldError[]>(
      (best, each) => (best.length <= each.length && best !== NONE ? best : each),
      NONE,
    );
}

const NONE: readonly FieldError[] = [];

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(name: string): string {
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME)}…`;
}
