import type { Due } from './api.js';
import type { Column } from './table.js';
import type { Style } from './terminal.js';
import { day } from './words.js';

/** The columns of what is due. */
export function dueColumns(): readonly Column<Due>[] {
  return [
    {
      title: 'FAMILY',
      // What is owed for a policy belongs to no one family.
      cell: ({ family, policy }) => family?.qualifiedName ?? `policy ${policy?.name ?? ''}`.trim(),
      shrinks: true,
    },
    { title: 'WHAT', cell: (item) => item.what, shrinks: true },
    { title: 'STATUS', cell: (item) => item.status.replaceAll('-', ' '), style: statusStyle },
    { title: 'DUE', cell: (item) => (item.due === null || item.due === undefined ? '–' : day(item.due)) },
    {
      title: 'OVERDUE',
      cell: (item) =>
        item.overdueDays === null || item.overdueDays === undefined || item.overdueDays <= 0
          ? ''
          : `${item.overdueDays} d`,
      align: 'right',
      style: statusStyle,
    },
    { title: 'BASIS', cell: (item) => item.basis ?? '', shrinks: true },
    { title: 'PROVENANCE', cell: (item) => item.provenance ?? '' },
  ];
}

function statusStyle({ status, overdueDays }: Due): readonly Style[] {
  if (status === 'overdue' || (overdueDays ?? 0) > 0) return ['red'];
  return status === 'ok' ? [] : ['yellow'];
}
