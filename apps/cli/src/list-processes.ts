import type { z } from 'zod';
import { familySchema, type Containment, type Destruction } from './api.js';
import { findFamily } from './find.js';
import { processColumns } from './process-text.js';
import type { CommonOptions, Session } from './session.js';

export interface ListOptions extends CommonOptions {
  readonly family?: string;
  readonly all?: boolean;
}

/** The containments or the destructions that are open, with what each waits for. */
export async function listProcesses<Schema extends z.ZodType<Containment | Destruction>>(
  session: Session,
  kind: 'containment' | 'destruction',
  schema: Schema,
  { family, all = false }: ListOptions,
): Promise<readonly z.output<Schema>[]> {
  const { client } = session;
  const { items, treeSize } = await client.all(`/${kind}s`, schema, {
    family: family === undefined ? undefined : (await findFamily(session, family)).id,
    state: all ? 'all' : 'open',
  });
  const names = new Map<string, string>();
  if (!session.json) {
    for (const id of new Set(items.map((item) => item.family))) {
      names.set(id, (await client.get(`/families/${id}`, familySchema)).qualifiedName);
    }
  }
  session.answer({ items, treeSize }, () => {
    if (items.length === 0) session.line(`No ${kind} is ${all ? 'on record' : 'open'}.`);
    else
      session.table(
        items,
        processColumns((id) => names.get(id) ?? id),
      );
  });
  return items;
}
