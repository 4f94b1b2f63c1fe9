-- Cash, commission, reservations and positions: the arithmetic of rules 16, 17, 19 and 21, each said once.

create or replace function internal.cash(p_quantity numeric, p_price numeric) returns numeric
language sql immutable as $$ select round(p_quantity * p_price, 2) $$;
comment on function internal.cash is 'Cash of one fill (rule 16).';

create or replace function internal.reserve(p_quantity numeric, p_price numeric, p_maker_rate numeric, p_taker_rate numeric) returns numeric
language sql immutable as $$
    select round(p_quantity * p_price, 2) + round(round(p_quantity * p_price, 2) * greatest(p_maker_rate, p_taker_rate), 2)
$$;
comment on function internal.reserve is 'Cash that an open buy of a cash account sets aside: its price and the worst-case commission (rule 21).';

create or replace function internal.affordable(p_money numeric, p_quantity numeric, p_price numeric, p_rate numeric, p_lot_size numeric) returns numeric
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_lot constant numeric := coalesce(nullif(p_lot_size, 0), 0.00000001);
    v_cash numeric := round(p_quantity * p_price, 2);
    v_quantity numeric;
begin
    if v_cash + round(v_cash * p_rate, 2) <= p_money then
        return p_quantity;
    end if;
    -- The estimate is off by a rounding at the most, so the walk down is short: a cent is worth less than it has steps.
    v_quantity := least(p_quantity, div(greatest(p_money + 0.01, 0) / (p_price * (1 + p_rate)), v_lot) * v_lot);
    loop
        v_cash := round(v_quantity * p_price, 2);
        exit when v_quantity <= 0 or v_cash + round(v_cash * p_rate, 2) <= p_money;
        v_quantity := v_quantity - greatest(v_lot, trunc((v_cash + round(v_cash * p_rate, 2) - p_money) / 2 / p_price / v_lot) * v_lot);
    end loop;
    return greatest(v_quantity, 0);
end;
$$;
comment on function internal.affordable is 'The most whole lots, up to p_quantity, whose cash and commission p_money covers at this price (rule 21).';
