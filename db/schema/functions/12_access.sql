-- The guard: for whom a session may act, and into whose accounts it may look.
--
-- Functions that clients call run with the owner's rights, so each of them asks here first. session_user decides: it is who logged in, and
-- neither SET ROLE nor a function that runs as another changes it. What is another's and what is not there get the same answer.

create or replace function internal.may_administer() returns boolean language sql stable as $$
    -- The owner, its members and superusers. Nobody else is ever given CREATE there; USAGE would not do: pg_read_all_data has it.
    select has_schema_privilege(session_user, 'internal', 'create')
$$;
comment on function internal.may_administer is 'Whether the session is the owner''s: it may act for all accounts, and administer.';

create or replace function internal.acting_user() returns users language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_user public.users;
begin
    select * into v_user from public.users u where u.username = session_user::text and u.is_active;
    if not found then
        perform internal.refuse('username', session_user::text, 'is no active user of this database', 'Ask the administrator for a log-in.', 'PS002');
    end if;
    return v_user;
end;
$$;
comment on function internal.acting_user is 'The active user who logged in; anybody else is refused.';

-- Called by every order: an `if` with an expression costs half of what a statement does, and a SET clause would cost more than the look-up.
create or replace function internal.authorize(p_account_id bigint) returns bigint language plpgsql stable as $$
begin
    if internal.may_administer() then
        return p_account_id;
    end if;
    if not exists (
        select from public.users u
        join public.accounts a on a.user_id = u.user_id
        where u.username = session_user::text and u.is_active and a.account_id = p_account_id)
    then
        perform internal.acting_user();
        if p_account_id is null then
            perform internal.refuse('account_id', null, 'is missing', 'Name the account that it is about.');
        end if;
        perform internal.refuse('account_id', p_account_id::text, 'there is no such account', 'The table accounts lists them.', 'PS002');
    end if;
    return p_account_id;
end;
$$;
comment on function internal.authorize is 'The account, if the session may act for it: the owner for any, a user for their own; else an error (PS002), the same for another''s as for none.';

create or replace function internal.authorize_read(p_account_id bigint) returns bigint language plpgsql stable as $$
begin
    if not internal.may_administer() and (internal.acting_user()).role <> 'support' then
        return internal.authorize(p_account_id);
    end if;
    return p_account_id;
end;
$$;
comment on function internal.authorize_read is 'The account, if the session may look into it: as authorize, and support into any.';

create or replace function internal.authorize_order(p_order_id bigint) returns bigint language plpgsql stable as $$
begin
    if internal.may_administer() then
        return p_order_id;
    end if;
    if not exists (
        select from public.orders o
        join public.accounts a on a.account_id = o.account_id
        join public.users u on u.user_id = a.user_id
        where o.order_id = p_order_id and u.username = session_user::text and u.is_active)
    then
        perform internal.acting_user();
        perform internal.refuse('order_id', p_order_id::text, 'there is no such order', 'The table orders lists them.', 'PS002');
    end if;
    return p_order_id;
end;
$$;
comment on function internal.authorize_order is 'The order, if the session may act for its account; else an error (PS002), the same for another''s as for none.';

create or replace view internal.own_accounts as
select a.*
from public.accounts a
where (select internal.may_administer())
    or a.user_id = (select u.user_id from public.users u where u.username = session_user::text and u.is_active);
comment on view internal.own_accounts is 'The accounts that the session may act for: the guard for a function that is about several.';

create or replace view internal.readable_accounts as
select a.*
from public.accounts a
where (select internal.may_administer() or exists (
        select from public.users u where u.username = session_user::text and u.is_active and u.role = 'support'))
    or a.user_id = (select u.user_id from public.users u where u.username = session_user::text and u.is_active);
comment on view internal.readable_accounts is 'The accounts that the session may look into.';
