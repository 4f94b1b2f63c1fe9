-- How the engine refuses a senseless request (rule 4): nothing is recorded, and the error names the field, the value and the way out.
-- SQLSTATE PS001: the request makes no sense. PS002: it names something that is not there, or is another's.

create or replace function internal.refuse(p_field text, p_value text, p_reason text, p_hint text default null, p_code text default 'PS001')
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using
        errcode = p_code,
        message = format('%s %s: %s', p_field, coalesce(p_value, 'null'), p_reason),
        column = p_field,
        detail = coalesce(p_value, 'null'),
        hint = coalesce(p_hint, '');
end;
$$;
comment on function internal.refuse is 'Raises the error of rule 4: field, value, reason, and a hint that tells the way out.';
