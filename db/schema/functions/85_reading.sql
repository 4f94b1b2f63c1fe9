-- What a client reads in the round trip in which it writes.

create or replace function read_order(p_order_id bigint) returns setof orders
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    return query select o.* from public.orders o where o.order_id = p_order_id;
end;
$$;
comment on function read_order is
    'The order as it is now. Volatile, so that a statement that has just placed it sees it: a plain select in that statement looks at the time before.';
