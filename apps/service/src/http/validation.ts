import { Body, Param, Query, SetMetadata, type PipeTransform } from '@nestjs/common';
import type { ApiQuery } from '@nestjs/swagger';
import { z } from 'zod';
import { DomainError } from '#eventlog';
import { plainIssues, unknownFields } from '#platform';
import { findSecrets, nameShown } from '#rotation/application';
import { ofMethod } from './api-description.js';
import { pointer, type FieldError } from './field-error.js';

/** What was sent does not fit. All that is wrong at once; names the fields and the rules, never the values. */
export class InvalidRequestError extends DomainError {
  constructor(
    code: 'request.invalid' | 'query.invalid' | 'path.invalid',
    readonly errors: readonly FieldError[],
  ) {
    super(
      code,
      errors.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`)).join('; '),
    );
    this.name = 'InvalidRequestError';
  }
}

/** Marks a route that reads its query. */
export const READS_QUERY = 'keyturn:reads-query';

type Place = 'request.invalid' | 'query.invalid' | 'path.invalid';

class ZodPipe<Schema extends z.ZodType> implements PipeTransform<unknown, z.output<Schema>> {
  constructor(
    private readonly schema: Schema,
    private readonly place: Place,
    private readonly secretsIn: readonly string[] = [],
  ) {}

  transform(value: unknown): z.output<Schema> {
    // A query has no prototype; an absent body says `{}`.
    const given: unknown = this.place === 'request.invalid' ? (value ?? {}) : { ...Object(value) };
    if (this.place === 'request.invalid') this.#refuseSecrets(given);
    const parsed = this.schema.safeParse(given);
    const unknown = unknownFields(this.schema, given).map(({ path, message }) => ({
      field: pointer(path),
      message,
    }));
    if (parsed.success && unknown.length === 0) return parsed.data;
    // zod's own word on unknown keys names no known ones.
    const issues = (parsed.error?.issues ?? []).filter((issue) => issue.code !== 'unrecognized_keys');
    const errors = [...issues.flatMap(fieldErrors), ...unknown];
    throw new InvalidRequestError(this.place, errors.slice(0, MOST_ERRORS));
  }

  /** Whatever a command says stays in the log for ever. Before anything else looks at it: nothing else may repeat it in an error. */
  #refuseSecrets(given: unknown): void {
    const looked: unknown =
      typeof given === 'object' && given !== null && !Array.isArray(given)
        ? Object.fromEntries(Object.entries(given).filter(([name]) => !this.secretsIn.includes(name)))
        : given;
    const errors: FieldError[] = [];
    findSecrets(looked, (path, message) => {
      const shown = path.map((part) => (typeof part === 'string' ? nameShown(part) : part));
      if (errors.length < MOST_ERRORS) errors.push({ field: pointer(shown), message });
    });
    if (errors.length > 0) throw new InvalidRequestError(this.place, errors);
  }
}

/** More than these help nobody. */
const MOST_ERRORS = 50;

function fieldErrors(issue: z.core.$ZodIssue): readonly FieldError[] {
  return plainIssues(issue).map(({ path, message }) => ({ field: pointer(path), message }));
}

/**
 * The body, validated by a schema that also documents it. Fields nobody knows are refused, however deep, and so is every text that
 * looks like a secret value. `secretsIn`: fields of the body itself that are not kept as they are, or looked at by a check of their own.
 */
export function ZodBody(
  schema: z.ZodType,
  { secretsIn = [] }: { readonly secretsIn?: readonly string[] } = {},
): ParameterDecorator {
  return besides(
    Body(new ZodPipe(schema, 'request.invalid', secretsIn)),
    ofMethod(({ ApiBody }) => ApiBody({ schema: jsonSchemaOf(schema), required: true })),
  );
}

/** The query as an object of strings; numbers by `z.coerce`. A route without one is sent none (`query.guard.ts`). */
export function ZodQuery(schema: z.ZodObject): ParameterDecorator {
  return besides(
    Query(new ZodPipe(schema, 'query.invalid')),
    SetMetadata(READS_QUERY, true),
    ofMethod(({ ApiQuery }) =>
      each(schema, (name, part, required) => ApiQuery({ name, required, schema: jsonSchemaOf(part) })),
    ),
  );
}

/** One part of the path. */
export function ZodParam(name: string, schema: z.ZodType): ParameterDecorator {
  const pipe = new ZodPipe(z.object({ [name]: schema }), 'path.invalid');
  const only: PipeTransform = {
    transform: (value: unknown) => pipe.transform({ [name]: value })[name],
  };
  return besides(
    Param(name, only),
    ofMethod(({ ApiParam }) => ApiParam({ name, schema: jsonSchemaOf(schema) })),
  );
}

/** A parameter's decorator, and what it says of the method. */
function besides(
  parameter: ParameterDecorator,
  ...ofItsMethod: readonly MethodDecorator[]
): ParameterDecorator {
  return (target, key, index) => {
    parameter(target, key, index);
    if (key === undefined) return;
    const descriptor = Object.getOwnPropertyDescriptor(target, key);
    if (descriptor === undefined) return;
    for (const decorate of ofItsMethod) decorate(target, key, descriptor);
  };
}

function each(
  schema: z.ZodObject,
  decorate: (name: string, part: z.ZodType, required: boolean) => MethodDecorator,
): MethodDecorator {
  return (target, key, descriptor) => {
    for (const [name, part] of Object.entries(schema.shape)) {
      if (part instanceof z.ZodType)
        decorate(name, part, !part.safeParse(undefined).success)(target, key, descriptor);
    }
  };
}

type ApiSchema = Extract<
  Extract<Parameters<typeof ApiQuery>[0], { schema: unknown }>['schema'],
  { type?: unknown }
>;

/** What a client may send, as OpenAPI 3.1 writes it. */
function jsonSchemaOf(schema: z.ZodType): ApiSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  // OpenAPI 3.1 takes JSON Schema 2020-12 as it is; the package's types still describe 3.0.
  if (!isApiSchema(json)) throw new Error('a JSON schema is an object');
  return json;
}

function isApiSchema(schema: unknown): schema is ApiSchema {
  return typeof schema === 'object' && schema !== null;
}
