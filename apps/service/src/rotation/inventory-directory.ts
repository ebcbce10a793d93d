import type { InventoryDirectory } from '#rotation';
import type { Keyturn } from '../composition.js';

const BY_BACK_END = 'SELECT back_end, id FROM families WHERE back_end IS NOT NULL ORDER BY back_end, id';
/** What waits, and what is to be seen gone. */
const UNDER_WAY = `SELECT family_id AS id FROM rotations WHERE ended = 0
  UNION SELECT id FROM families WHERE drifted_at IS NOT NULL ORDER BY 1`;
const UNKNOWN = 'SELECT id FROM families WHERE back_end IS NOT NULL AND accepted_since IS NULL ORDER BY id';
const ACCEPTED =
  'SELECT back_end, id FROM families WHERE back_end IS NOT NULL AND accepted_since IS NOT NULL ORDER BY id';

/** Whose objects are looked at, by the read model: it says whom to look at and nothing else. */
export function inventoryDirectory(
  keyturn: Pick<Keyturn, 'readModel' | 'backEnds' | 'servedDocument'>,
): InventoryDirectory {
  const { db } = keyturn.readModel;
  const idsOf = (query: string): readonly string[] =>
    db
      .prepare(query)
      .all()
      .map(({ id }) => String(id));
  return {
    byBackEnd: () => {
      const found = new Map<string, string[]>();
      for (const { back_end: instance, id } of db.prepare(BY_BACK_END).all()) {
        const families = found.get(String(instance)) ?? [];
        families.push(String(id));
        found.set(String(instance), families);
      }
      return found;
    },
    underWay: () => idsOf(UNDER_WAY),
    unknown: () => idsOf(UNKNOWN),
    unserved: () =>
      db
        .prepare(ACCEPTED)
        .all()
        .flatMap(({ back_end: instance, id }) => {
          const backEnd = keyturn.backEnds.find(String(instance));
          const publishes = backEnd?.declaration.capabilities.publishesJwks === true;
          return publishes && keyturn.servedDocument(String(id)) === undefined ? [String(id)] : [];
        }),
  };
}
