import { DomainError, type Decider, type NewEvent, type RecordedEvent } from '../recorded-event.js';
import { deciderSpec, deepFreeze, frozenFold, history, recorded, RECORDED_FROM } from './index.js';

type Opened = NewEvent<'Opened', { readonly by: string }>;
type Closed = NewEvent<'Closed', Record<string, never>>;
type New = Opened | Closed;
type Recorded = RecordedEvent<'Opened', Opened['data']> | RecordedEvent<'Closed', Closed['data']>;
type Command = { readonly kind: 'open'; readonly by: string } | { readonly kind: 'close' };
interface State {
  readonly open: boolean;
  readonly times: readonly number[];
}

const doorDecider: Decider<Command, State, New, Recorded> = {
  initialState: { open: false, times: [] },
  decide: (command, state) => {
    if (command.kind === 'close') return state.open ? [{ type: 'Closed', data: {} }] : [];
    if (state.open) throw new DomainError('door.open', 'the door is open already', { by: command.by });
    return [{ type: 'Opened', data: { by: command.by } }];
  },
  evolve: (state, event) => ({ open: event.type === 'Opened', times: [...state.times, event.recordedAt] }),
};

const opened: Opened = { type: 'Opened', data: { by: 'me' } };
const closed: Closed = { type: 'Closed', data: {} };

describe('given, when, then', () => {
  const { given } = deciderSpec(doorDecider);

  it('holds what a decider does', () => {
    expect(() => {
      given().when({ kind: 'open', by: 'me' }).then(opened);
      given(opened).when({ kind: 'close' }).then(closed);
      given(opened, closed).when({ kind: 'close' }).thenNothing();
      given(recorded(opened)).when({ kind: 'open', by: 'you' }).thenRejected('door.open', { by: 'you' });
    }).not.toThrow();
  });

  it('is red where the decider does something else', () => {
    expect(() => given().when({ kind: 'open', by: 'me' }).then(closed)).toThrow(/toEqual/);
    expect(() => given().when({ kind: 'open', by: 'me' }).thenNothing()).toThrow(/toEqual/);
    expect(() => given().when({ kind: 'open', by: 'me' }).thenRejected('door.open')).toThrow(
      /toBeInstanceOf/,
    );
    expect(() => given(opened).when({ kind: 'open', by: 'me' }).thenRejected('door.closed')).toThrow(
      /toMatchObject/,
    );
  });

  it.each<[string, RegExp, Partial<typeof doorDecider>]>([
    ['changes its state', /read only/, { evolve: (state) => Object.assign(state, { open: false }) }],
    [
      'changes its event',
      /read only/,
      { evolve: (state, event) => ({ ...state, ...Object.assign(event, { id: '' }) }) },
    ],
    [
      'changes its command',
      /read only/,
      { decide: (command) => [Object.assign(command, { kind: 'close' }) && opened] },
    ],
    ['remembers', /toEqual/, { decide: impureDecide() }],
  ])('finds a decider that %s', (_what, how, impure) => {
    const spec = deciderSpec({ ...doorDecider, ...impure });
    expect(() => spec.given(opened).when({ kind: 'open', by: 'me' }).thenNothing()).toThrow(how);
  });

  it('refuses maps and sets, which cannot be frozen', () => {
    expect(() => deepFreeze({ names: new Set(['a']) })).toThrow('Set');
  });

  it('records new events in order, one second apart', () => {
    const events = history(opened, closed);
    expect(events.map((event) => [event.revision, event.treeSize, event.recordedAt])).toEqual([
      [0, 1, RECORDED_FROM],
      [1, 2, RECORDED_FROM + 1000],
    ]);
    expect(history(opened, closed)).toEqual(events);
    expect(recorded(opened, { revision: 4, recordedAt: 7 })).toMatchObject({
      revision: 4,
      recordedAt: 7,
      treeSize: 5,
    });
    expect(frozenFold(doorDecider, events)).toEqual({
      open: false,
      times: [RECORDED_FROM, RECORDED_FROM + 1000],
    });
  });
});

function impureDecide(): typeof doorDecider.decide {
  let times = 0;
  return () => {
    times += 1;
    return times > 1 ? [opened] : [];
  };
}
