-- Administration: instruments. Nobody but the owner may execute these.

create or replace function internal.check_step(p_field text, p_value numeric, p_scale integer, p_below numeric) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if p_value = 'NaN' or p_value < 0 or p_value >= p_below then
        perform internal.refuse(p_field, p_value::text, format('must be between 0 and %s', p_below), 'Give a positive step, or none for any value.');
    elsif p_value <> round(p_value, p_scale) then
        perform internal.refuse(p_field, p_value::text, format('has more than %s decimals', p_scale), format('Nearest: %s.', round(p_value, p_scale)));
    end if;
end;
$$;
comment on function internal.check_step is 'Refuses a tick or lot size that the column cannot hold; null is none.';

create or replace function internal.check_words(p_symbol text, p_name text, p_type text, p_exchange text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v record;
begin
    for v in
        select * from (values ('symbol', p_symbol, 20), ('name', p_name, 255), ('instrument_type', p_type, 50), ('exchange', p_exchange, 50)) w (field, word, longest)
    loop
        if v.word is not null and (length(v.word) > v.longest or v.word <> btrim(v.word) or v.word = '' or v.word ~ '[[:cntrl:]]') then
            perform internal.refuse(v.field, left(v.word, 60), format('must be 1 to %s characters without blanks at its ends', v.longest), 'Give another one.');
        end if;
    end loop;
end;
$$;
comment on function internal.check_words is 'Refuses words of an instrument that are empty, too long or not to be read; null is none.';

create or replace function internal.known_instrument(p_symbol text) returns instruments
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_instrument public.instruments;
begin
    select * into v_instrument from public.instruments i where i.symbol = p_symbol for no key update;
    if not found then
        perform internal.refuse('symbol', p_symbol, 'there is no such instrument', 'The table instruments lists them.', 'PS002');
    end if;
    return v_instrument;
end;
$$;
comment on function internal.known_instrument is 'The instrument of that symbol, locked against other changes of it; an unknown one is an error.';

create or replace function instrument_add(
    p_symbol varchar, p_name varchar, p_instrument_type varchar, p_exchange varchar default null, p_currency varchar default 'USD',
    p_tick_size numeric default null, p_lot_size numeric default null
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id bigint;
begin
    perform internal.check_words(coalesce(p_symbol, ''), coalesce(p_name, ''), coalesce(p_instrument_type, ''), p_exchange);
    perform internal.check_step('tick_size', p_tick_size, 4, 1e6);
    perform internal.check_step('lot_size', p_lot_size, 2, 1e8);
    if p_currency is null or p_currency !~ '^[A-Z]{3}$' then
        perform internal.refuse('currency', left(p_currency, 20), 'is no currency', 'Give three capital letters, such as USD.');
    end if;
    insert into public.instruments (symbol, name, instrument_type, exchange, currency, tick_size, lot_size)
    values (p_symbol, p_name, p_instrument_type, p_exchange, p_currency, p_tick_size, p_lot_size)
    on conflict (symbol) do nothing
    returning instrument_id into v_id;
    if v_id is null then
        perform internal.refuse('symbol', p_symbol, 'there is an instrument of that symbol', 'Take another symbol.');
    end if;
    return v_id;
end;
$$;
comment on function instrument_add is 'Adds an instrument; tick and lot size null: any price and quantity of at most 8 decimals. Returns its id.';

create or replace function instrument_set(
    p_symbol varchar, p_name varchar default null, p_instrument_type varchar default null, p_exchange varchar default null,
    p_tick_size numeric default null, p_lot_size numeric default null
) returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_old public.instruments := internal.known_instrument(p_symbol);
    v_new public.instruments := v_old;
    v_order record;
begin
    perform internal.check_words(null, p_name, p_instrument_type, p_exchange);
    perform internal.check_step('tick_size', p_tick_size, 4, 1e6);
    perform internal.check_step('lot_size', p_lot_size, 2, 1e8);
    v_new.name := coalesce(p_name, v_old.name);
    v_new.instrument_type := coalesce(p_instrument_type, v_old.instrument_type);
    v_new.exchange := coalesce(p_exchange, v_old.exchange);
    v_new.tick_size := coalesce(p_tick_size, v_old.tick_size);
    v_new.lot_size := coalesce(p_lot_size, v_old.lot_size);
    if v_new is not distinct from v_old then
        return false;
    end if;
    if (v_new.tick_size, v_new.lot_size) is distinct from (v_old.tick_size, v_old.lot_size) then
        -- Nobody places an order meanwhile; and those that there are, past ones too, must stay right by rule 2.
        perform internal.lock_market(v_old.instrument_id);
        select o.order_id, case when o.quantity % coalesce(nullif(v_new.lot_size, 0), 0.00000001) <> 0 then 'lot_size' else 'tick_size' end as field into v_order
        from public.orders o
        where o.instrument_id = v_old.instrument_id and o.status <> 'rejected'
            and (o.quantity % coalesce(nullif(v_new.lot_size, 0), 0.00000001) <> 0
                or o.price % coalesce(nullif(v_new.tick_size, 0), 0.00000001) <> 0
                or o.stop_price % coalesce(nullif(v_new.tick_size, 0), 0.00000001) <> 0)
        order by o.order_id
        limit 1;
        if found then
            perform internal.refuse(v_order.field, trim_scale(case v_order.field when 'lot_size' then v_new.lot_size else v_new.tick_size end)::text,
                format('order %s does not fit it', v_order.order_id), 'Choose a step that the old one is a multiple of, or add a new instrument.');
        end if;
    end if;
    update public.instruments i
    set name = v_new.name, instrument_type = v_new.instrument_type, exchange = v_new.exchange, tick_size = v_new.tick_size, lot_size = v_new.lot_size
    where i.instrument_id = v_old.instrument_id;
    return true;
end;
$$;
comment on function instrument_set is
    'Changes an instrument; null leaves a word or step as it is. A tick or lot size that an order does not fit is refused. False: it was so already.';

create or replace function internal.set_trading(p_symbol text, p_active boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_instrument public.instruments := internal.known_instrument(p_symbol);
begin
    update public.instruments i set is_active = p_active
    where i.instrument_id = v_instrument.instrument_id and i.is_active is distinct from p_active;
    return found;
end;
$$;
comment on function internal.set_trading is 'Opens an instrument for trading, or stops it; whether that changed anything.';

create or replace function instrument_halt(p_symbol varchar) returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $$
    select internal.set_trading(p_symbol, false)
$$;
comment on function instrument_halt is 'Stops trading in an instrument: it accepts cancels and nothing else (rule 24). False: it was halted already.';

create or replace function instrument_resume(p_symbol varchar) returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $$
    select internal.set_trading(p_symbol, true)
$$;
comment on function instrument_resume is 'Opens an instrument for trading again. False: it was open already.';
