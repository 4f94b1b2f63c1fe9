-- What follows when an order that hangs together with others moves (rules L1 to L3, see 36_links.sql).

create or replace function internal.resize(o orders, p_quantity numeric, p_reason text, p_at timestamp, p_kind text default 'resized') returns void
language plpgsql as $$
declare
    v_reserved numeric;
begin
    -- A cash account's buy; what was too little to be a cent may become one.
    select case when o.side = 'buy' and m.account_type is null then least(
               case when p_quantity <= o.quantity then o.reserved else 'Infinity' end,
               internal.reserve(p_quantity - o.filled_quantity, coalesce(o.price, o.stop_price), coalesce(f.maker_rate, 0), coalesce(f.taker_rate, 0)))
           else 0 end
    into v_reserved
    from public.accounts a
    left join public.fee_schedule f on f.account_type = a.account_type
    left join public.margin_schedule m on m.account_type = a.account_type
    where a.account_id = o.account_id;
    update public.accounts a set reserved = a.reserved - o.reserved + v_reserved, updated_at = p_at
    where a.account_id = o.account_id;
    -- More quantity is a new place in time (rule 12).
    update public.orders x
    set quantity = p_quantity, reserved = v_reserved, updated_at = p_at,
        priority = case when p_quantity > o.quantity then nextval('internal.priority_seq') else x.priority end
    where x.order_id = o.order_id
    returning * into o;
    insert into public.journal
    select * from internal.chained(array[(nextval('public.journal_event_id_seq'), p_at, o.account_id, p_kind, o.order_id, o.instrument_id,
        internal.order_detail(o) || jsonb_build_object('reason', p_reason), null, null)::public.journal], null);
end;
$$;
comment on function internal.resize is 'Gives a working order another total quantity because of an order that it hangs together with.';

drop function if exists internal.follow_links(internal.market, numeric[], bigint[]);
create or replace function internal.follow_links(p_market internal.market, p_prints numeric[], p_triggered bigint[], p_set_off bigint[])
returns internal.outcome
language plpgsql as $$
declare
    v_pair record;
    v_entry public.orders;
    v_exit public.orders;
    v_exits public.orders[];
    v_oco_id bigint;
    v_trail record;
    v_market internal.market := p_market;
    v_outcome internal.outcome;
    v_prints numeric[];
    v_volume numeric := 0;
    v_left numeric;
    v_placed boolean := false;
begin
    -- L1: the pair shares one quantity.
    for v_pair in
        select b as leg, a.status in ('pending', 'open', 'partially_filled') as stands,
               a.status = 'cancelled' and a.triggered_at is not null and a.reason = 'nothing more in the book' as found_nobody,
               a.quantity - a.filled_quantity as remaining, a.order_id as other_id
        from public.orders b
        join public.orders a on a.oco_id = b.oco_id and a.order_id <> b.order_id
        where b.instrument_id = p_market.instrument_id and b.oco_id is not null and b.status in ('pending', 'open', 'partially_filled')
            and (a.status not in ('pending', 'open', 'partially_filled') or a.quantity - a.filled_quantity < b.quantity - b.filled_quantity)
        order by b.order_id
    loop
        if v_pair.remaining > 0 and (v_pair.stands or v_pair.found_nobody) then
            if v_pair.remaining < (v_pair.leg).quantity - (v_pair.leg).filled_quantity then
                perform internal.resize(v_pair.leg, (v_pair.leg).filled_quantity + v_pair.remaining,
                    format('order %s of the pair filled', v_pair.other_id), p_market.updated_at);
            end if;
        else
            perform internal.end_orders(array[(v_pair.leg).order_id], 'cancelled', format('order %s of the pair ended', v_pair.other_id), p_market.updated_at);
        end if;
    end loop;

    -- L2: what an entry has filled gets its exits.
    for v_entry in
        select * from public.orders o
        where o.instrument_id = p_market.instrument_id and (o.take_profit is not null or o.stop_loss is not null)
            and o.filled_quantity > o.covered_quantity and o.updated_at >= p_market.updated_at
        order by o.order_id
    loop
        -- The exits of the entry before may have met this one.
        select * into v_entry from public.orders o where o.order_id = v_entry.order_id;
        update public.orders o set covered_quantity = o.filled_quantity where o.order_id = v_entry.order_id;
        -- An exit may need margin, and that is reckoned with the market as it is by now.
        v_market := internal.read_top(v_market);
        update internal.books b
        set bid_price = v_market.bid_price, ask_price = v_market.ask_price, last_price = v_market.last_price
        where b.instrument_id = v_market.instrument_id;
        select array_agg(o order by o.order_id) into v_exits
        from public.orders o
        where o.parent_id = v_entry.order_id and o.status in ('pending', 'open', 'partially_filled') and o.triggered_at is null
            and internal.other_of_pair(o) <> '{}';
        if cardinality(v_exits) = 2 then
            foreach v_exit in array v_exits loop
                perform internal.resize(v_exit, v_exit.quantity + v_entry.filled_quantity - v_entry.covered_quantity,
                    format('entry %s filled more', v_entry.order_id), p_market.updated_at);
            end loop;
        else
            v_oco_id := nextval('internal.oco_id_seq');
            v_placed := true;
            for v_leg in 1..2 loop
                v_exit := null;
                v_exit.account_id := v_entry.account_id;
                v_exit.instrument_id := v_entry.instrument_id;
                v_exit.order_type := case v_leg when 1 then 'stop' else 'limit' end;
                v_exit.side := case v_entry.side when 'buy' then 'sell' else 'buy' end;
                v_exit.quantity := case v_leg when 1 then v_entry.filled_quantity - v_entry.covered_quantity else v_left end;
                v_exit.price := case v_leg when 2 then v_entry.take_profit end;
                v_exit.stop_price := case v_leg when 1 then v_entry.stop_loss end;
                v_exit.time_in_force := 'GTC';
                v_exit.post_only := false;
                v_exit.self_trade := v_entry.self_trade;
                v_exit.filled_quantity := 0;
                v_exit.reserved := 0;
                v_exit.oco_id := v_oco_id;
                v_exit.parent_id := v_entry.order_id;
                v_outcome := internal.work(v_exit, 'exit', v_market);
                v_market := v_outcome.market;
                v_prints := v_prints || v_outcome.prints;
                v_volume := v_volume + v_outcome.volume;
                -- What the stop has left is what the limit is for.
                select o.quantity - o.filled_quantity into v_left
                from public.orders o
                where o.order_id = v_outcome.order_id
                    and (o.status = 'pending' or o.status = 'cancelled' and o.reason = 'nothing more in the book');
                exit when v_left is null;
            end loop;
        end if;
    end loop;

    -- L3: stops that trail follow the best of the prints; those that these set off as far as they were reached, those before them no more.
    if cardinality(p_prints) > 0 then
        for v_trail in
            select o as stop, case when o.order_id = any (p_set_off) then internal.reached_price(o, p_prints)
                       else internal.trailed_price(o, case o.side when 'sell' then x.highest else x.lowest end) end as price
            from public.orders o
            cross join (select max(p) as highest, min(p) as lowest from unnest(p_prints) p) x
            where o.instrument_id = p_market.instrument_id and o.status = 'pending' and o.priority is not null and o.triggered_at is null
                and (o.trail_amount is not null or o.trail_percent is not null)
                and (o.order_id <> all (p_triggered) or o.order_id = any (p_set_off))
            order by o.order_id
        loop
            if (v_trail.stop).side = 'sell' and v_trail.price > (v_trail.stop).stop_price
                or (v_trail.stop).side = 'buy' and v_trail.price < (v_trail.stop).stop_price
            then
                update public.orders o set stop_price = v_trail.price, updated_at = p_market.updated_at
                where o.order_id = (v_trail.stop).order_id
                returning * into v_exit;
                perform internal.resize(v_exit, v_exit.quantity, 'follows the last trade', p_market.updated_at, 'trailed');
                perform internal.count_stops(p_market.instrument_id, 0);
            end if;
        end loop;
    end if;

    update internal.books b
    set linked_orders = (
        select count(*) from public.orders o
        where o.instrument_id = p_market.instrument_id and o.status in ('pending', 'open', 'partially_filled')
            and (o.oco_id is not null or o.take_profit is not null or o.stop_loss is not null or o.trail_amount is not null or o.trail_percent is not null))
    where b.instrument_id = p_market.instrument_id;
    return (null, null, p_market.updated_at, v_prints, v_volume, v_placed, v_market, false, false)::internal.outcome;
end;
$$;
comment on function internal.follow_links is 'Puts right, in one instrument, what hangs together with the orders that just moved; returns what its exits printed.';
