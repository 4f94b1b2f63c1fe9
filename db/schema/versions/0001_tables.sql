-- The tables of the exchange.
--
-- Schema public holds what clients see: the user's own specification (names, types, defaults and indexes are a contract) and the
-- columns that the engine needs besides. Schema internal holds what is nobody's business; no role but the owner has rights on it.
-- All timestamps are UTC. Money is numeric(20,2), price and quantity numeric(20,8).

revoke all on schema internal from public;
revoke create on schema public from public;
-- A function is nobody's to call until somebody is granted it.
alter default privileges revoke execute on functions from public;

-- People and their accounts -----------------------------------------------------------------------------------------------------

create table users (
    user_id        bigserial primary key,
    email          varchar(255) unique not null,
    username       varchar(100) unique not null,
    password_hash  varchar(255) not null,
    first_name     varchar(100),
    last_name      varchar(100),
    created_at     timestamp default current_timestamp,
    updated_at     timestamp default current_timestamp,
    is_active      boolean default true
);

create table accounts (
    account_id      bigserial primary key,
    user_id         bigint references users (user_id),
    account_type    varchar(50) not null,
    account_number  varchar(50) unique not null,
    balance         numeric(20, 2) default 0,
    currency        varchar(3) default 'USD',
    status          varchar(20) default 'active',
    created_at      timestamp default current_timestamp,
    updated_at      timestamp default current_timestamp,
    reserved        numeric(20, 2) not null default 0,
    commissions     numeric(20, 2) not null default 0
) with (fillfactor = 60);
comment on column accounts.commissions is 'All commissions paid so far: the sum of the account''s transactions of that type.';
comment on column accounts.balance is 'Cash, in the account''s currency: the sum of the account''s transactions (rule 18).';
comment on column accounts.reserved is 'Cash set aside for open buys and waiting stop buys: the sum of orders.reserved (rule 21).';

create table fee_schedule (
    account_type  varchar(50) primary key,
    maker_rate    numeric(10, 8) not null default 0 check (maker_rate >= 0 and maker_rate < 1),
    taker_rate    numeric(10, 8) not null default 0 check (taker_rate >= 0 and taker_rate < 1)
);
comment on table fee_schedule is 'Commission as a share of the traded value, by account type; both rates are 0 where no row says otherwise (rule 17).';

create table margin_schedule (
    account_type            varchar(50) primary key,
    initial_rate            numeric(6, 4) not null check (initial_rate > 0),
    maintenance_long_rate   numeric(6, 4) not null check (maintenance_long_rate > 0),
    maintenance_short_rate  numeric(6, 4) not null check (maintenance_short_rate > 0)
);
comment on table margin_schedule is 'Account types with a row here trade on margin and may be short (rule 22); all others are cash accounts (rule 21).';
insert into margin_schedule values ('margin', 0.50, 0.25, 0.30);

-- Instruments -------------------------------------------------------------------------------------------------------------------

create table instruments (
    instrument_id    bigserial primary key,
    symbol           varchar(20) unique not null,
    name             varchar(255) not null,
    instrument_type  varchar(50) not null,
    exchange         varchar(50),
    currency         varchar(3) default 'USD',
    tick_size        numeric(10, 4),
    lot_size         numeric(10, 2),
    is_active        boolean default true
);

create table internal.books (
    instrument_id     bigint primary key references instruments (instrument_id) on delete cascade,
    bid_price         numeric(20, 8),
    bid_size          numeric(20, 8),
    ask_price         numeric(20, 8),
    ask_size          numeric(20, 8),
    last_price        numeric(20, 8),
    last_at           timestamp,
    session_date      date,
    session_volume    numeric(28, 8) not null default 0,
    previous_close    numeric(20, 8),
    waiting_stops     integer not null default 0,
    version           bigint not null default 0,
    updated_at        timestamp not null default '-infinity'
) with (fillfactor = 40);
comment on table internal.books is
    'One row per instrument: its lock (who holds it is the only writer of the book, rule 15), the top of the book, the last trade, and a version that moves with every change.';

-- A row of the books belongs to each instrument from its first moment, whoever inserts it.
create function internal.open_book() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into internal.books (instrument_id) values (new.instrument_id);
    return null;
end;
$$;
create trigger instruments_open_book after insert on instruments for each row execute function internal.open_book();

-- Orders and what becomes of them -----------------------------------------------------------------------------------------------

create table orders (
    order_id         bigserial primary key,
    account_id       bigint references accounts (account_id),
    instrument_id    bigint references instruments (instrument_id),
    order_type       varchar(20) not null,
    side             varchar(10) not null,
    quantity         numeric(20, 8) not null,
    price            numeric(20, 8),
    stop_price       numeric(20, 8),
    status           varchar(20) default 'pending',
    time_in_force    varchar(10) default 'GTC',
    created_at       timestamp default current_timestamp,
    updated_at       timestamp default current_timestamp,
    filled_at        timestamp,
    filled_quantity  numeric(20, 8) default 0,
    post_only        boolean default false,
    self_trade       varchar(20) default 'cancel_newest',
    client_order_id  varchar(100),
    reason           text,
    triggered_at     timestamp,
    priority         bigint,
    reserved         numeric(20, 2) not null default 0,
    terms            jsonb
) with (fillfactor = 70);
comment on column orders.status is 'pending, open, partially_filled, or final: filled, cancelled, rejected, expired (rule 3).';
comment on column orders.priority is 'Place in time among the orders of a price level, or among waiting stops; null until the engine has accepted the order.';
comment on column orders.reserved is 'Cash of the account that this order sets aside (rule 21).';
comment on column orders.terms is 'The terms as first sent, kept where a client_order_id makes the request repeatable (rule 5).';

create index idx_orders_account on orders (account_id);
create index idx_orders_instrument on orders (instrument_id);
create index idx_orders_status on orders (status);
create index idx_orders_created on orders (created_at desc);
-- The book: one side is one index, in the order in which it trades (rule 6).
create index orders_bids on orders (instrument_id, price desc, priority) where side = 'buy' and status in ('open', 'partially_filled');
create index orders_asks on orders (instrument_id, price, priority) where side = 'sell' and status in ('open', 'partially_filled');
create index orders_stops on orders (instrument_id, side, stop_price) where status = 'pending' and order_type in ('stop', 'stop_limit');
create index orders_working on orders (account_id, instrument_id) where status in ('pending', 'open', 'partially_filled');
create unique index orders_client_order_id on orders (account_id, client_order_id) where client_order_id is not null;

create sequence internal.priority_seq as bigint;
create sequence internal.match_id_seq as bigint;

create table trades (
    trade_id       bigserial primary key,
    order_id       bigint references orders (order_id),
    instrument_id  bigint references instruments (instrument_id),
    side           varchar(10) not null,
    quantity       numeric(20, 8) not null,
    price          numeric(20, 8) not null,
    commission     numeric(20, 8) default 0,
    executed_at    timestamp default current_timestamp,
    match_id       bigint,
    liquidity      varchar(5),
    account_id     bigint
);
comment on table trades is 'Two rows for each match, one per order, with that order''s side (rule 7).';
create index idx_trades_order on trades (order_id);
create index idx_trades_instrument on trades (instrument_id);
create index idx_trades_executed on trades (executed_at desc);

create table positions (
    position_id     bigserial primary key,
    account_id      bigint references accounts (account_id),
    instrument_id   bigint references instruments (instrument_id),
    quantity        numeric(20, 8) not null,
    average_price   numeric(20, 8) not null,
    realized_pnl    numeric(20, 2) default 0,
    unrealized_pnl  numeric(20, 2) default 0,
    opened_at       timestamp default current_timestamp,
    updated_at      timestamp default current_timestamp,
    cost            numeric not null default 0,
    realized_exact  numeric not null default 0,
    unique (account_id, instrument_id)
) with (fillfactor = 60);
comment on column positions.cost is 'What the open quantity was bought (positive) or sold (negative) for, exact (rule 19).';
comment on column positions.realized_exact is 'The exact running total of which realized_pnl is the cents (rule 19).';
create index idx_positions_account on positions (account_id);
create index idx_positions_instrument on positions (instrument_id);

create table transactions (
    transaction_id    bigserial primary key,
    account_id        bigint references accounts (account_id),
    transaction_type  varchar(20) not null,
    amount            numeric(20, 2) not null,
    balance_after     numeric(20, 2) not null,
    description       varchar(255),
    created_at        timestamp default current_timestamp,
    trade_id          bigint
);
comment on table transactions is 'The ledger: every change of a balance, signed, with the balance after it (rule 18).';
create index idx_transactions_account on transactions (account_id, transaction_id);

create table journal (
    event_id       bigserial primary key,
    at             timestamp not null,
    account_id     bigint not null,
    kind           varchar(20) not null,
    order_id       bigint,
    instrument_id  bigint,
    detail         jsonb not null
);
comment on table journal is
    'Everything that happens to an order or an account, in the order in which it happens, written in the transaction that does it: enough to rebuild any moment.';
create index journal_account on journal (account_id, event_id);
create index journal_instrument on journal (instrument_id, event_id);

-- History is append-only, for the owner too.
create function internal.refuse_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% is append-only: its rows are never changed or deleted', tg_table_name
        using errcode = 'restrict_violation', hint = 'Correct a mistake with a new row (a transaction of type adjustment).';
end;
$$;
create trigger trades_append_only before update or delete or truncate on trades for each statement execute function internal.refuse_change();
create trigger transactions_append_only before update or delete or truncate on transactions for each statement execute function internal.refuse_change();
create trigger journal_append_only before update or delete or truncate on journal for each statement execute function internal.refuse_change();

-- Market data -------------------------------------------------------------------------------------------------------------------

create table market_data (
    time           timestamp not null,
    instrument_id  bigint not null,
    open           numeric(20, 8) not null,
    high           numeric(20, 8) not null,
    low            numeric(20, 8) not null,
    close          numeric(20, 8) not null,
    volume         numeric(20, 2) not null,
    primary key (time, instrument_id)
) partition by range (time);
comment on table market_data is 'One-minute bars; where only a day''s bar is known it stands at that day''s first minute. A match counts once in the volume.';
create index idx_market_data_instrument on market_data (instrument_id, time desc);
-- Trading never stops for want of a partition.
create table internal.market_data_default partition of market_data default;

create table quotes (
    quote_id       bigserial primary key,
    instrument_id  bigint references instruments (instrument_id),
    bid_price      numeric(20, 8) not null,
    bid_size       numeric(20, 2) not null,
    ask_price      numeric(20, 8) not null,
    ask_size       numeric(20, 2) not null,
    timestamp      timestamp default current_timestamp
);
comment on table quotes is 'The top of the book whenever it changed; price and size 0 stand for an empty side.';
create index idx_quotes_instrument on quotes (instrument_id, timestamp desc);

create view portfolio_view with (security_barrier = true) as
select
    a.account_id,
    a.account_number,
    u.username,
    i.symbol,
    p.quantity,
    p.average_price,
    p.unrealized_pnl,
    p.realized_pnl,
    (p.quantity * p.average_price) as position_value
from positions p
join accounts a on p.account_id = a.account_id
join users u on a.user_id = u.user_id
join instruments i on p.instrument_id = i.instrument_id
where p.quantity != 0;

-- What a request carries through the engine ---------------------------------------------------------------------------------------

create type internal.market as (
    instrument_id bigint, symbol text, currency text, is_active boolean, tick_size numeric, lot_size numeric,
    bid_price numeric, bid_size numeric, ask_price numeric, ask_size numeric,
    last_price numeric, waiting_stops integer, updated_at timestamp
);
comment on type internal.market is 'An instrument whose lock the request holds.';

create type internal.outcome as (order_id bigint, status text, at timestamp, prints numeric[], volume numeric, changed boolean);
comment on type internal.outcome is
    'What became of an order: its status, when, the prices it printed in their order, the quantity printed, and whether the book or the stops changed.';
