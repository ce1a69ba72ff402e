-- Control planes remember whose an API key is. Each of them is told when that changes, whoever changes it.

create function announce_api_key() returns trigger language plpgsql as $$
begin
    perform pg_notify('sandglass_api_keys', old.key_hash);
    return null;
end $$;

create trigger announce_changed_api_keys
    after delete or update of key_hash, team_id, id on team_api_keys
    for each row execute function announce_api_key();

-- An empty payload: all of them.
create function announce_all_api_keys() returns trigger language plpgsql as $$
begin
    perform pg_notify('sandglass_api_keys', '');
    return null;
end $$;

create trigger announce_emptied_api_keys
    after truncate on team_api_keys
    for each statement execute function announce_all_api_keys();
