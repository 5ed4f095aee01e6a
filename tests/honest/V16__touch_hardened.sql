CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = ''
AS $function$
begin
  if new is distinct from old then
    new.updated_at = pg_catalog.now();
  end if;
  return new;
end
$function$;
