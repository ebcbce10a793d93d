import { z } from 'zod';

export interface UnknownField {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/**
 * Every field of `value` that its schema does not know, however deep and whether or not the schema is strict: what
 * nobody reads must not look accepted. `instead` says more of names that somebody may look for.
 */
export function unknownFields(
  schema: unknown,
  value: unknown,
  instead: Readonly<Record<string, string>> = {},
): readonly UnknownField[] {
  return unknownIn(schema, value, instead, []);
}

type Path = UnknownField['path'];
type Instead = Readonly<Record<string, string>>;

function unknownIn(schema: unknown, value: unknown, instead: Instead, path: Path): readonly UnknownField[] {
  if (schema instanceof z.ZodObject) return inObject(schema, value, instead, path);
  if (schema instanceof z.ZodArray) {
    if (!Array.isArray(value)) return [];
    return value.flatMap((item: unknown, index) =>
      unknownIn(schema.element, item, instead, [...path, index]),
    );
  }
  if (schema instanceof z.ZodRecord) {
    if (!isObject(value)) return [];
    return Object.entries(value).flatMap(([name, item]) =>
      unknownIn(schema.valueType, item, instead, [...path, name]),
    );
  }
  if (schema instanceof z.ZodUnion) return inUnion(schema.options, value, instead, path);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly ||
    schema instanceof z.ZodLazy
  ) {
    return unknownIn(schema.unwrap(), value, instead, path);
  }
  return schema instanceof z.ZodPipe ? unknownIn(schema.in, value, instead, path) : [];
}

function inObject(
  schema: z.ZodObject,
  value: unknown,
  instead: Instead,
  path: Path,
): readonly UnknownField[] {
  if (!isObject(value)) return [];
  const { catchall } = schema.def;
  const open = catchall !== undefined && !(catchall instanceof z.ZodNever);
  const known = Object.keys(schema.shape).join(', ');
  return Object.entries(value).flatMap(([name, item]): readonly UnknownField[] => {
    if (Object.hasOwn(schema.shape, name)) {
      return unknownIn(schema.shape[name], item, instead, [...path, name]);
    }
    if (open) return [];
    const said = Object.hasOwn(instead, name) ? instead[name] : undefined;
    return [{ path: [...path, name], message: said ?? `is not known here; accepted: ${known}` }];
  });
}

/** Of the members that take the value, the one that knows most of it; where none does, the union's own error says so. */
function inUnion(
  options: readonly unknown[],
  value: unknown,
  instead: Instead,
  path: Path,
): readonly UnknownField[] {
  const [first, ...others] = options
    .filter((option) => option instanceof z.ZodType && option.safeParse(value).success)
    .map((option) => unknownIn(option, value, instead, path));
  return others.reduce((best, each) => (each.length < best.length ? each : best), first ?? []);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
