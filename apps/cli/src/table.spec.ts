import { cutTo, tableOf, widthOf, type Column } from './table.js';
import { paintFor } from './terminal.js';

interface Fruit {
  readonly name: string;
  readonly weight: string;
}

const columns: readonly Column<Fruit>[] = [
  { title: 'NAME', cell: (fruit) => fruit.name, shrinks: true },
  { title: 'WEIGHT', cell: (fruit) => fruit.weight, align: 'right', style: () => ['red'] },
];
const plain = paintFor({ colours: false });
const rows = [
  { name: 'apple', weight: '90 g' },
  { name: 'the watermelon of the neighbour', weight: '4 kg' },
];

describe('tableOf', () => {
  it('aligns columns and puts no blanks at the end of a line', () => {
    expect(tableOf(rows, columns, { columns: undefined, paint: plain })).toEqual([
      'NAME                             WEIGHT',
      'apple                              90 g',
      'the watermelon of the neighbour    4 kg',
    ]);
  });

  it('cuts what may shrink on a narrow terminal, and nothing else', () => {
    const lines = tableOf(rows, columns, { columns: 24, paint: plain });
    expect(lines[2]).toBe('the watermelon …    4 kg');
    expect(lines.every((line) => widthOf(line) <= 24)).toBe(true);
    expect(tableOf(rows, columns, { columns: 5, paint: plain })[2]).toBe('the waterme…    4 kg');
  });

  it('measures before it paints', () => {
    const painted = tableOf(rows, columns, { columns: undefined, paint: paintFor({ colours: true }) });
    // oxlint-disable-next-line no-control-regex
    expect(painted.map((line) => line.replaceAll(/\u001B\[\d+m/g, ''))).toEqual(
      tableOf(rows, columns, { columns: undefined, paint: plain }),
    );
    expect(painted[1]).toContain('\u001B[31m90 g');
  });

  it('keeps a cell on its line', () => {
    const [, line] = tableOf([{ name: 'two\nlines', weight: '1' }], columns, {
      columns: undefined,
      paint: plain,
    });
    expect(line).toBe('two lines       1');
  });
});

describe('width', () => {
  it('counts what is seen', () => {
    expect(widthOf('Zoë')).toBe(3);
    expect(widthOf('Zoe\u0308')).toBe(3);
    expect(widthOf('鍵')).toBe(2);
    expect(cutTo('鍵鍵鍵', 5)).toBe('鍵鍵…');
  });
});
