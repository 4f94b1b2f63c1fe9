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
language plpgsql immutable as $$
declare
    v_lot constant numeric := coalesce(nullif(p_lot_size, 0), 0.00000001);
    v_cash numeric := round(p_quantity * p_price, 2);
    v_lots numeric;
begin
    if v_cash + round(v_cash * p_rate, 2) <= p_money then
        return p_quantity;
    end if;
    -- First the most cash that leaves room for its commission, then the most lots whose cash rounds to no more than that.
    v_cash := trunc(p_money / (1 + p_rate), 2) + 0.01;
    while v_cash >= 0 and v_cash + round(v_cash * p_rate, 2) > p_money loop
        v_cash := v_cash - 0.01;
    end loop;
    if v_cash < 0 then
        return 0;
    end if;
    v_lots := div(v_cash + 0.005, p_price * v_lot);
    if v_lots * v_lot * p_price >= v_cash + 0.005 then
        v_lots := v_lots - 1;
    end if;
    return least(p_quantity, v_lots * v_lot);
end;
$$;
comment on function internal.affordable is 'The most whole lots, up to p_quantity, whose cash and commission p_money covers at this price (rule 21).';
