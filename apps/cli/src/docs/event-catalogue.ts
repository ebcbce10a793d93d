import { z } from 'zod';
import { accessEvents } from '#access';
import { instantSchema, type EventDefinition, type EventDefinitions } from '#eventlog';
import { logEvents } from '#eventlog/kit';
import { deliveryEvents } from '#notify';
import {
  claimEvents,
  containmentEvents,
  destructionEvents,
  personEvents,
  durationSchema,
  familyEvents,
  holdEvents,
  importEvents,
  policyEvents,
  rotationEvents,
  stepEvents,
  inventoryEvents,
  telemetryEvents,
  uuidSchema,
} from '#rotation';
import { obligationEvents } from '#schedule';
import { DEFINITIONS } from '#service';

/** `docs/events.md`: every event type Keyturn knows, from the definitions it parses with. */

interface Group {
  readonly title: string;
  readonly streams: string;
  readonly definitions: EventDefinitions;
}

const GROUPS: readonly Group[] = [
  { title: 'Family', streams: '`family-<id>`', definitions: familyEvents },
  { title: 'Rotation', streams: '`rotation-<id>`', definitions: rotationEvents },
  {
    title: 'Steps',
    streams: '`rotation-<id>` and `containment-<id>`, beside their outcome',
    definitions: stepEvents,
  },
  { title: 'Containment', streams: '`containment-<id>`', definitions: containmentEvents },
  { title: 'Destruction', streams: '`destruction-<id>`', definitions: destructionEvents },
  { title: 'People', streams: '`departure-<derived>`', definitions: personEvents },
  { title: 'Holds', streams: '`holds-<nil id>`', definitions: holdEvents },
  { title: 'Inventory', streams: '`inventory-<derived id>`', definitions: inventoryEvents },
  { title: 'Telemetry', streams: '`telemetry-<rotation’s id>`', definitions: telemetryEvents },
  { title: 'Policy', streams: '`policy-<id>`', definitions: policyEvents },
  { title: 'Obligations', streams: '`obligation-<derived id>`', definitions: obligationEvents },
  { title: 'Claims', streams: '`claim-<derived id>`', definitions: claimEvents },
  { title: 'Imports', streams: '`import-<id>`', definitions: importEvents },
  { title: 'Deliveries', streams: '`delivery-<derived id>`', definitions: deliveryEvents },
  {
    title: 'Access',
    streams: '`subject-<id>`, `token-<id>`, `audit-<derived id>`',
    definitions: accessEvents,
  },
  { title: 'The log', streams: '`log-<nil id>`', definitions: logEvents },
];

export function eventCatalogue(): string {
  const grouped = new Set(GROUPS.map((group) => group.definitions));
  const forgotten = DEFINITIONS.filter((definitions) => !grouped.has(definitions));
  if (forgotten.length > 0) {
    const types = forgotten.flatMap((definitions) => Object.keys(definitions)).join(', ');
    throw new Error(`event-catalogue.ts has no group for ${types}`);
  }
  const parts = GROUPS.map(
    ({ title, streams, definitions }) =>
      `## ${title}\n\nStreams: ${streams}\n\n${Object.entries(definitions)
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .map(([type, definition]) => section(type, definition))
        .join('\n')}`,
  );
  return `${HEAD}\n${parts.join('\n')}`;
}

const HEAD = `# Events

Made by \`npm run docs\` from the schemas that parse every event on write and on read. An event is never changed once it is
stored: what changes gets a new version and a step that lifts the old one. Around the data of each stands its envelope: id,
stream, revision, \`recordedAt\`, \`occurredAt\` where it was recorded, actor, correlation, causation, provenance and origin.
A secret value stands in none of them.
`;

function section(type: string, { version, about, schema }: EventDefinition): string {
  const rows = fieldsOf(asJsonSchema(schema));
  const table =
    rows.length === 0
      ? 'No data: that it happened is all it says.\n'
      : `| field | | what |\n| --- | --- | --- |\n${rows.map((row) => `| \`${row.name}\` | ${row.required ? '' : 'optional'} | ${row.what} |`).join('\n')}\n`;
  return `### ${type}, version ${version}\n\n${about}\n\n${table}`;
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

const NAMED: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [durationSchema, 'duration'],
  [instantSchema, 'instant'],
  [uuidSchema, 'UUID'],
]);

function asJsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const name = NAMED.get(zodSchema);
      if (name !== undefined) jsonSchema.title = name;
    },
  });
}

interface Field {
  readonly name: string;
  readonly required: boolean;
  readonly what: string;
}

function fieldsOf(schema: JsonSchema): readonly Field[] {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, field]) => ({ name, required: required.has(name), what: textOf(field) }));
}

/** One field in a line: its kind, its closed list, its bounds; objects by their fields. */
function textOf(field: JsonSchema | boolean): string {
  if (typeof field === 'boolean') return 'anything';
  if (field.title !== undefined) return field.title;
  const choices = field.anyOf ?? field.oneOf;
  if (choices !== undefined) return choices.map(textOf).join(' or ');
  if (field.const !== undefined) return `\`${JSON.stringify(field.const)}\``;
  if (field.enum !== undefined) return field.enum.map((value) => `\`${String(value)}\``).join(', ');
  switch (field.type) {
    case 'array': {
      const items = Array.isArray(field.items) ? undefined : field.items;
      return `list of ${items === undefined ? 'anything' : textOf(items)}`;
    }
    case 'object': {
      const fields = fieldsOf(field);
      if (fields.length === 0) return 'map';
      return `{ ${fields.map((each) => `${each.name}${each.required ? '' : '?'}: ${each.what}`).join('; ')} }`;
    }
    case 'integer':
    case 'number':
      return `${field.type}${bounds(field.minimum, field.maximum)}`;
    case 'string':
      return field.format === undefined ? `text${bounds(field.minLength, field.maxLength)}` : field.format;
    case 'boolean':
      return 'yes or no';
    case 'null':
    case undefined:
      break;
  }
  return 'anything';
}

function bounds(least: number | undefined, most: number | undefined): string {
  const from = least === undefined || least <= Number.MIN_SAFE_INTEGER ? '' : `from ${least}`;
  const to = most === undefined || most >= Number.MAX_SAFE_INTEGER ? '' : `up to ${most}`;
  const both = [from, to].filter((part) => part !== '').join(' ');
  return both === '' ? '' : ` ${both}`;
}
