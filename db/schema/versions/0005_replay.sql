-- The journal can be replayed: it says what positions were worth, its rows are chained by hash, and what makes it quick to read is kept beside it.

alter table journal add column mark numeric, add column hash bytea;
-- What a request did to a market is an event of that market, and of no account.
alter table journal alter column account_id drop not null;
comment on column journal.account_id is 'Whose event it is; null: the market''s (kind quoted).';
comment on column journal.mark is 'The instrument''s mark after the event: the middle of bid and ask, else the last trade (rule 20); null: not known yet, a later event of the same request says it.';
comment on column journal.hash is
    'A link of the chain, on the last event that a request writes for an account: SHA-256 of the link before it and of the digests of the events since.';
create index journal_market on journal (instrument_id, event_id) where account_id is null;
create index journal_terms on journal (account_id, event_id) where kind in ('opened', 'terms');

-- Derived from the journal, and no more than a shortcut: they can be emptied at any time, and are made anew by reading.
create table internal.account_checkpoints (
    account_id  bigint not null,
    event_id    bigint not null,
    events      bigint not null,
    at          timestamp not null,
    state       jsonb not null,
    primary key (account_id, event_id)
);
comment on table internal.account_checkpoints is 'What an account had after some of its events: a place to begin from instead of the first one. Derived from the journal.';
comment on column internal.account_checkpoints.events is 'How many events of the account that includes.';

create table internal.book_checkpoints (
    instrument_id  bigint not null,
    event_id       bigint not null,
    state          jsonb not null,
    primary key (instrument_id, event_id)
);
comment on table internal.book_checkpoints is 'The working orders of an instrument after some of its events. Derived from the journal.';

-- What was written before now is marked and chained once; from here on the engine does it as it writes.
alter table journal disable trigger journal_append_only;
update journal j
set mark = coalesce(
    (select case when q.bid_price > 0 and q.ask_price > 0 then (q.bid_price + q.ask_price) / 2 end
     from quotes q
     where q.instrument_id = j.instrument_id and q.timestamp <= j.at
     order by q.timestamp desc, q.quote_id desc
     limit 1),
    (select t.price from trades t where t.instrument_id = j.instrument_id and t.executed_at <= j.at order by t.trade_id desc limit 1))
where j.instrument_id is not null;
insert into journal (at, account_id, kind, detail)
select greatest(clock_timestamp() at time zone 'UTC', a.updated_at), a.account_id, 'opened', jsonb_strip_nulls(jsonb_build_object(
    'account_number', a.account_number, 'account_type', a.account_type, 'currency', a.currency, 'status', a.status, 'user_id', a.user_id,
    'balance', a.balance, 'initial_rate', m.initial_rate, 'maintenance_long_rate', m.maintenance_long_rate,
    'maintenance_short_rate', m.maintenance_short_rate))
from accounts a
left join margin_schedule m on m.account_type = a.account_type
order by a.account_id;
update journal j
set hash = l.hash
from (
    select max(e.event_id) as event_id, sha256(string_agg(sha256(convert_to(
        format('%s|%s|%s|%s|%s|%s|%s|%s', e.event_id, extract(epoch from e.at), e.account_id, e.kind, e.order_id, e.instrument_id, e.mark, e.detail),
        'UTF8')), '' order by e.event_id)) as hash
    from journal e
    group by e.account_id
) l
where j.event_id = l.event_id;
alter table journal enable trigger journal_append_only;
